"""The two plain scores that FGD is compared with: any node, and the node that is left with the least.

Both give back int64[a, 2], one row an arrival: the row of the node (NOWHERE: the pod failed) and its GPUs, one bit each.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole
from sublet.sim.packing.fleet import (
    CPU,
    GPUS,
    MILLI,
    NOWHERE,
    PLACES,
    WHOLE,
    Fleet,
    Ints,
    fits,
    free_gpus,
    shares_gpu,
    take,
    tightest_gpu,
)

_CPU_MOST, _GPU_MOST = 128_000.0, 8.0 * WHOLE
"""The largest node there is, milli-CPU and milli-GPU: what best fit measures leftovers by."""


@njit(cache=True)
def _nth_gpu(gpus: Ints, milli: Whole, draw: float) -> Whole:
    """One of the GPUs with `milli` free, as its bit, each as likely."""
    fitting = 0
    for gpu in range(PLACES):
        fitting += gpus[gpu] >= milli
    wanted = int(draw * fitting)
    for gpu in range(PLACES):
        if gpus[gpu] >= milli:
            if wanted == 0:
                return 1 << gpu
            wanted -= 1
    return 0


@njit(cache=True)
def random_fit(fleet: Fleet, kinds: Ints, arrivals: Ints, draws: npt.NDArray[np.float64]) -> Ints:
    """Any node that fits, each as likely, and of it any GPU that fits. `draws`: float64[a, 2], node and GPU."""
    placed = np.full((len(arrivals), 2), NOWHERE, np.int64)
    rows = np.empty(len(fleet.cpu), np.int64)
    for i in range(len(arrivals)):
        kind = kinds[arrivals[i]]
        fitting = 0
        for row in range(len(fleet.cpu)):
            if fits(fleet, row, kind):
                rows[fitting] = row
                fitting += 1
        if fitting == 0:
            continue
        row = rows[int(draws[i, 0] * fitting)]
        gpus = fleet.gpus[row]
        mask = _nth_gpu(gpus, kind[MILLI], draws[i, 1]) if shares_gpu(kind) else free_gpus(gpus, kind[GPUS])
        take(fleet, row, kind, mask)
        placed[i, 0], placed[i, 1] = row, mask
    return placed


@njit(cache=True)
def best_fit(fleet: Fleet, kinds: Ints, arrivals: Ints) -> Ints:
    """The node left with the least CPU and GPU, half and half and in hundredths of the largest node; of it the tightest GPU."""
    placed = np.full((len(arrivals), 2), NOWHERE, np.int64)
    for i in range(len(arrivals)):
        kind = kinds[arrivals[i]]
        best, highest = NOWHERE, -1
        for row in range(len(fleet.cpu)):
            if fits(fleet, row, kind):
                cpu = (fleet.cpu[row] - kind[CPU]) / _CPU_MOST
                gpu = (fleet.gpus[row].sum() - kind[MILLI] * kind[GPUS]) / _GPU_MOST
                score = int((1.0 - (0.5 * cpu + 0.5 * gpu)) * 100.0)
                if score > highest:
                    best, highest = row, score
        if best == NOWHERE:
            continue
        gpus = fleet.gpus[best]
        mask = tightest_gpu(gpus, kind[MILLI]) if shares_gpu(kind) else free_gpus(gpus, kind[GPUS])
        take(fleet, best, kind, mask)
        placed[i, 0], placed[i, 1] = best, mask
    return placed
