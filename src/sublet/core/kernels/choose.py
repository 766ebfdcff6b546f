"""Which node a lease gets, or which nodes of which rack: the least cost, and the tightest rack that holds a gang.

The cost of a node for a request is

    cost = owned * OWNED  +  scrap[need, free]  +  strange[class, kin]

`owned`: GPUs that the owner's jobs hold there; his next job belongs there, so this counts before anything else. `scrap`: what
is spoiled by taking `need` of `free` GPUs, and `strange`: whether leases of other classes lie there; see `core.packing` for
both. Of nodes at equal cost the first is taken.

A gang goes into the rack that has the fewest nodes over, of equals the first: it leaves the least in pieces. If no rack holds
it, pods are asked the same; else it takes the best nodes of the pool. Racks and pods that hold it without touching a node of
the owner's are asked before the others. Within a domain nodes are taken by cost. Whole nodes smaller than the largest of a pool
may miss a rack that would hold them: racks count the nodes with enough GPUs, not those with exactly so many.
"""

import numpy as np
from numba import njit

from sublet.core.kernels.bins import NOBODY, UNTOUCHED, Bins, Ints, Masks, Rows, Shorts, first_bit, first_row, kin_of
from sublet.core.kernels.fit import popcount
from sublet.core.kernels.money import Whole

OWNED = 1 << 40
"""What a GPU of the owner's costs: more than any two of the other costs differ by."""
NOWHERE = 1 << 62
"""The cost of a node that a request does not fit."""

Ask = tuple[Whole, bool, Whole]
"""GPUs on each node, whether whole nodes, the code of the class."""
Tastes = tuple[Ints, Ints]
"""(scrap int64[g, g], strange int64[classes, KINS]); g: GPUs of the largest node, and one."""


@njit(cache=True, inline="always")
def _cost(owned: Whole, free: Whole, kin: Whole, ask: Ask, scrap: Ints, strange: Ints) -> Whole:
    """The cost of a node of these traits; NOWHERE if the request does not fit."""
    need, whole, lease_class = ask
    if (free != need or kin != UNTOUCHED) if whole else free < need:
        return NOWHERE
    return np.int64(owned * OWNED + scrap[need, free] + strange[lease_class, kin])


@njit(cache=True)
def one_node(kinds: Rows, present: Shorts, bits: Masks, leaves: Whole, ask: Ask, scrap: Ints, strange: Ints) -> Whole:
    """The node for a request of one node; -1 if it fits none. `leaves`: words of a bin before their summary."""
    least, row = np.int64(NOWHERE), np.int64(-1)
    for i in range(1, present[0] + 1):
        kind = present[i]
        cost = _cost(kinds[kind]["owned"], kinds[kind]["free"], kinds[kind]["kin"], ask, scrap, strange)
        if cost > least or cost == NOWHERE:
            continue
        first = first_row(bits, leaves, kind)
        if cost < least or first < row:
            least, row = np.int64(cost), np.int64(first)
    return row


@njit(cache=True)
def _tightest(tally: Shorts, sides: Whole, need: Whole, wanted: Whole, begin: Whole, end: Whole) -> Whole:
    """The domain of begin <= number < end with the fewest nodes that have `need` free GPUs, of those with `wanted`; or -1.

    `sides`: 1 leaves nodes with GPUs of the owner out of account.
    """
    best, fewest = -1, 1 << 31
    for domain in range(begin, end):
        there = 0
        for side in range(sides):
            for free in range(need, tally.shape[1]):
                there += tally[side, free, domain]
        if wanted <= there < fewest:
            best, fewest = domain, there
    return best


@njit(cache=True)
def _least_above(costs: Ints, level: Whole) -> Whole:
    """The least cost above `level`; NOWHERE if there is none."""
    least = np.int64(NOWHERE)
    for cost in costs:
        if level < cost < least:
            least = cost
    return least


@njit(cache=True, inline="always")
def open_gpus(nodes: Rows, row: Whole, closed: Masks) -> np.uint64:
    """The free GPUs of a node without those of `closed` (uint64[n], or empty)."""
    return np.uint64(nodes[row]["free"] & ~closed[row]) if len(closed) else np.uint64(nodes[row]["free"])


@njit(cache=True)
def _of_members(nodes: Rows, members: Shorts, closed: Masks, ask: Ask, scrap: Ints, strange: Ints, rows: Ints) -> Whole:
    """Write the cheapest nodes among `members` to `rows`, as many as it has places; how many were found."""
    costs = np.empty(len(members), np.int64)
    for i in range(len(members)):
        row = members[i]
        there, kin = open_gpus(nodes, row, closed), kin_of(nodes, row)
        if kin == UNTOUCHED and there != nodes[row]["slots"]:
            kin = NOBODY
        costs[i] = _cost(nodes[row]["owned"], popcount(there), kin, ask, scrap, strange)
    found, level = 0, _least_above(costs, -1)
    while found < len(rows) and level < NOWHERE:
        for i in range(len(costs)):
            if costs[i] == level and found < len(rows):
                rows[found] = members[i]
                found += 1
        level = _least_above(costs, level)
    return found


