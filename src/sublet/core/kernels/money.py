"""Money inside kernels: `units.charge_micro` on 64-bit integers, split so that nothing overflows.

Whole GPU-hours and the rest are charged apart; the sum is exact, as whole hours cost whole micro-units.
"""

from typing import Any

import numpy as np
from numba import njit

from sublet.core.rating import INTERVAL_MIN_US

Whole = int | np.signedinteger[Any]
"""A 64-bit integer, as Python or as numpy has it."""

HOUR_US = np.int64(3_600_000_000)
INTERVAL_US = np.int64(INTERVAL_MIN_US)


@njit(cache=True)
def charge_micro(gpu_us: Whole, price_micro: Whole) -> Whole:
    """What `gpu_us` GPU-microseconds cost at `price_micro` a GPU-hour, in micro-units, half a unit rounded up."""
    hours, rest = gpu_us // HOUR_US, gpu_us % HOUR_US
    return hours * price_micro + (2 * rest * price_micro + HOUR_US) // (2 * HOUR_US)


@njit(cache=True)
def hold_micro(gpus: Whole, window_us: Whole, price_micro: Whole) -> Whole:
    """What is reserved for `window_us` of `gpus`, as `rating.hold_micro` has it: the charge, and half a unit an interval."""
    if price_micro == 0:
        return np.int64(0)
    intervals = -(-window_us // (2 * INTERVAL_US))
    return charge_micro(gpus * window_us, price_micro) + intervals + 2


@njit(cache=True)
def owed_micro(price_micro: Whole, multiple: Whole, term_us: Whole) -> Whole:
    """`multiple` times the price of a term of one GPU, in micro-units, rounded down."""
    hours, rest = term_us // HOUR_US, term_us % HOUR_US
    return multiple * price_micro * hours + multiple * price_micro * rest // HOUR_US
