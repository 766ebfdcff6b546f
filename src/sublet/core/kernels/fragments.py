"""Idle GPU that nobody can use: because no request fits it now, or because the node will run out of CPU before.

Amounts of GPU are in milli-GPU (1,000 is a whole GPU), amounts of CPU in milli-CPU. A node is its free CPU and what is free of
each of its GPUs, int64[g]; places for GPUs that it does not have may be there, with nothing free. A request is for a part of
one GPU, for several whole ones, or for none.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]

CLASS_CPU, CLASS_MILLI, CLASS_GPUS = 0, 1, 2
"""Columns of a class of requests, int64[k, 3]: milli-CPU, milli-GPU of each GPU (0: no GPU at all), how many GPUs."""

_ROOT_2, _ROOT_2_PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


@njit(cache=True)
def fragments(cpu_milli: Whole, gpus: Ints, classes: Ints, share: Floats) -> float:
    """Milli-GPU of a node that the next request is expected to find of no use, F = sum over classes m of share[m] * F(m).

    F(m) is all that is free if a request of class m does not fit the node (too little CPU, too few GPUs with enough free) or
    asks for no GPU; else what is free of those GPUs that have less than the class asks of one. `classes`: int64[k, 3],
    `share`: float64[k], how much of the arrivals each is. After Weng et al., Beware of Fragmentation (USENIX ATC'23), as their
    public simulator computes it. The GPUs are looked at once for all neighbouring classes that ask for as much of one.
    """
    free = gpus.sum()
    if free == 0:
        return 0.0
    lost = 0.0
    looked_for, fitting, too_small = 0, 0, 0
    for m in range(len(share)):
        milli = classes[m, CLASS_MILLI]
        if milli == 0 or cpu_milli < classes[m, CLASS_CPU]:
            lost += share[m] * free
            continue
        if milli != looked_for:
            looked_for, fitting, too_small = milli, 0, 0
            for gpu in range(len(gpus)):
                if gpus[gpu] >= milli:
                    fitting += 1
                else:
                    too_small += gpus[gpu]
        lost += share[m] * (free if fitting < classes[m, CLASS_GPUS] else too_small)
    return lost


@njit(cache=True)
def stranded(cpu_milli: Whole, gpu_milli: Whole, need_milli: float, spread_milli: float) -> float:
    """Milli-GPU of a node that are expected to stay idle for want of CPU once the others are filled.

    What fills g GPUs needs CPU of mean `need_milli` * g and variance `spread_milli`^2 * g, about normal as it is a sum. By how
    much a demand D = N(u, s^2) exceeds a stock c on average is E max(0, D - c) = s * (f(z) + z * P(z)) with z = (u - c) / s and
    the normal density f and distribution P: the loss function of the newsvendor. Divided by `need_milli` it is in GPUs.
    """
    if gpu_milli <= 0 or need_milli <= 0.0:
        return 0.0
    filled = gpu_milli / 1000.0
    excess, deviation = need_milli * filled - cpu_milli, spread_milli * math.sqrt(filled)
    if deviation <= 0.0:
        return max(0.0, excess) / need_milli * 1000.0
    z = excess / deviation
    below = 0.5 * (1.0 + math.erf(z / _ROOT_2))
    return deviation * (math.exp(-0.5 * z * z) / _ROOT_2_PI + z * below) / need_milli * 1000.0


@njit(cache=True)
def count_requests(held: Rows, queue: Rows, expected: Ints) -> Ints:
    """int64[65]: how many requests there are for so many GPUs of a node; a gang is one.

    `held`: tables.HELD_ROW, the leases that there are; `queue`: tables.QUEUE_ROW, those that wait; `expected`: int64[65], so
    many are counted beside them.
    """
    found = expected.copy()
    for i in range(len(held)):
        if held[i]["used"]:
            found[held[i]["gpus"] // held[i]["nodes"]] += 1
    for i in range(len(queue)):
        if queue[i]["used"]:
            found[queue[i]["gpus"] // queue[i]["nodes"]] += 1
    return found


@njit(cache=True)
def scrap(requests: Ints, width: int, crowding: int) -> Ints:
    """int64[need, free], `width` each: twice what is spoiled by taking `need` of the `free` GPUs of a node, at least 0.

    F(free - need) - F(free) + crowding * free, in milli-GPU, with F(c) = 1000 c P(a request is for more than c GPUs): that is
    `fragments` on whole GPUs without CPU. `requests`: int64[65], how many there are for so many GPUs of a node.
    """
    useless = np.zeros(width, np.int64)
    larger = requests.sum()
    for free in range(width):
        larger -= requests[free]
        useless[free] = 1_000 * free * larger // requests.sum()
    table = np.zeros((width, width), np.int64)
    for need in range(width):
        for free in range(need, width):
            table[need, free] = 2 * (useless[free - need] - useless[free] + crowding * free)
    table -= table.min()
    return table
