"""Prices on nodes: how little any cover could cost, and the covers that such prices lead to.

Split the cost w(l) of each lease among its nodes into prices p(l, n) >= 0 whose sum over n is at most w(l), in any way. Let
c(n) be the least sum of prices on node n whose leases, ended, leave the node with what it needs: solved exactly, node by node.
Whatever leases V end, and whichever nodes S they serve, as many as are asked for:

    sum of w(l) over V  >=  sum of p(l, n) over V and S  >=  sum of c(n) over S  >=  the sum of as many of the smallest c(n),

so the last is a bound from below on the cost of every cover. It is the dual of the cover's linear relaxation, with each node's
knapsack solved in whole leases: with the best prices it is at least that relaxation's value, and where no lease has two nodes
the cover reaches it. The prices that give most are sought by rounds: of the nodes of a lease those bear more that are cheap
enough to be wanted (multiplicative weights). Costs are micro-units, or whatever the caller weighs; weights are shares.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.cover import Bools, Ints, Lists, Parts, Shape, all_offers, serve, without_surplus
from sublet.core.kernels.money import Whole

Masks = npt.NDArray[np.uint64]
Problem = tuple[Shape, Ints, Lists, Parts]
"""What is asked for; GPUs free on each node; the parts by node and by lease; the parts."""
Value = tuple[Ints, Bools, Ints]
"""(cost, borrowed, gpus) by lease."""
Total = tuple[Whole, Whole, Whole]

EVEN = 1 << 16
"""The weight that each node of a lease has in the first round."""
_MOST = EVEN << 10
INFINITE = np.int64(1) << np.int64(61)
"""What cannot be had costs so much, or more."""


@njit(cache=True)
def _guide(value: Value, parts: Parts, prices: Ints) -> Ints:
    """int64[parts, 3]: what each lease counts on each of its nodes, as `kernels.cover` compares it."""
    guide = np.empty((len(prices), 3), np.int64)
    for part in range(len(prices)):
        lease = parts[0][part]
        guide[part, 0], guide[part, 1], guide[part, 2] = prices[part], np.int64(not value[1][lease]), value[2][lease]
    return guide


@njit(cache=True)
def split(cost: Ints, by_lease: tuple[Ints, Ints], wide: Ints, weights: Ints, prices: Ints) -> None:
    """Split the cost of each `wide` lease, one with several nodes, among them by `weights`, into `prices`, rounded down."""
    start, items = by_lease
    for lease in wide:
        total = np.int64(0)
        for j in range(start[lease], start[lease + 1]):
            total += weights[items[j]]
        each, rest = cost[lease] // total, cost[lease] % total
        for j in range(start[lease], start[lease + 1]):
            weight = weights[items[j]]
            prices[items[j]] = each * weight + rest * weight // total


@njit(cache=True)
def _lowest(
    node: Whole, missing: Whole, by_node: tuple[Ints, Ints], gpus: Ints, prices: Ints, table: tuple[Ints, Masks]
) -> tuple[Whole, np.uint64]:
    """(price, parts as bits): c(n), the least sum of prices on this node that frees `missing` GPUs; all that is there does."""
    start, items = by_node
    price, bits = table
    price[0], bits[0] = 0, np.uint64(0)
    for wanted in range(1, missing + 1):
        price[wanted] = INFINITE
    for j in range(start[node], start[node + 1]):
        frees, asks = gpus[items[j]], prices[items[j]]
        bit = np.uint64(1) << np.uint64(j - start[node])
        for wanted in range(missing, 0, -1):
            before = max(0, wanted - frees)
            if price[before] + asks < price[wanted]:
                price[wanted], bits[wanted] = price[before] + asks, bits[before] | bit
    return price[missing], bits[missing]


@njit(cache=True)
def hopeful_nodes(problem: Problem) -> Ints:
    """The nodes that have what is needed once all their leases have ended."""
    (need, _), free, _, parts = problem
    most = free.copy()
    for part in range(len(parts[1])):
        most[parts[1][part]] += parts[2][part]
    return np.flatnonzero(most >= need)


@njit(cache=True)
def least_total(problem: Problem, hopeful: Ints, prices: Ints, wanted: Bools) -> Whole:
    """What the cheapest nodes cost together, as many as are asked for; their leases' parts are marked in `wanted`.

    INFINITE where so many of the hopeful nodes cannot be had.
    """
    (need, many), free, ((start, items), _), parts = problem
    table = (np.empty(65, np.int64), np.empty(65, np.uint64))
    price, bits = np.empty(len(hopeful), np.int64), np.empty(len(hopeful), np.uint64)
    for i in range(len(hopeful)):
        node = hopeful[i]
        price[i], bits[i] = _lowest(node, max(0, need - free[node]), (start, items), parts[2], prices, table)
    wanted[:] = False
    asked = np.int64(0)
    for i in np.argsort(price, kind="mergesort")[:many]:
        if price[i] >= INFINITE:
            return INFINITE
        asked += price[i]
        first = start[hopeful[i]]
        for j in range(first, start[hopeful[i] + 1]):
            if bits[i] >> np.uint64(j - first) & np.uint64(1):
                wanted[items[j]] = True
    return asked


@njit(cache=True)
def shift(by_lease: tuple[Ints, Ints], wide: Ints, wanted: Bools, weights: Ints, number: int) -> None:
    """Let each lease that only some of its nodes want bear more there, in the round of this number: by 3/(number + 1) of it."""
    start, items = by_lease
    for lease in wide:
        first, last = start[lease], start[lease + 1]
        many, most = 0, np.int64(0)
        for j in range(first, last):
            many += wanted[items[j]]
        if many == 0 or many == last - first:
            continue
        for j in range(first, last):
            if wanted[items[j]]:
                weights[items[j]] += 3 * weights[items[j]] // (number + 1)
            most = max(most, weights[items[j]])
        if most > _MOST:
            for j in range(first, last):
                weights[items[j]] = max(1, weights[items[j]] // 1024)


@njit(cache=True)
def total(ends: Ints, value: Value) -> Total:
    """What these leases cost together."""
    a, b, c = np.int64(0), np.int64(0), np.int64(0)
    for lease in ends:
        a, b, c = a + value[0][lease], b + np.int64(not value[1][lease]), c + value[2][lease]
    return a, b, c


@njit(cache=True)
def grown(problem: Problem, here: Problem, value: Value, inside: Bools, prices: Ints) -> Ints:
    """A cover by these prices that ends of those `inside` whom it needs. `here`: the problem that is left once they ended.

    Enough nodes of `here` have to have what is needed once all their leases have ended.
    """
    shape, room, lists, (lease_of, node_of, gpus) = here
    free, left, chosen = room.copy(), (lease_of, node_of, gpus.copy()), inside.copy()
    asks = _guide(value, left, prices)
    serve(shape, free, lists, left, asks, all_offers(shape[0], free, lists[0], left, asks), chosen)
    return without_surplus(shape, free, lists[1], problem[3], value[0], chosen)
