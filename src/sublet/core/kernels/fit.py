"""Where a gang fits: the fullest nodes that still have room, found in one pass.

`free`, `slots`: uint64[n], one bit a GPU, one row a node. A node has 64 GPUs at most, so rows are counted by how many GPUs are
free on them instead of sorted.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole

_PAIRS = np.uint64(0x5555555555555555)
_FOURS = np.uint64(0x3333333333333333)
_BYTES = np.uint64(0x0F0F0F0F0F0F0F0F)
_ONES = np.uint64(0x0101010101010101)


@njit(cache=True, inline="always")
def popcount(mask: np.uint64) -> Whole:
    """Set bits of a mask: sums of neighbouring bits, pairs and nibbles, added up by one multiplication."""
    x = mask - ((mask >> np.uint64(1)) & _PAIRS)
    x = (x & _FOURS) + ((x >> np.uint64(2)) & _FOURS)
    x = (x + (x >> np.uint64(4))) & _BYTES
    return np.int64((x * _ONES) >> np.uint64(56))


@njit(cache=True)
def fullest(
    free: npt.NDArray[np.uint64], slots: npt.NDArray[np.uint64], need: int, nodes: int, whole: bool
) -> npt.NDArray[np.int64]:
    """Rows (int64[nodes], rising) of the nodes with the fewest free GPUs that have `need`; empty if there are not so many.

    `whole`: only nodes that are free altogether and have exactly `need` GPUs. Among equals the first rows win.
    """
    n = len(free)
    fits = np.zeros(65, np.int64)  # nodes that fit, by their free GPUs
    counts = np.empty(n, np.int8)
    for row in range(n):
        gpus = popcount(free[row])
        fit = gpus == need and free[row] == slots[row] if whole else gpus >= need
        counts[row] = gpus if fit else -1
        if fit:
            fits[gpus] += 1
    if fits.sum() < nodes:
        return np.empty(0, np.int64)
    last, before = 0, 0  # nodes with fewer than `last` free GPUs are all taken, of those with `last` only the first
    for gpus in range(65):
        last = gpus
        if before + fits[gpus] >= nodes:
            break
        before += fits[gpus]
    rows = np.empty(nodes, np.int64)
    taken, of_last = 0, nodes - before
    for row in range(n):
        if counts[row] < 0 or counts[row] > last:
            continue
        if counts[row] == last:
            if of_last == 0:
                continue
            of_last -= 1
        rows[taken] = row
        taken += 1
    return rows
