"""From a scenario's file to the core's frozen value.

Files that it names are read, classes get their shares, units are made whole. Wrong input is named with the way out.
"""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sublet.advice.finance import shipped
from sublet.advice.finance.price_table import changes_of, changes_of_prices
from sublet.advice.finance.scenario_file import ClassPart, GenerationPart, PricePart, ScenarioFile
from sublet.advice.finance.units import month_number
from sublet.app.complaints import InvalidFields, explain
from sublet.core.errors import Invalid
from sublet.core.finance.amounts import MONTH_H, PPM, YEAR_MONTHS
from sublet.core.finance.scenario import (
    Chances,
    Generation,
    Leasing,
    Owner,
    PricePath,
    Regime,
    Scenario,
    SoldClass,
    Step,
)
from sublet.core.lease import LeaseClass
from sublet.core.pricing.floor import risk_share
from sublet.core.terms import TERMS, ClassTerms, CostSheet

STUDY = "sublet.study"
"""The `kind` of a study's document."""
HINT = "docs/reference/finance.md has every field; `sublet finance show university-128` prints one to start from"


@dataclass(frozen=True, slots=True)
class Shares:
    """Idle and leasable shares of the fleet's time, what is captured of them, and who says so."""

    idle: float
    hours: Mapping[int, float]
    captured: float
    source: str

    def of(self, hours: int) -> float:
        """What can be leased in pieces of so many hours: of the next length that is known, for less is leasable of it."""
        for length in sorted(self.hours):
            if length >= hours:
                return self.hours[length]
        raise Invalid(
            f"nothing says what can be leased for {hours} hours at a time",
            field="leasable.hours",
            hint=f"add a length of {hours} or more; known are {', '.join(map(str, sorted(self.hours))) or 'none'}",
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A scenario that was read: as it was written, as the core takes it, and where it comes from."""

    file: ScenarioFile
    scenario: Scenario
    shares: Shares
    source: str
    name: str


def read(name: str) -> Asked:
    """The scenario in a file, or the shipped one of this name."""
    path = Path(name)
    if name in shipped.NAMES and not path.exists():
        return made(parsed(shipped.text(name), name), source=f"shipped: {name}", name=name, beside=None)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = f"check the path, or take a shipped one: {', '.join(shipped.NAMES)}"
        raise Invalid(f"there is no file and no shipped scenario {name}", field="scenario", hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Invalid(f"{name} cannot be read: {reason}", field="scenario", hint="give a TOML file") from error
    return made(parsed(text, name), source=name, name=path.stem, beside=path.parent)


def parsed(text: str, what: str) -> ScenarioFile:
    """The fields of a TOML text."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{what} is no TOML: {error}", field="scenario", hint=HINT) from error
    return checked(values, what)


def checked(values: Mapping[str, Any], what: str) -> ScenarioFile:
    """Fields that were read, as a scenario's file."""
    try:
        return ScenarioFile.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        inner = [one for one in found if one["type"] != "too_short"]  # a list whose only item is wrong counts as empty, too
        raise InvalidFields(what, explain(inner or found, ScenarioFile)) from error


def made(file: ScenarioFile, *, source: str, name: str, beside: Path | None) -> Asked:
    """The core's value. `beside` is the folder in which files that it names are looked for."""
    shares = _shares(file, beside)
    start = month_number(file.starts)
    owner = file.owner
    scenario = Scenario(
        months=file.months,
        fleet=tuple(_generation(part, start) for part in file.fleet),
        classes=tuple(_classes(file, shares)),
        price=_price(file, start, beside),
        owner=None if owner.revenue_year is None or owner.income_year is None else Owner(owner.revenue_year, owner.income_year),
        leasing=_leasing(file),
        chances=_chances(file),
        staff_micro=owner.staff_year // YEAR_MONTHS,
        idle_ppm=round(shares.idle * PPM),
    )
    _check(scenario)
    return Asked(file, scenario, shares, source, name)


