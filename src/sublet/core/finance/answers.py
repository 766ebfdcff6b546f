"""What follows from accounts: break-evens, pay-back, depreciation recovered, and basis points of the owner's own margin."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sublet.core.finance.accounts import Flows, Month
from sublet.core.finance.amounts import PPM, YEAR_MONTHS
from sublet.core.finance.scenario import Owner, Scenario
from sublet.core.finance.tables import Months

BPS = 10_000


@dataclass(frozen=True, slots=True)
class BreakEven:
    """List prices of a GPU-hour (micro-units, exact) and shares of the fleet (of 1) at which nothing is left and nothing lacks.

    None: no price, or no share, does it. Prices hold over all months with every class leased, whatever its own floor.
    """

    price_incremental: Fraction | None  # contribution 0
    price_full: Fraction | None  # after the full cost 0
    share_programme: Fraction | None  # pays what leasing needs beside GPUs
    share_idle: Fraction | None  # pays what the idle part of the fleet costs either way
    share_fleet: Fraction | None  # pays what the whole fleet costs either way


def break_even(scenario: Scenario, months: Months, base: Flows) -> BreakEven:
    """Where leasing begins to pay; `base` is the base case over all months."""
    keep = _kept_ppm(months)
    brings = sum((Fraction(int(hours)) * keep[kind] for kind, hours in enumerate(months.list_h.sum(axis=0))), Fraction(0))
    variable, programme = int(months.variable.sum()), int(months.programme.sum())
    either_way = int(months.leased_depreciation.sum() + months.leased_standing.sum())
    hours, capacity = base.leased_gpu_h, base.capacity_gpu_h
    each = Fraction(base.contribution_micro + base.programme_micro, hours) if hours else Fraction(0)
    fleet = base.fleet_depreciation_micro + base.fleet_standing_micro
    idle = fleet * Fraction(scenario.idle_ppm, PPM)

    def share(cost: Fraction | int) -> Fraction | None:
        return Fraction(cost) / each / capacity if each > 0 else None

    return BreakEven(
        price_incremental=Fraction(variable + programme) / brings if brings else None,
        price_full=Fraction(variable + programme + either_way) / brings if brings else None,
        share_programme=share(programme),
        share_idle=share(programme + idle),
        share_fleet=share(programme + fleet),
    )


def _kept_ppm(months: Months) -> list[Fraction]:
    """What is left of a list price in each class after refunds, credits and selling, of 1."""
    kept = []
    for price, refund, credit, _ in months.terms.tolist():
        kept.append(Fraction(price * (PPM - refund - credit - months.selling_ppm), PPM * PPM))
    return kept


def payback_month(accounts: Sequence[Month], target_micro: int) -> int | None:
    """The first month at whose end the contributions so far reach the target; None: not within these months."""
    so_far = 0
    for month in accounts:
        so_far += month.flows.contribution_micro
        if so_far >= target_micro:
            return month.number
    return None


def lift_bps(owner: Owner, revenue_micro: int | Fraction, contribution_micro: int | Fraction) -> Fraction:
    """By how many basis points a year's leasing moves the owner's operating margin: (I + c) / (R + r) - I / R."""
    with_leasing = Fraction(owner.income_micro + contribution_micro) / (owner.revenue_micro + revenue_micro)
    return (with_leasing - Fraction(owner.income_micro, owner.revenue_micro)) * BPS


def ratio_bps(part: int, whole: int) -> int | None:
    """A part in basis points of the whole, rounded down as in the live statement; None where there is no whole."""
    return part * BPS // whole if whole else None


def yearly(amount: int, months: int) -> Fraction:
    """A sum over some months as one of a year."""
    return Fraction(amount * YEAR_MONTHS, months)
