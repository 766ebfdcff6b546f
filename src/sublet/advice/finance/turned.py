"""The tornado: one assumption at two other values, all else as it was, in the base case.

A row of `TURNS` says how an assumption is turned, what it is now, and between what it is turned where the scenario does not
say.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sublet.advice.finance.read import Asked
from sublet.advice.finance.scenario_file import TurnPart
from sublet.app.complaints import meant
from sublet.core.errors import Invalid
from sublet.core.finance.accounts import Flows, accounts_of, total
from sublet.core.finance.amounts import MONTH_H, PPM
from sublet.core.finance.paths import base_prices
from sublet.core.finance.scenario import Chances, Generation, Scenario, SoldClass
from sublet.core.finance.tables import months_of
from sublet.core.units import MICRO


@dataclass(frozen=True, slots=True)
class Turn:
    """How an assumption is turned. `now` is its value in a scenario, `usual` the low and high that are turned to."""

    title: str
    unit: str
    now: Callable[[Asked], float]
    turn: Callable[[Asked, float], Scenario]
    usual: Callable[[float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Turned:
    """One assumption at one value: what a year brings on average (micro-units)."""

    what: str
    title: str
    unit: str
    now: float
    value: float
    contribution_micro: int
    full_margin_micro: int


def base_flows(scenario: Scenario) -> Flows:
    """All months of the base case together."""
    months = months_of(scenario)
    return total([one.flows for one in accounts_of(months, base_prices(scenario.price, scenario.months))])


def turned(asked: Asked) -> tuple[Turned, ...]:
    """Every assumption at its two values, the one that moves the contribution or the full margin furthest first."""
    found = list(_each(asked))
    reach: dict[str, int] = {}
    for one in found:
        for other in found:
            if other.what == one.what:
                wide = max(
                    abs(one.contribution_micro - other.contribution_micro), abs(one.full_margin_micro - other.full_margin_micro)
                )
                reach[one.what] = max(reach.get(one.what, 0), wide)
    return tuple(sorted(found, key=lambda one: -reach[one.what]))


def _each(asked: Asked) -> Iterator[Turned]:
    for what, low, high in _wanted(asked):
        row = TURNS[what]
        for value in (low, high):
            scenario = row.turn(asked, value)
            alone = replace(
                scenario, chances=Chances(), price=replace(scenario.price, highest_micro=scenario.price.start_micro)
            )
            if not alone.fits():
                raise Invalid(f"turn {what} to {value:g} makes amounts too large", field="turn", hint="turn it less far")
            flows = base_flows(scenario)
            yield Turned(
                what, row.title, row.unit, row.now(asked), value,
                flows.contribution_micro * 12 // scenario.months, flows.full_margin_micro * 12 // scenario.months,
            )  # fmt: skip


def _wanted(asked: Asked) -> Sequence[tuple[str, float, float]]:
    given: Sequence[TurnPart] = asked.file.turn
    for one in given:
        if one.what not in TURNS:
            raise Invalid(f"{one.what!r} cannot be turned", field="turn.what", hint=meant(one.what, list(TURNS)))
        if one.low >= one.high:
            raise Invalid(f"turn {one.what}: low {one.low:g} is not below high {one.high:g}", field="turn", hint="swap them")
        _fits(one)
    if given:
        return [(one.what, one.low, one.high) for one in given]
    return [(what, *row.usual(row.now(asked))) for what, row in TURNS.items() if row.now(asked) or what == "credit_multiple"]


def _fits(one: TurnPart) -> None:
    """Raise where a value is none of this assumption's."""
    low, high, unit = LIMITS[one.what]
    if not low <= one.low <= one.high <= high:
        said = f"turn {one.what} from {one.low:g} to {one.high:g} is out of range, {low:g} to {high:,.10g} {unit}"
        raise Invalid(said, field="turn", hint="see `turn` in docs/reference/finance.md for the units")


LIMITS: Mapping[str, tuple[float, float, str]] = {
    "price": (0.01, 1_000, "for one GPU-hour"),
    "leased": (0, 1, "(shares of 1)"),
    "gpus": (1, 50_000_000, "GPUs"),
    "life_years": (0.5, 25, "years"),
    "tariff_kwh": (0, 2, "for a kWh"),
    "credit_multiple": (0, 100, "times the lease's price"),
    "reclaimed": (0, 1, "(shares of 1)"),
    "selling": (0, 1, "(shares of 1)"),
    "upkeep_year": (0, 1, "(shares of 1)"),
}


def _price(asked: Asked, value: float) -> Scenario:
    price, micro = asked.scenario.price, round(value * MICRO)
    fits = replace(
        price, start_micro=micro, lowest_micro=min(price.lowest_micro, micro), highest_micro=max(price.highest_micro, micro)
    )
    return replace(asked.scenario, price=fits)


def _fleet(asked: Asked, change: Callable[[Generation], Generation]) -> Scenario:
    return replace(asked.scenario, fleet=tuple(change(one) for one in asked.scenario.fleet))


def _gpus(asked: Asked, value: float) -> Scenario:
    whole = sum(one.gpus for one in asked.scenario.fleet)
    return _fleet(asked, lambda one: replace(one, gpus=max(1, round(one.gpus * value / whole))))


