"""Arithmetic behind the check of an industry's claims: exact rationals, each function one line of a spreadsheet.

Money in any one unit as long as it is the same throughout; a year has 8,760 hours.
"""

from collections.abc import Sequence
from fractions import Fraction

from sublet.core.finance.answers import BPS
from sublet.core.finance.scenario import Owner

YEAR_H = 8_760

Number = int | Fraction


def exact(value: float) -> Fraction:
    """The rational that a person wrote: 0.1 is a tenth."""
    return Fraction(str(value))


def capex_sum(years: Sequence[tuple[Number, Number]]) -> tuple[Number, Number]:
    """Sum of yearly ranges, low and high."""
    return sum(low for low, _ in years), sum(high for _, high in years)


def leased_hours(gpus: Number, share: Number) -> Number:
    """GPU-hours of a year at a share of the fleet."""
    return gpus * YEAR_H * share


def price_needed(revenue: Number, gpus: Number, share: Number) -> Fraction:
    """Price of a GPU-hour at which that share brings that revenue."""
    return Fraction(revenue) / leased_hours(gpus, share)


def share_needed(revenue: Number, gpus: Number, price: Number) -> Fraction:
    """Share of the fleet that brings that revenue at a price; above 1 no fleet of this size does."""
    return Fraction(revenue) / (gpus * YEAR_H * price)


def gpus_needed(revenue: Number, share: Number, price: Number) -> Fraction:
    """Fleet of which that share brings that revenue."""
    return Fraction(revenue) / (YEAR_H * share * price)


def revenue_for_lift(owner: Owner, bps: Number, margin: Number) -> Fraction | None:
    """Revenue at which leasing of that margin lifts the owner's operating margin by so many basis points.

    Solves (I + m x) / (R + x) = I / R + b for x: x = b R / (m - I / R - b). None where no revenue is enough.
    """
    own, lift = Fraction(owner.income_micro, owner.revenue_micro), Fraction(bps) / BPS
    room = margin - own - lift
    return lift * owner.revenue_micro / room if room > 0 else None


def saving_for_lift(owner: Owner, bps: Number) -> Fraction:
    """Pure saving of cost that lifts the margin so far."""
    return Fraction(bps) / BPS * owner.revenue_micro


def power_w(gpus: Number, watts: Number, pue: Number) -> Number:
    """Power of a fleet at the meter."""
    return gpus * watts * pue


def fixed_energy(idle_w: Number, busy_w: Number) -> Fraction:
    """The part of a working GPU's energy that is paid when it idles, too."""
    return Fraction(idle_w) / busy_w


def value_lost(price: Number, residual: Number, life_months: int, months: int) -> Fraction:
    """Straight-line depreciation of some months."""
    return Fraction(price * (1 - residual)) * min(months, life_months) / life_months
