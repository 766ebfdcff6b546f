"""Whole amounts: shares of micro-units that add up, without a float between them.

A share is in millionths (`*_ppm`). Everything that is booked is a whole number, half a unit rounded up, so that a spreadsheet
with the same rule comes to the same cent, and the compiled kernel to the same micro-unit.
"""

from fractions import Fraction

PPM = 1_000_000
MONTH_H = 730
"""Hours of a month in these accounts: a twelfth of 8,760, the same in each."""
YEAR_MONTHS = 12
MONEY_MICRO_MAX = 2**62
"""No sum of an account may come near the end of 64 bits."""


def share_of(amount: int, ppm: int) -> int:
    """`ppm` millionths of an amount, half a unit rounded up: floor(amount * ppm / 1e6 + 1/2)."""
    whole, rest = divmod(amount, PPM)
    return whole * ppm + (rest * ppm + PPM // 2) // PPM


def rounded(value: Fraction | int) -> int:
    """A rational as a whole number, half a unit rounded up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
