"""Our score: FGD's fragments of all requests seen so far, and GPUs that will be stranded for want of CPU.

FGD looks one pod ahead: CPU counts only once a node has too little of it for the next pod. By then the nodes with many GPUs
have no CPU left, while nodes with few GPUs have CPU that nobody can use. So we add what is expected to be stranded once the
node is filled, which grows long before that; both are milli-GPU, so no weight stands between them. FGD also leaves out the
rarest 5 % of pods, and with them those that need a whole node; here every request counts, and each size of node stands for one
pod that asks for all of it, so that whole nodes are kept even before the first such pod comes. Losses are compared as they are,
not in steps.

Nothing is known beforehand: popularity and the need for CPU come from the pods that have arrived, the failed ones among them.
They are read again whenever the arrivals have grown by an eighth: all that is remembered of nodes is then computed anew.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.fragments import CLASS_CPU, CLASS_GPUS, CLASS_MILLI
from sublet.core.kernels.money import Whole
from sublet.sim.packing.descent import Measure, empty_memo, least_loss
from sublet.sim.packing.fleet import CPU, GPUS, MILLI, NOWHERE, WHOLE, Fleet, Ints, take

_GROWTH = 8


@njit(cache=True)
def cpu_need(kinds: Ints, seen: Ints) -> npt.NDArray[np.float64]:
    """Milli-CPU that pods seen so far (int64[k]) take to fill a GPU: mean and spread, float64[2]; 0 if none asked for a GPU.

    A pod with g GPUs is taken for a draw of mean u * g and variance s^2 * g, which is what `stranded` adds up.
    """
    gpus, cpu, squares = 0.0, 0.0, 0.0
    for k in range(len(kinds)):
        if kinds[k, GPUS] > 0:
            gpus += seen[k] * kinds[k, MILLI] * kinds[k, GPUS] / WHOLE
            cpu += seen[k] * kinds[k, CPU]
    if gpus == 0.0:
        return np.zeros(2)
    mean = cpu / gpus
    for k in range(len(kinds)):
        if kinds[k, GPUS] > 0:
            squares += seen[k] * (kinds[k, CPU] - mean * kinds[k, MILLI] * kinds[k, GPUS] / WHOLE) ** 2
    return np.array([mean, math.sqrt(squares / gpus)])


@njit(cache=True)
def learned(kinds: Ints, seen: Ints, sizes: Ints) -> Measure:
    """The measure by pods seen so far, and one pod for each of the node sizes (GPUs, int64[s]) that asks for all GPUs of it."""
    requests = np.zeros((len(sizes) + len(kinds), 3), np.int64)
    share = np.ones(len(requests))
    requests[: len(sizes), CLASS_MILLI] = WHOLE
    requests[: len(sizes), CLASS_GPUS] = sizes
    many = len(sizes)
    for k in range(len(kinds)):
        if seen[k] > 0 and kinds[k, GPUS] > 0:
            requests[many, CLASS_CPU], requests[many, CLASS_MILLI] = kinds[k, CPU], kinds[k, MILLI]
            requests[many, CLASS_GPUS], share[many] = kinds[k, GPUS], seen[k]
            many += 1
    return Measure(requests[:many], share[:many] / share[:many].sum(), cpu_need(kinds, seen), 0.0)


@njit(cache=True)
def least_stranded(fleet: Fleet, kinds: Ints, arrivals: Ints, sizes: Ints) -> Ints:
    """Each pod goes where the least GPU becomes useless, as far as can be told from the pods up to this one."""
    placed = np.full((len(arrivals), 2), NOWHERE, np.int64)
    memo = empty_memo(len(fleet.cpu), len(kinds))
    seen = np.zeros(len(kinds), np.int64)
    measure = learned(kinds, seen, sizes)
    again: Whole = 1
    for i in range(len(arrivals)):
        arrival = arrivals[i]
        seen[arrival] += 1
        if i + 1 >= again:
            measure = learned(kinds, seen, sizes)
            memo.known[:] = False
            again = i + 1 + max(1, (i + 1) // _GROWTH)
        row = least_loss(fleet, kinds, arrival, measure, memo)
        if row != NOWHERE:
            placed[i, 0], placed[i, 1] = row, memo.mask[row, arrival]
            take(fleet, row, kinds[arrival], memo.mask[row, arrival])
            memo.known[row] = False
    return placed