def _life(asked: Asked, value: float) -> Scenario:
    """Depreciated over another time; they stay in service as long as they did."""
    return _fleet(asked, lambda one: replace(one, life_months=round(value * 12), service_months=one.lasts))


def _tariff(asked: Asked, value: float) -> Scenario:
    return _fleet(asked, lambda one: replace(one, cost=replace(one.cost, tariff_micro_kwh=round(value * MICRO))))


def _classes(asked: Asked, change: Callable[[SoldClass, float, float], SoldClass]) -> Scenario:
    """Classes with other terms; `change` gets the probability of a reclaim and the part of the bill given back by one."""
    parts = asked.file.classes
    made = []
    for part, sold in zip(parts, asked.scenario.classes, strict=True):
        back = sold.refund_ppm / PPM / part.reclaimed if part.reclaimed else 0.0
        made.append(change(sold, part.reclaimed, back))
    return replace(asked.scenario, classes=tuple(made))


def _credit(asked: Asked, value: float) -> Scenario:
    """Another credit at the same price: tenants would pay more for it, and that is not counted."""

    def change(sold: SoldClass, reclaimed: float, back: float) -> SoldClass:
        if not reclaimed:
            return sold
        spike = round((back + value) * sold.hours / MONTH_H * PPM)
        return replace(sold, credit_ppm=round(reclaimed * value * PPM), spike_ppm=spike)

    return _classes(asked, change)


def _reclaimed(asked: Asked, value: float) -> Scenario:
    """The class that is reclaimed most at another probability, and all others in proportion."""
    times = value / (_most_reclaimed(asked) or 1.0)

    def change(sold: SoldClass, reclaimed: float, back: float) -> SoldClass:
        del reclaimed, back
        return replace(
            sold, refund_ppm=min(PPM, round(sold.refund_ppm * times)), credit_ppm=min(100 * PPM, round(sold.credit_ppm * times))
        )

    return _classes(asked, change)


def _selling(asked: Asked, value: float) -> Scenario:
    return replace(asked.scenario, leasing=replace(asked.scenario.leasing, selling_ppm=round(value * PPM)))


def _upkeep(asked: Asked, value: float) -> Scenario:
    return _fleet(asked, lambda one: replace(one, upkeep_ppm=round(value * PPM)))


def _mean(asked: Asked, of: Callable[[Generation], float]) -> float:
    """Over all GPUs, to three digits that matter."""
    whole = sum(one.gpus for one in asked.scenario.fleet)
    return float(f"{sum(one.gpus * of(one) for one in asked.scenario.fleet) / whole:.4g}")


def _life_now(asked: Asked) -> float:
    return _mean(asked, lambda one: one.life_months / 12)


def _tariff_now(asked: Asked) -> float:
    return _mean(asked, lambda one: one.cost.tariff_micro_kwh / MICRO)


def _upkeep_now(asked: Asked) -> float:
    return _mean(asked, lambda one: one.upkeep_ppm / PPM)


def _around(low: float, high: float) -> Callable[[float], tuple[float, float]]:
    return lambda now: (float(f"{now * low:.3g}"), float(f"{now * high:.3g}"))


def _most_reclaimed(asked: Asked) -> float:
    return max(part.reclaimed for part in asked.file.classes)


def _mean_owed(asked: Asked) -> float:
    """The mean over the leased time of classes that are reclaimed at all."""
    pairs = [
        (sold.leased_ppm, sold.credit_ppm / PPM / part.reclaimed)
        for part, sold in zip(asked.file.classes, asked.scenario.classes, strict=True)
        if part.reclaimed
    ]
    weight = sum(leased for leased, _ in pairs)
    return round(sum(leased * owed for leased, owed in pairs) / weight, 2) if weight else 0.0


TURNS: Mapping[str, Turn] = {
    "price": Turn(
        "list price", "{currency}/GPU-h", lambda a: a.scenario.price.start_micro / MICRO, _price, _around(0.5, 1.5)
    ),
    "leased": Turn(
        "share leased", "of the fleet", lambda a: a.scenario.leased_ppm / PPM,
        lambda a, v: a.scenario.with_leased(round(v * PPM)), _around(0.5, 1.5),
    ),
    "gpus": Turn("GPUs", "in the fleet", lambda a: float(sum(one.gpus for one in a.scenario.fleet)), _gpus, _around(0.5, 2)),
    "life_years": Turn("life", "years", _life_now, _life, lambda now: (max(0.5, round(now - 2, 2)), round(now + 1, 2))),
    "tariff_kwh": Turn(
        "energy", "{currency}/kWh", _tariff_now, _tariff, _around(0.6, 1.5)
    ),
    "credit_multiple": Turn("credit on a reclaim", "x price", _mean_owed, _credit, lambda _: (0.0, 10.0)),
    "reclaimed": Turn("leases reclaimed", "of guaranteed leases", _most_reclaimed, _reclaimed, _around(0.5, 2)),
    "selling": Turn("selling", "of revenue", lambda a: a.scenario.leasing.selling_ppm / PPM, _selling, _around(0, 3)),
    "upkeep_year": Turn("upkeep", "of capex a year", _upkeep_now, _upkeep, _around(0.5, 1.5)),
}  # fmt: skip
"""What can be turned."""
