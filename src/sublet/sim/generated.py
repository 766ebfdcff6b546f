"""Traces that are made up, for measuring speed at sizes that no public trace has: said to be so wherever they are used.

Jobs arrive by day and week as people work. Run times are a mixture of three log-normals (minutes, hours, days), sizes a table;
run times are then scaled so that the jobs ask for a given share of the pool.
"""

import numpy as np
import numpy.typing as npt

from sublet.core.units import HOUR_US, TICK_US
from sublet.sim.scene import OwnerJobs

Ints = npt.NDArray[np.int64]

SIZES = (1, 2, 4, 8, 16, 32, 64)
SHARES = (0.62, 0.10, 0.08, 0.14, 0.03, 0.02, 0.01)
"""How many jobs have each size, in GPUs; those that a pool cannot hold become the largest that it can."""

_MEDIANS_H = (0.15, 3.0, 30.0)
_PARTS = (0.6, 0.3, 0.1)
_SPREAD = 1.2  # sigma of the logarithm
_LONGEST_H = 30 * 24.0


def generated(number: int, *, capacity: int, node_gpus: int, from_us: int, days: int, load: float, seed: int) -> OwnerJobs:
    """So many jobs over so many days for a pool of like nodes; the same arguments give the same jobs."""
    rng = np.random.default_rng(seed)
    submit = from_us + _arrivals(rng, number, days)
    gpus = np.minimum(rng.choice(np.array(SIZES), number, p=SHARES), _power_below(capacity))
    kind = rng.choice(3, number, p=_PARTS)
    hours = np.minimum(np.array(_MEDIANS_H)[kind] * np.exp(_SPREAD * rng.standard_normal(number)), _LONGEST_H)
    asked = float((hours * gpus).sum())
    hours *= load * capacity * days * 24 / asked
    run = np.maximum(1, np.rint(np.minimum(hours, _LONGEST_H) * HOUR_US / TICK_US)).astype(np.int64) * TICK_US
    nodes = -(-gpus // node_gpus)
    return OwnerJobs(submit, run, -(-gpus // nodes), nodes)


def _arrivals(rng: np.random.Generator, number: int, days: int) -> Ints:
    """Instants over so many days, rising: twice as many by day as by night, and fewer at the weekend."""
    hours = np.arange(days * 24)
    rate = (1 + 0.6 * np.sin((hours % 24 - 9) / 24 * 2 * np.pi)) * np.where(hours // 24 % 7 < 5, 1.0, 0.6)
    hour = rng.choice(len(hours), number, p=rate / rate.sum())
    ticks = HOUR_US // TICK_US
    return np.sort(hour * ticks + rng.integers(0, ticks, number)).astype(np.int64) * TICK_US


def _power_below(gpus: int) -> int:
    """The largest power of two that is not above."""
    return 1 << max(0, gpus.bit_length() - 1)
