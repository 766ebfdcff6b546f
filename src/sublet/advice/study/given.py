"""Every assumption that a study was made with: its value, its unit, what it is, and where it comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from pydantic import BaseModel

from sublet.advice.study.assumptions import CostPart, Market, PricePart, ReservePart, TermsPart, WorkPart
from sublet.advice.study.question import WARM_UP_US, Question
from sublet.advice.study.result import Study, Wanted
from sublet.core.units import HOUR_US, MICRO, SECOND_US
from sublet.sim.policies import FORECAST_RISK
from sublet.sim.scene import Engine, Scene

YEAR_H = 8_760
"""Hours of the year that figures are scaled to."""

SAYS: Mapping[str, tuple[str, str]] = {
    "cost.busy_w": ("W", "draw of a GPU with its share of the node while it works"),
    "cost.idle_w": ("W", "the same while it is idle; only the difference is a cost of leasing"),
    "cost.pue": ("", "energy of the site for each unit of energy of its machines"),
    "cost.tariff_kwh": ("{currency}/kWh", "price of energy"),
    "cost.wear_gpu_h": ("{currency}/GPU-h", "wear that working adds"),
    "cost.operations_gpu_h": ("{currency}/GPU-h", "support, network and other work that a lease makes"),
    "cost.depreciation_gpu_h": ("{currency}/GPU-h", "runs whether leased or not: in none of the figures"),
    "price.default": ("{currency}/GPU-h", "posted price of a GPU-hour, for models without their own"),
    "terms.spot_notice": ("s", "notice before a spot lease ends; it runs at least as long, too"),
    "terms.guarded_notice": ("s", "the same for a guarded lease"),
    "terms.guarded_hours": ("h", "lengths for which guarded leases are sold"),
    "terms.credit_multiple": ("", "times the price of the whole term, owed for a broken guarantee beside the refund"),
    "terms.promise": ("s", "hand-back promise: all GPUs of a pool within this time"),
    "work.checkpoint": ("s", "tenants save their work so often; never: not at all"),
    "work.save": ("s", "saving takes so long"),
    "work.heed_notice": ("", "whether a tenant who is told of a reclaim saves and leaves at once"),
    "work.restart": ("s", "work that is done twice after a reclaim"),
    "reserve.quantile": ("", "of the owner's rise within the time that a reclaim takes: so much is kept free"),
    "reserve.min": ("GPUs", "and at least so many"),
}
"""Each key of the two files: its unit and what it is."""

_MONEY = frozenset({"tariff_kwh", "wear_gpu_h", "operations_gpu_h", "depreciation_gpu_h", "default"})
_SECONDS = frozenset({"spot_notice", "guarded_notice", "promise", "checkpoint", "save", "restart"})
_PARTS: Mapping[str, type[BaseModel]] = {
    "cost": CostPart,
    "price": PricePart,
    "terms": TermsPart,
    "work": WorkPart,
    "reserve": ReservePart,
}

MARKET_US: int = signature(Scene).parameters["market_us"].default
"""A market round each such stretch in a replay (µs)."""

DEFAULT, FILE, OPTION, FIXED = "default", "file", "option", "fixed"
"""Where a number comes from: built in, a file of yours, the command line, or the program itself."""


@dataclass(frozen=True, slots=True)
class Given:
    """One assumption. `value` in `unit`; several values stand in a list."""

    name: str
    value: Any
    unit: str
    says: str
    source: str


def given(study: Study) -> tuple[Given, ...]:
    """All of them: costs, market, and how the study was made."""
    return (*_costs(study), *_market(study.question.market), *_tenants(study), *_engine(), *_method(study))


def _costs(study: Study) -> Iterator[Given]:
    costs, currency = study.question.costs, study.question.market.currency
    yield from _part("cost", costs.cost, currency)
    for model, own in sorted(costs.models.items()):
        for key in own:
            unit, says = SAYS[f"cost.{key}"]
            value = _plain(key, getattr(costs.part(model), key))
            yield Given(f"models.{model}.{key}", value, unit.format(currency=currency), f"{says}; {model} only", FILE)


def _market(market: Market) -> Iterator[Given]:
    yield Given("currency", market.currency, "", "of every amount", _source(market, "currency"))
    for name in ("price", "terms", "work", "reserve"):
        yield from _part(name, getattr(market, name), market.currency)
    for model, micro in sorted(market.price.models.items()):
        unit, _ = SAYS["price.default"]
        yield Given(f"price.models.{model}", micro / MICRO, unit.format(currency=market.currency), f"price of {model}", FILE)


def _part(name: str, part: BaseModel, currency: str) -> Iterator[Given]:
    for key in _PARTS[name].model_fields:
        if f"{name}.{key}" in SAYS:
            unit, says = SAYS[f"{name}.{key}"]
            value = _plain(key, getattr(part, key))
            yield Given(f"{name}.{key}", value, unit.format(currency=currency), says, _source(part, key))


def _plain(key: str, value: Any) -> Any:
    """A value in the unit that SAYS gives."""
    if key in _MONEY:
        return value / MICRO
    if key in _SECONDS:
        return "never" if value is None else value / SECOND_US
    if key == "guarded_hours":
        return [us / HOUR_US for us in value]
    return value


def _source(part: BaseModel, key: str) -> str:
    return FILE if key in part.model_fields_set else DEFAULT


def _tenants(study: Study) -> Iterator[Given]:
    market = study.question.market
    if any(len(layout.spot.jobs) for layout in study.question.layouts):
        said = "in pools where the trace marks jobs as spot, these are the tenants' demand"
        yield Given("tenants", "the trace's spot jobs", "", said, FILE)
    for number, one in enumerate(market.tenants, start=1):
        term = f"guarded for {(one.hours or 4 * HOUR_US) / HOUR_US:g} h" if one.lease_class == "guarded" else "spot"
        work = "" if one.lease_class == "guarded" else f", {one.work / HOUR_US:g} h of work each"
        shape = f"{one.gpus} GPUs" if one.nodes == 1 else f"{one.nodes} nodes with {one.gpus} GPUs"
        says = "always there: once a lease is granted, the next is asked for"
        yield Given(f"tenants.{number}", f"{shape}, {term}{work}", "", says, _source(market, "tenants"))


def _engine() -> Iterator[Given]:
    engine = Engine()
    for name, us, says in (
        ("start", engine.start_us, "from a grant to the running workload"),
        ("stop", engine.stop_us, "from the end signal to the last process gone"),
        ("handover", engine.handover_us, "wipe and check before GPUs change hands"),
        ("market_round", MARKET_US, "leases are granted so often; the owner is served at once"),
    ):
        yield Given(f"engine.{name}", us / SECOND_US, "s", says, FIXED)


def _method(study: Study) -> Iterator[Given]:
    question, wanted, usual = study.question, study.wanted, Wanted()
    warm_up_h = round((question.open_us - question.from_us) / HOUR_US, 2)
    learns = "forecasts learn from so much of the trace before anything is leased"
    yield Given("warm_up", warm_up_h, "h", learns, DEFAULT if _usual_opening(question) else OPTION)
    for name, value, default, says in (
        ("forecast", wanted.forecast, usual.forecast, "method of every policy without one of its own"),
        ("judge", list(wanted.judged), list(usual.judged), "methods of the back-test"),
        ("policies", list(wanted.policies), list(usual.policies), "policies side by side"),
        ("seed", wanted.seed, usual.seed, "draws the confidence intervals; nothing else is left to chance"),
    ):
        yield Given(name, value, "", says, DEFAULT if value == default else OPTION)
    yield Given("policies.forecast_risk", FORECAST_RISK, "", "nominal risk of policies that lend by a forecast alone", FIXED)
    yield Given("year", YEAR_H, "h", "yearly figures are scaled to it from the studied period", FIXED)


def _usual_opening(question: Question) -> bool:
    """Whether the market opens when it does if nobody says anything."""
    usual = question.from_us + min(WARM_UP_US, (question.until_us - question.from_us) // 3)
    return question.open_us == -(-usual // HOUR_US) * HOUR_US