@njit(cache=True)
def _of_kinds(
    kinds: Rows, present: Shorts, bits: Masks, leaves: Whole, ask: Ask, scrap: Ints, strange: Ints, rows: Ints
) -> Whole:
    """The same among all nodes, kind by kind."""
    costs = np.empty(present[0], np.int64)
    for i in range(len(costs)):
        kind = present[1 + i]
        costs[i] = _cost(kinds[kind]["owned"], kinds[kind]["free"], kinds[kind]["kin"], ask, scrap, strange)
    found, level = 0, _least_above(costs, -1)
    while found < len(rows) and level < NOWHERE:
        for leaf in range(leaves):
            word = np.uint64(0)
            for i in range(len(costs)):
                if costs[i] == level:
                    word |= bits[present[1 + i], leaf]
            while word and found < len(rows):
                rows[found] = (leaf << 6) + first_bit(word)
                word &= word - np.uint64(1)
                found += 1
        level = _least_above(costs, level)
    return found


@njit(cache=True)
def _put_in_order(rows: Ints) -> None:
    """Sort rows that mostly are in order: nodes at one cost come so."""
    for i in range(1, len(rows)):
        if rows[i] < rows[i - 1]:
            rows.sort()
            return


@njit(cache=True)
def gang(bins: Bins, closed: Masks, ask: Ask, scrap: Ints, strange: Ints, rows: Ints) -> bool:
    """Write the nodes for a gang of `len(rows)` to `rows` (int64), rising; whether it fits. `closed` is empty."""
    need, wanted, racks, domains = ask[0], len(rows), bins.racks, bins.tally.shape[2]
    if need >= bins.tally.shape[1]:
        return False
    for sides in (1, 2):
        for begin, end in ((0, racks if wanted <= bins.largest_rack else 0), (racks, domains)):
            domain = _tightest(bins.tally, sides, need, wanted, begin, end)
            if domain >= 0:
                members = bins.members[bins.begins[domain] : bins.begins[domain + 1]]
                if _of_members(bins.nodes, members, closed, ask, scrap, strange, rows) == wanted:
                    _put_in_order(rows)
                    return True
    leaves = (len(bins.nodes) + 63) >> 6
    if _of_kinds(bins.kinds, bins.present, bins.bits, leaves, ask, scrap, strange, rows) < wanted:
        return False
    _put_in_order(rows)
    return True


@njit(cache=True)
def _tally_without(bins: Bins, closed: Masks) -> Shorts:
    """What domains would count (`Bins.tally`) if these GPUs were not free."""
    nodes, tally = bins.nodes, np.zeros_like(bins.tally)
    for row in range(len(nodes)):
        free, owned = popcount(open_gpus(nodes, row, closed)), int(nodes[row]["owned"] > 0)
        for domain in (nodes[row]["rack"], nodes[row]["pod"]):
            if domain >= 0:
                tally[owned, free, domain] += 1
    return tally


@njit(cache=True)
def _around(bins: Bins, closed: Masks, ask: Ask, scrap: Ints, strange: Ints, rows: Ints) -> bool:
    """`one_node` and `gang` without the GPUs of `closed`, by a look at every node."""
    wanted, racks = len(rows), bins.racks
    domains = bins.tally.shape[2] if wanted > 1 and ask[0] < bins.tally.shape[1] else 0
    if domains:
        tally = _tally_without(bins, closed)
        for sides in (1, 2):
            for begin, end in ((0, racks), (racks, domains)):
                domain = _tightest(tally, sides, ask[0], wanted, begin, end)
                if domain >= 0:
                    members = bins.members[bins.begins[domain] : bins.begins[domain + 1]]
                    if _of_members(bins.nodes, members, closed, ask, scrap, strange, rows) == wanted:
                        _put_in_order(rows)
                        return True
    everyone = np.arange(len(bins.nodes)).astype(np.int32)
    if _of_members(bins.nodes, everyone, closed, ask, scrap, strange, rows) < wanted:
        return False
    _put_in_order(rows)
    return True


@njit(cache=True)
def find(bins: Bins, closed: Masks, ask: Ask, tastes: Tastes, rows: Ints) -> bool:
    """Write the nodes for a request of `len(rows)` nodes to `rows` (int64), rising; whether it fits.

    `closed`: uint64[n], GPUs that are not for this request although they are free; empty where there are none. They are few and
    seldom, so then every node is looked at.
    """
    scrap, strange = tastes
    if len(closed):
        return _around(bins, closed, ask, scrap, strange, rows)
    if len(rows) > 1:
        return gang(bins, closed, ask, scrap, strange, rows)
    rows[0] = one_node(bins.kinds, bins.present, bins.bits, (len(bins.nodes) + 63) >> 6, ask, scrap, strange)
    return bool(rows[0] >= 0)
