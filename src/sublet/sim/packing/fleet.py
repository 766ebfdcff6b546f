"""What is free of each node, and what all placements share: whether a pod fits, which GPUs it gets, taking them.

Kinds of pods are int64[k, 4]: milli-CPU, MiB of memory, milli-GPU of each GPU, how many GPUs. A pod asks for a part of one GPU,
for whole GPUs, or for none.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole

Ints = npt.NDArray[np.int64]

WHOLE = 1_000
"""Milli-GPU of a GPU."""
PLACES = 8
"""A node has so many GPUs at most."""
CPU, MEMORY, MILLI, GPUS = 0, 1, 2, 3
"""Columns of a kind."""
NOWHERE = -1
"""The node of a pod that failed."""


class Fleet(NamedTuple):
    """What is free, one row a node; a score that finds two nodes equal takes the earlier row."""

    cpu: Ints
    """Milli-CPU, int64[n]."""
    memory: Ints
    """MiB, int64[n]."""
    gpus: Ints
    """Milli-GPU of each GPU, int64[n, PLACES]; 0 where the node has no such GPU."""

    def copied(self) -> "Fleet":
        """The same, to be filled."""
        return Fleet(self.cpu.copy(), self.memory.copy(), self.gpus.copy())

    def in_order(self, rows: Ints) -> "Fleet":
        """The same nodes in another order."""
        return Fleet(self.cpu[rows], self.memory[rows], self.gpus[rows])


@njit(cache=True)
def fits(fleet: Fleet, row: Whole, kind: Ints) -> bool:
    """Whether the node has the CPU, the memory and enough GPUs with enough free for a pod of this kind (int64[4])."""
    if fleet.cpu[row] < kind[CPU] or fleet.memory[row] < kind[MEMORY]:
        return False
    fitting = 0
    for gpu in range(PLACES):
        fitting += fleet.gpus[row, gpu] >= kind[MILLI]
    return bool(fitting >= kind[GPUS])


@njit(cache=True)
def shares_gpu(kind: Ints) -> bool:
    """Whether the pod asks for a part of one GPU, so that the score chooses which."""
    return bool(kind[GPUS] == 1 and kind[MILLI] < WHOLE)


@njit(cache=True)
def free_gpus(gpus: Ints, number: Whole) -> Whole:
    """The first `number` GPUs of a node (int64[PLACES]) that are free altogether, one bit a GPU."""
    mask, taken = 0, 0
    for gpu in range(PLACES):
        if taken < number and gpus[gpu] == WHOLE:
            mask |= 1 << gpu
            taken += 1
    return mask


@njit(cache=True)
def tightest_gpu(gpus: Ints, milli: Whole) -> Whole:
    """The GPU of a node with the least free that still has `milli`, the first of equals, as its bit; 0 if there is none."""
    mask, least = 0, WHOLE + 1
    for gpu in range(PLACES):
        if milli <= gpus[gpu] < least:
            mask, least = 1 << gpu, gpus[gpu]
    return mask


@njit(cache=True)
def take(fleet: Fleet, row: Whole, kind: Ints, mask: Whole) -> None:
    """Give the pod its CPU and memory, and `kind[MILLI]` of every GPU whose bit is set."""
    fleet.cpu[row] -= kind[CPU]
    fleet.memory[row] -= kind[MEMORY]
    for gpu in range(PLACES):
        if mask >> gpu & 1:
            fleet.gpus[row, gpu] -= kind[MILLI]
