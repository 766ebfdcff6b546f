"""The cheapest cover of all, or nearly: what prices alone leave open is decided lease by lease.

Once it is decided of every lease with several nodes whether it ends, what is left is exact: each node is solved by itself, and
the cheapest ones serve. So those leases are branched on. A decision changes the problem, and rounds of prices give what no
cover beneath it can cost less than, starting from the weights that were good before; what cannot beat the best cover by more
than a little is cut off (branch and bound: Land and Doig 1960, with the bound of Lagrange's multipliers: Fisher 1981). The work
is bounded by the number of problems looked at, so the same question always has the same answer.
"""

import numpy as np
from numba import njit

from sublet.core.kernels.cover import Bools, Ints, end, without_surplus
from sublet.core.kernels.money import Whole
from sublet.core.kernels.prices import INFINITE, Problem, Value, grown, least_total, shift, split, total

_CLOSE = 200
"""What could be saved at most, where nothing is sought any more: a so-manieth of the cost."""
_ROUNDS = 6
"""Of prices, for each problem."""
_LATE = 8
"""Weights move as in rounds of this number and after: they were good one decision before."""


@njit(cache=True)
def proven(problem: Problem, value: Value, ends: Ints, bound: Whole, weights: Ints, branches: int) -> tuple[Ints, Whole]:
    """(rows, bound): a cover that is no dearer than `ends`, and what no cover costs less than, after so many problems at most.

    `bound`: what is known of it already. `weights`: int64[parts], how each lease's cost is split at first; they are changed.
    """
    shape, room, lists, parts = problem
    cost, by_lease = value[0], lists[1]
    free, left = room.copy(), (parts[0], parts[1], parts[2].copy())
    here: Problem = (shape, free, lists, left)
    wide = np.flatnonzero(np.diff(by_lease[0]) > 1)
    nodes = np.arange(len(free))
    prices, wanted = cost[parts[0]], np.zeros(len(parts[0]), np.bool_)
    inside, decided = np.zeros(len(cost), np.bool_), np.zeros(len(cost), np.bool_)
    path, both = np.empty(len(wide), np.int64), np.zeros(len(wide), np.bool_)
    lower = np.empty(len(wide) + 1, np.int64)
    lower[0], depth, spent, closed = bound, 0, np.int64(0), INFINITE
    best = total(ends, value)
    while branches > 0:
        branches -= 1
        limit = best[0] - best[0] // _CLOSE
        lower[depth] = max(lower[depth], _raised(here, value, (nodes, wide), (weights, prices, wanted), spent, limit))
        lease = -1
        if lower[depth] < limit:
            lease = _undecided(by_lease, wide, decided, wanted, cost)
            if lease < 0:
                tried = _as_wanted(problem, here, value, inside, wanted)
            else:
                tried = grown(problem, here, value, inside, prices)
            if total(tried, value) < best:
                ends, best = tried, total(tried, value)
        if lease >= 0 and lower[depth] < best[0] - best[0] // _CLOSE:
            path[depth], both[depth] = lease, False
            ending = _mostly(by_lease, lease, wanted, prices)
        else:
            closed = min(closed, lower[depth])
            while depth > 0 and both[depth - 1]:
                depth -= 1
                spent -= _open(path[depth], cost, parts[2], here, (inside, decided))
            if depth == 0:
                return ends, max(bound, min(closed, best[0]))
            depth -= 1
            both[depth], ending = True, not inside[path[depth]]
            spent -= _open(path[depth], cost, parts[2], here, (inside, decided))
        lower[depth + 1] = lower[depth]
        decided[path[depth]] = True
        spent += _decide(path[depth], ending, cost, here, inside)
        depth += 1
    for above in range(depth):
        if not both[above]:
            closed = min(closed, lower[above])
    return ends, max(bound, min(closed, lower[depth], best[0]))


@njit(cache=True)
def _raised(
    here: Problem,
    value: Value,
    rows: tuple[Ints, Ints],
    split_by: tuple[Ints, Ints, Bools],
    spent: Whole,
    limit: Whole,
) -> Whole:
    """What no cover under the decisions taken costs less than, after some rounds of prices; INFINITE where there is none."""
    (nodes, wide), (weights, prices, wanted), by_lease = rows, split_by, here[2][1]
    most: Whole = np.int64(0)
    for number in range(_ROUNDS):
        split(value[0], by_lease, wide, weights, prices)
        most = max(most, spent + least_total(here, nodes, prices, wanted))
        if most >= limit:
            break
        shift(by_lease, wide, wanted, weights, _LATE + number)
    return min(most, INFINITE)


@njit(cache=True)
def _undecided(by_lease: tuple[Ints, Ints], wide: Ints, decided: Bools, wanted: Bools, cost: Ints) -> int:
    """The dearest lease that some of its nodes want and others do not; -1: they agree on all, and that is a cheapest cover."""
    (start, items), lease, most = by_lease, -1, np.int64(-1)
    for one in wide:
        many = 0
        for j in range(start[one], start[one + 1]):
            many += wanted[items[j]]
        if not decided[one] and 0 < many < start[one + 1] - start[one] and cost[one] > most:
            lease, most = one, cost[one]
    return lease


@njit(cache=True)
def _mostly(by_lease: tuple[Ints, Ints], lease: int, wanted: Bools, prices: Ints) -> bool:
    """Whether the nodes that want this lease bear half of its cost or more: then its end is tried first."""
    start, items = by_lease
    bears, of = np.int64(0), np.int64(0)
    for j in range(start[lease], start[lease + 1]):
        bears += prices[items[j]] if wanted[items[j]] else 0
        of += prices[items[j]]
    return bool(2 * bears >= of)


@njit(cache=True)
def _as_wanted(problem: Problem, here: Problem, value: Value, inside: Bools, wanted: Bools) -> Ints:
    """The cover that ends all who end by decision or whom nodes want, without those who are superfluous."""
    shape, room, lists, parts = here
    free, left, chosen, more = (
        room.copy(),
        (parts[0], parts[1], parts[2].copy()),
        inside.copy(),
        np.zeros(len(inside), np.bool_),
    )
    for part in range(len(wanted)):
        if wanted[part]:
            more[parts[0][part]] = True
    end(np.flatnonzero(more), lists[1], left, free, chosen)
    return without_surplus(shape, free, lists[1], problem[3], value[0], chosen)


@njit(cache=True)
def _decide(lease: Whole, ending: bool, cost: Ints, here: Problem, inside: Bools) -> Whole:
    """Take the decision about a lease into the problem: what it frees is free, or never comes free. What that costs."""
    _, free, (_, (start, items)), (_, node_of, gpus) = here
    for j in range(start[lease], start[lease + 1]):
        if ending:
            free[node_of[items[j]]] += gpus[items[j]]
        gpus[items[j]] = 0
    inside[lease] = ending
    return cost[lease] if ending else np.int64(0)


@njit(cache=True)
def _open(lease: Whole, cost: Ints, gpus_of: Ints, here: Problem, marks: tuple[Bools, Bools]) -> Whole:
    """Take the decision about a lease back; what it cost. `gpus_of`: int64[parts], what the parts free at first."""
    _, free, (_, (start, items)), (_, node_of, gpus) = here
    inside, decided = marks
    for j in range(start[lease], start[lease + 1]):
        gpus[items[j]] = gpus_of[items[j]]
        if inside[lease]:
            free[node_of[items[j]]] -= gpus_of[items[j]]
    cost_of = cost[lease] if inside[lease] else np.int64(0)
    inside[lease], decided[lease] = False, False
    return cost_of
