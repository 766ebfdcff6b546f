"""A report as one value: everything that the page shows, the workbook holds and the JSON document says.

Amounts are whole micro-units of the scenario's currency (`*_micro`); those that people read are made from them, never the
other way round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import sublet
from sublet.advice.finance.actual import Actual
from sublet.advice.finance.assumed import Assumed, assumed
from sublet.advice.finance.chance import Chance, chance_of
from sublet.advice.finance.claims import Claim, checked
from sublet.advice.finance.headline import Headline, headline
from sublet.advice.finance.limits import LIMITS
from sublet.advice.finance.lines import (
    ClassLine,
    MonthLine,
    UnitLine,
    YearLine,
    class_lines,
    month_lines,
    unit_lines,
    year_lines,
)
from sublet.advice.finance.read import Asked
from sublet.advice.finance.turned import Turned, turned
from sublet.core.finance.accounts import Flows, Month, accounts_of, total
from sublet.core.finance.amounts import YEAR_MONTHS
from sublet.core.finance.answers import break_even, lift_bps, payback_month, ratio_bps
from sublet.core.finance.paths import base_prices
from sublet.core.finance.scenario import Scenario
from sublet.core.finance.tables import Months, months_of

KIND = "sublet.finance"
SCHEMA = 1
"""Goes up when a key changes its meaning or goes away; new keys may come at any time."""

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class ScenarioPart:
    """What was asked. `leased_share` of the fleet's time, once the ramp is over."""

    name: str
    source: str
    title: str
    currency: str
    starts: str
    ends: str
    months: int
    gpus: int  # in service in the first month
    price_micro: int
    idle_share: float
    leased_share: float
    captured: float
    shares_from: str
    leasable: dict[int, float]


@dataclass(frozen=True, slots=True)
class OwnerPart:
    """The owner's own year, and what leasing's first year and mean year do to its operating margin (basis points)."""

    revenue_micro: int
    income_micro: int
    margin: float
    first_year_bps: float
    mean_bps: float
    low_bps: float | None  # of 5 and 95 of 100 paths, mean year
    high_bps: float | None


@dataclass(frozen=True, slots=True)
class Breaks:
    """Break-evens: list prices of a GPU-hour (micro-units, rounded up), shares of the fleet (of 1), months until paid back."""

    price_incremental_micro: int | None
    price_full_micro: int | None
    share_programme: float | None
    share_idle: float | None
    share_fleet: float | None
    setup_month: str | None
    fleet_month: str | None
    setup_micro: int
    fleet_micro: int