def _shares(file: ScenarioFile, beside: Path | None) -> Shares:
    if file.leasable_from is None:
        return _falling(Shares(1 - file.owner.busy, dict(file.leasable.hours), file.leasable.captured, "scenario"))
    path = Path(file.leasable_from)
    path = path if path.is_absolute() or beside is None else beside / path
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        assert study["kind"] == STUDY
        bounds = {int(one["hours"]): float(one["share"]) for one in study["fleet"]["bounds"]}
        ours = next(one for one in study["policies"] if one["name"] == "ours")["figures"]
        leased = float(ours["leased_gpu_h"]) / float(ours["fleet_gpu_h"])
    except OSError as error:
        hint = "give the study.json in the folder of a study's report"
        raise Invalid(f"{path} cannot be read: {error.strerror}", field="leasable_from", hint=hint) from error
    except (ValueError, KeyError, TypeError, AssertionError, StopIteration) as error:
        hint = "give the study.json in the folder of a study's report: sublet study --out report"
        raise Invalid(f"{path} is no report of a study", field="leasable_from", hint=hint) from error
    idle = bounds.pop(0)
    captured = min(1.0, leased / idle) if idle else 0.0
    if "captured" in file.leasable.model_fields_set:
        captured = file.leasable.captured
    return _falling(Shares(idle, bounds, captured, str(file.leasable_from)))


def _falling(shares: Shares) -> Shares:
    """Longer pieces are never more, and none is more than all that is idle."""
    last, least = "idle", shares.idle
    for hours in sorted(shares.hours):
        if shares.hours[hours] > least + 1e-9:
            said = f"{shares.hours[hours]:g} of the fleet is leasable for {hours} h, and only {least:g} {last}"
            hint = "longer pieces cannot be more: lower it, or lower owner.busy"
            raise Invalid(said, field="leasable.hours", hint=hint)
        last, least = f"for {hours} h", shares.hours[hours]
    return shares


def _generation(part: GenerationPart, start: int) -> Generation:
    life = round(part.life_years * YEAR_MONTHS)
    residual = round(part.residual * PPM)
    return Generation(
        name=part.name,
        gpus=part.gpus,
        capex_micro=part.capex_gpu,
        in_service=month_number(part.in_service) - start,
        life_months=life,
        residual_ppm=residual,
        cost=CostSheet(
            busy_w=round(part.busy_w),
            idle_w=round(part.idle_w),
            pue_permille=round(part.pue * 1_000),
            tariff_micro_kwh=part.tariff_kwh,
            wear_micro=part.wear_gpu_h,
            operations_micro=part.operations_gpu_h,
            depreciation_micro=part.capex_gpu * (PPM - residual) // PPM // (life * MONTH_H),
        ),
        upkeep_ppm=round(part.upkeep_year * PPM),
        price_ppm=round(part.price_factor * PPM),
        service_months=round((part.service_years or part.life_years) * YEAR_MONTHS),
    )


def _classes(file: ScenarioFile, shares: Shares) -> Iterator[SoldClass]:
    """Each class with its share of the fleet; together they fit into what is leasable at each length."""
    taken = [
        (part, (shares.captured if part.captured is None else part.captured) * shares.of(part.hours)) for part in file.classes
    ]
    for length in sorted({part.hours for part in file.classes}):
        wanted = sum(share for part, share in taken if part.hours >= length)
        if wanted > shares.of(length) + 1e-9:
            so_long = shares.of(length)
            said = f"classes of {length} h and longer take {wanted:.3g} of the fleet, and {so_long:.3g} is leasable so long"
            raise Invalid(said, field="classes", hint="lower `captured` of some: they share the same idle time")
    for part, share in taken:
        yield _sold(part, share)


