"""Where a gang fits: the fullest nodes that still have room, near each other, found in one pass.

Masks are uint64[n], one bit a GPU, one row a node. A node has 64 GPUs at most, so nodes are counted by their order instead of
sorted.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole

Masks = npt.NDArray[np.uint64]
Places = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], int]
"""(rack int32[n], pod int32[n], how many domains): racks and pods are numbered together, -1 is unknown."""
_ANYWHERE = -2

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
def enough_nodes(slots: npt.NDArray[np.uint64], need: int, nodes: int, whole: bool) -> bool:
    """Whether `nodes` of these nodes have `need` GPUs (`whole`: exactly so many), whoever holds them."""
    found: Whole = 0
    for row in range(len(slots)):
        gpus = popcount(slots[row])
        found += gpus == need if whole else gpus >= need
        if found >= nodes:
            return True
    return bool(found >= nodes)


@njit(cache=True)
def _fullest_one(masks: tuple[Masks, Masks, Masks], need: int, whole: bool) -> npt.NDArray[np.int64]:
    """`fullest` for one node: the best so far is enough."""
    free, slots, before = masks
    best = np.empty(1, np.int64)
    lowest: Whole = 65 * 65
    for row in range(len(free)):
        if free[row] == 0 or (whole and free[row] != slots[row]):
            continue
        gpus = popcount(free[row])
        if gpus == need if whole else gpus >= need:
            key = popcount(before[row]) * 65 + gpus
            if key < lowest:
                best[0], lowest = row, key
    return best[: int(lowest < 65 * 65)]


@njit(cache=True)
def _tightest(
    masks: tuple[Masks, Masks, Masks], where: npt.NDArray[np.int32], domains: int, need: int, nodes: int, whole: bool
) -> np.int64:
    """The domain among `where` (int32[n]) for a gang; _ANYWHERE if none holds it. See `fullest` for the order."""
    free, slots, before = masks
    fits, others = np.zeros(domains, np.int64), np.zeros(domains, np.int64)
    for row in range(len(free)):
        domain = where[row]
        if domain >= 0:
            gpus = popcount(free[row])
            fits[domain] += gpus == need and free[row] == slots[row] if whole else gpus >= need
            others[domain] += popcount(before[row]) >= need
    best = np.int64(_ANYWHERE)
    for domain in range(domains):
        if fits[domain] >= nodes and (best == _ANYWHERE or (others[domain], fits[domain]) < (others[best], fits[best])):
            best = np.int64(domain)
    return best


@njit(cache=True)
def _fullest_of_many(
    masks: tuple[Masks, Masks, Masks], where: npt.NDArray[np.int32], domain: Whole, need: int, nodes: int, whole: bool
) -> npt.NDArray[np.int64]:
    """`fullest` for a gang in one domain: nodes are counted by their order, and those up to the last one wanted are taken."""
    free, slots, before = masks
    n = len(free)
    keys = np.empty(n, np.int16)  # the order of the nodes that fit; -1 for the others
    fits = np.zeros(65 * 65, np.int64)  # how many of them have each key
    for row in range(n):
        gpus = popcount(free[row])
        fit = gpus == need and free[row] == slots[row] if whole else gpus >= need
        fit = fit and (domain == _ANYWHERE or where[row] == domain)
        keys[row] = popcount(before[row]) * 65 + gpus if fit else -1
        if fit:
            fits[keys[row]] += 1
    if fits.sum() < nodes:
        return np.empty(0, np.int64)
    last, taken = 0, 0  # nodes with a key below `last` are all chosen, of those that have it only the first
    for key in range(65 * 65):
        last = key
        if taken + fits[key] >= nodes:
            break
        taken += fits[key]
    rows = np.empty(nodes, np.int64)
    chosen, of_last = 0, nodes - taken
    for row in range(n):
        if keys[row] < 0 or keys[row] > last:
            continue
        if keys[row] == last:
            if of_last == 0:
                continue
            of_last -= 1
        rows[chosen] = row
        chosen += 1
    return rows


@njit(cache=True)
def fullest(
    masks: tuple[Masks, Masks, Masks], places: Places, need: int, nodes: int, whole: bool, reach: int
) -> npt.NDArray[np.int64]:
    """Rows (int64[nodes], rising) of the best nodes that have `need` free GPUs; empty if there are not so many.

    `masks`: (free, slots, before) uint64[n] each. Best are the nodes with the fewest GPUs in `before`, of those the ones with
    the fewest free GPUs, of those the first. `whole`: only nodes that are free altogether and have exactly `need` GPUs.
    The nodes of a gang are all in one rack if any rack holds it, else in one pod if any pod does: in the one with the fewest
    nodes that have `need` GPUs in `before`, of those with the fewest where it fits now, of those the first. `reach`: 0: a rack
    has to hold it, 1: a rack or a pod, 2: anything does.
    """
    if nodes == 1:
        return _fullest_one(masks, need, whole)
    rack, pod, domains = places
    where, domain = rack, np.int64(_ANYWHERE)
    if domains:
        domain = _tightest(masks, rack, domains, need, nodes, whole)
        if domain == _ANYWHERE and reach > 0:
            where, domain = pod, _tightest(masks, pod, domains, need, nodes, whole)
    if domain == _ANYWHERE and reach < 2:
        return np.empty(0, np.int64)
    return _fullest_of_many(masks, where, domain, need, nodes, whole)
