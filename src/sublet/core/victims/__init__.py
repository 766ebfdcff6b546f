"""Victim orders: what it weighs to end a lease, one order a file; a new one is a file, a row here and a page in the docs.

A reclaim picks the leases whose weights add up to least for the GPUs that the owner needs. Each order gives a weight (int64[n])
for the rows of `tables.HELD_ROW`; `loss` is what each end is expected to lose (int64[n], micro-units).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.victims.fewest_jobs import fewest_jobs
from sublet.core.victims.first_in_first_out import first_in_first_out
from sublet.core.victims.least_loss import least_loss

VictimOrder = Callable[[npt.NDArray[Any], npt.NDArray[np.int64]], npt.NDArray[np.int64]]

VICTIM_ORDERS: Mapping[str, VictimOrder] = {
    "least_loss": least_loss,
    "fewest_jobs": fewest_jobs,
    "first_in_first_out": first_in_first_out,
}

__all__ = ["VICTIM_ORDERS", "VictimOrder"]