def _sold(part: ClassPart, share: float) -> SoldClass:
    """A class; a reclaim takes, on average, half of a lease's time back, and the credit is of its whole price."""
    lease_class = LeaseClass(part.lease_class)
    usual = TERMS[lease_class]
    refunds = usual.refunds if part.refunds is None else part.refunds
    multiple = usual.credit_multiple if part.credit_multiple is None else part.credit_multiple
    terms = ClassTerms(usual.grace_us, usual.exempt_us, usual.breaking, refunds, multiple)
    factor = part.price_factor
    if part.risk_price:
        factor *= 1 + float(risk_share(terms, part.reclaimed))
    back = 0.5 if refunds else 0.0
    return SoldClass(
        name=part.name or (f"{part.lease_class} {part.hours} h" if lease_class is not LeaseClass.SPOT else "spot"),
        lease_class=lease_class,
        hours=part.hours,
        leased_ppm=round(share * PPM),
        price_ppm=round(factor * PPM),
        refund_ppm=min(PPM, round(part.reclaimed * back * PPM)),
        credit_ppm=round(part.reclaimed * multiple * PPM),
        spike_ppm=round((back + multiple) * part.hours / MONTH_H * PPM),
    )


def _leasing(file: ScenarioFile) -> Leasing:
    part = file.leasing
    return Leasing(
        selling_ppm=round(part.selling * PPM),
        programme_micro=part.programme_year // YEAR_MONTHS,
        setup_micro=part.setup,
        ramp_months=part.ramp_months,
        payment_months=part.payment_months,
        keeps_floor=part.keeps_floor,
    )


def _chances(file: ScenarioFile) -> Chances:
    part = file.chance
    return Chances(
        leased_spread=part.leased,
        month_spread=part.leased_month,
        persistence=part.persistence,
        reclaim_spread=part.reclaims,
        cost_spread=part.costs,
        spikes=part.spikes_year,
        spike_months=part.spike_months,
        spike_left_ppm=round(part.spike_left * PPM),
    )


def _price(file: ScenarioFile, start: int, beside: Path | None) -> PricePath:
    part = file.price
    return PricePath(
        start_micro=part.start,
        trend=math.log1p(part.trend_year),
        volatility=part.volatility_year,
        half_life_months=part.half_life_months,
        jumps=part.jumps.a_year,
        jump_mean=part.jumps.mean,
        jump_spread=part.jumps.spread,
        regimes=tuple(Regime(one.factor, one.months) for one in part.regimes),
        steps=tuple(Step(month_number(one.at) - start, one.factor, one.chance) for one in part.steps),
        history=_history(part, file.currency, beside),
        block_months=part.history.block_months if part.history else 3,
        lowest_micro=part.lowest,
        highest_micro=part.highest or 0,
    )


def _history(part: PricePart, currency: str, beside: Path | None) -> tuple[float, ...]:
    """Logarithms of the recorded monthly changes."""
    told = part.history
    if told is None:
        return ()
    if (told.table is None) == (not told.monthly):
        hint = "give `table`, a file of prices, or `monthly`, the prices themselves"
        raise Invalid("a history needs a table or monthly prices, and not both", field="price.history", hint=hint)
    found: Sequence[float] = changes_of_prices(told.monthly) if told.table is None else changes_of(told, currency, beside)
    mean = sum(found) / len(found) if told.centred else 0.0
    return tuple(change - mean for change in found)


def _check(scenario: Scenario) -> None:
    """Amounts must fit 64 bits on the dearest path, and something must be in service."""
    if not any(scenario.gpus(month) for month in range(scenario.months)):
        hint = "see in_service and life_years: all GPUs are sold before the accounts start, or bought after they end"
        raise Invalid("no GPU is in service in any month", field="fleet", hint=hint)
    if not scenario.fits():
        hint = "write money in thousands of the currency, or lower price.highest, months or gpus"
        raise Invalid("amounts could grow beyond what 64 bits hold in micro-units", field="price.highest", hint=hint)