@dataclass(frozen=True, slots=True)
class Sums:
    """Ratios over a time. Basis points are rounded down, as in the live statement."""

    margin_bps: int | None  # of the revenue
    contribution_bps: int | None  # of the revenue
    full_margin_bps: int | None  # of the revenue
    depreciation_recovered_bps: int | None  # contribution against the depreciation of the leased hours
    fleet_depreciation_recovered_bps: int | None  # and of the whole fleet


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    kind: str
    schema: int
    version: str
    scenario: ScenarioPart
    headline: Headline
    units: tuple[UnitLine, ...]
    classes: tuple[ClassLine, ...]
    total: Flows
    year: Flows
    sums: Sums
    years: tuple[YearLine, ...]
    months: tuple[MonthLine, ...]
    break_even: Breaks
    owner: OwnerPart | None
    chance: Chance | None
    turned: tuple[Turned, ...]
    claims: tuple[Claim, ...]
    actual: Actual | None
    assumptions: tuple[Assumed, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a report is made."""

    paths: int
    seed: int
    claims: bool = False
    workers: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """The base case of a scenario."""

    scenario: Scenario
    months: Months
    accounts: tuple[Month, ...]

    @property
    def total(self) -> Flows:
        """All months."""
        return total([one.flows for one in self.accounts])

    @property
    def year(self) -> Flows:
        """The first twelve."""
        return total([one.flows for one in self.accounts[:YEAR_MONTHS]])


def base_of(scenario: Scenario) -> Base:
    """The accounts of the base case."""
    months = months_of(scenario)
    return Base(scenario, months, accounts_of(months, base_prices(scenario.price, scenario.months)))


def report_of(asked: Asked, wanted: Wanted, tell: Tell, actual: Actual | None = None) -> Report:
    """Everything that a scenario says; `actual` is what the books say beside it."""
    base = base_of(asked.scenario)
    everything, year = base.total, base.year
    chance = chance_of(asked.scenario, wanted.paths, wanted.seed, tell, wanted.workers) if wanted.paths else None
    tell("turning assumptions", 0.0)
    breaks, owner = _breaks(asked, base), _owner(base, chance)
    part = _scenario(asked, base)
    return Report(
        kind=KIND,
        schema=SCHEMA,
        version=sublet.__version__,
        scenario=part,
        headline=headline(asked, base.accounts, chance, actual),
        units=unit_lines(asked.scenario),
        classes=class_lines(asked, base.months),
        total=everything,
        year=year,
        sums=_sums(everything),
        years=year_lines(asked, base.accounts),
        months=month_lines(asked, base.accounts),
        break_even=breaks,
        owner=owner,
        chance=chance,
        turned=turned(asked),
        claims=checked(asked, year, chance) if wanted.claims else (),
        actual=actual,
        assumptions=assumed(asked),
        limits=LIMITS,
    )


def _scenario(asked: Asked, base: Base) -> ScenarioPart:
    months = month_lines(asked, base.accounts)
    return ScenarioPart(
        name=asked.name,
        source=asked.source,
        title=asked.file.title,
        currency=asked.file.currency,
        starts=months[0].month,
        ends=months[-1].month,
        months=asked.scenario.months,
        gpus=asked.scenario.gpus(0),
        price_micro=asked.scenario.price.start_micro,
        idle_share=asked.shares.idle,
        leased_share=asked.scenario.leased_ppm / 1e6,
        captured=asked.shares.captured,
        shares_from=asked.shares.source,
        leasable=dict(asked.shares.hours),
    )


def _owner(base: Base, chance: Chance | None) -> OwnerPart | None:
    owner, months = base.scenario.owner, base.scenario.months
    if owner is None:
        return None
    everything, year = base.total, base.year

    def mean(contribution: int, revenue: int) -> float:
        return float(lift_bps(owner, Fraction(revenue * YEAR_MONTHS, months), Fraction(contribution * YEAR_MONTHS, months)))

    spread: list[float] = []
    if chance is not None:
        for at in (0, -1):
            pair = chance.net_revenue_micro[at], chance.contribution_micro[at]
            spread.append(float(lift_bps(owner, *pair)))
    return OwnerPart(
        revenue_micro=owner.revenue_micro,
        income_micro=owner.income_micro,
        margin=owner.income_micro / owner.revenue_micro,
        first_year_bps=float(lift_bps(owner, year.net_revenue_micro, year.contribution_micro)),
        mean_bps=mean(everything.contribution_micro, everything.net_revenue_micro),
        low_bps=spread[0] if spread else None,
        high_bps=spread[1] if spread else None,
    )


def _breaks(asked: Asked, base: Base) -> Breaks:
    found = break_even(base.scenario, base.months, base.total)
    setup = base.scenario.leasing.setup_micro
    fleet = base.months.opening + int(base.months.capex.sum())
    lines = month_lines(asked, base.accounts)

    def when(target: int) -> str | None:
        month = payback_month(base.accounts, target)
        return None if month is None else lines[month].month

    return Breaks(
        price_incremental_micro=_up(found.price_incremental),
        price_full_micro=_up(found.price_full),
        share_programme=_float(found.share_programme),
        share_idle=_float(found.share_idle),
        share_fleet=_float(found.share_fleet),
        setup_month=when(0),
        fleet_month=when(fleet),
        setup_micro=setup,
        fleet_micro=fleet,
    )


def _up(value: Fraction | None) -> int | None:
    """The lowest whole price that is enough."""
    return None if value is None else -(-value.numerator // value.denominator)


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def _sums(flows: Flows) -> Sums:
    return Sums(
        margin_bps=ratio_bps(flows.margin_micro, flows.revenue_micro),
        contribution_bps=ratio_bps(flows.contribution_micro, flows.revenue_micro),
        full_margin_bps=ratio_bps(flows.full_margin_micro, flows.revenue_micro),
        depreciation_recovered_bps=ratio_bps(flows.contribution_micro, flows.depreciation_micro),
        fleet_depreciation_recovered_bps=ratio_bps(flows.contribution_micro, flows.fleet_depreciation_micro),
    )
