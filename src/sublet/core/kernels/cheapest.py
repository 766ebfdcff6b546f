"""The cheapest cover that can be found, and how little any cover could cost.

Split the cost w(l) of each lease among its nodes into prices p(l, n) >= 0 whose sum over n is at most w(l), in any way. Let
c(n) be the least sum of prices on node n whose leases, ended, leave the node with what it needs: solved exactly, node by node.
Whatever leases V end, and whichever nodes S they serve, as many as are asked for:

    sum of w(l) over V  >=  sum of p(l, n) over V and S  >=  sum of c(n) over S  >=  the sum of as many of the smallest c(n),

so the last is a bound from below on the cost of every cover. It is the dual of the cover's linear relaxation, with each node's
knapsack solved in whole leases: with the best prices it is at least that relaxation's value, and where no lease has two nodes
the cover reaches it.

The prices that give most are sought by rounds: of the nodes of a lease those bear more that are cheap enough to be wanted
(multiplicative weights). Each round's prices also guide one search, and the cheapest cover of all is kept (a Lagrangian
heuristic for set covers: Beasley 1990; Caprara, Fischetti and Toth 1999). What then still lies above the bound is improved by
moves: a lease with several nodes goes in and others out, or one is spared and others go in.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.cover import (
    Bools,
    Ints,
    Lists,
    Parts,
    Shape,
    all_offers,
    end,
    lists_of,
    parts_of,
    serve,
    without_surplus,
)
from sublet.core.kernels.fit import popcount
from sublet.core.kernels.money import Whole

Masks = npt.NDArray[np.uint64]
Nodes = npt.NDArray[np.int32]
Problem = tuple[Shape, Ints, Lists, Parts]
"""What is asked for; GPUs free on each node; the parts by node and by lease; the parts."""
Value = tuple[Ints, Bools, Ints]
"""(cost, borrowed, gpus) by lease."""
Total = tuple[Whole, Whole, Whole]
Effort = tuple[int, int, int]
"""Rounds of prices, in how many of them, the last ones, a cover is sought, and how many moves try to improve it, at most."""

EVEN = 1 << 16
"""The weight that each node of a lease has in the first round."""
_MOST = EVEN << 10
_INFINITE = np.int64(1) << np.int64(61)
_NEAR = 1_000
"""A cover that is at most a so-manieth of its cost above the bound is good enough."""


@njit(cache=True)
def _guide(value: Value, parts: Parts, prices: Ints) -> Ints:
    """int64[parts, 3]: what each lease counts on each of its nodes, as `kernels.cover` compares it."""
    guide = np.empty((len(prices), 3), np.int64)
    for part in range(len(prices)):
        lease = parts[0][part]
        guide[part, 0], guide[part, 1], guide[part, 2] = prices[part], np.int64(not value[1][lease]), value[2][lease]
    return guide


@njit(cache=True)
def _split(cost: Ints, by_lease: tuple[Ints, Ints], wide: Ints, weights: Ints, prices: Ints) -> None:
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
        price[wanted] = _INFINITE
    for j in range(start[node], start[node + 1]):
        frees, asks = gpus[items[j]], prices[items[j]]
        bit = np.uint64(1) << np.uint64(j - start[node])
        for wanted in range(missing, 0, -1):
            before = max(0, wanted - frees)
            if price[before] + asks < price[wanted]:
                price[wanted], bits[wanted] = price[before] + asks, bits[before] | bit
    return price[missing], bits[missing]


@njit(cache=True)
def _total(ends: Ints, value: Value) -> Total:
    """What these leases cost together."""
    a, b, c = np.int64(0), np.int64(0), np.int64(0)
    for lease in ends:
        a, b, c = a + value[0][lease], b + np.int64(not value[1][lease]), c + value[2][lease]
    return a, b, c


@njit(cache=True)
def _grown(ends: Ints, spared: int, problem: Problem, value: Value, prices: Ints) -> tuple[bool, Ints]:
    """(whether there is one, rows): a cover that ends all of `ends` that it needs, and of the others whom it lacks.

    `spared`: a lease that may not end; -1: none.
    """
    shape, room, lists, (lease_of, node_of, gpus) = problem
    free, left, chosen = room.copy(), (lease_of, node_of, gpus.copy()), np.zeros(len(value[0]), np.bool_)
    end(ends, lists[1], left, free, chosen)
    if spared >= 0:
        for j in range(lists[1][0][spared], lists[1][0][spared + 1]):
            left[2][lists[1][1][j]] = 0
    offers = all_offers(shape[0], free, lists[0], left, prices)
    if not serve(shape, free, lists, left, prices, offers, chosen):
        return False, ends
    return True, without_surplus(shape, free, lists[1], problem[3], value[0], chosen)


@njit(cache=True)
def _hopeful(problem: Problem) -> Ints:
    """The nodes that have what is needed once all their leases have ended."""
    (need, _), free, _, parts = problem
    most = free.copy()
    for part in range(len(parts[1])):
        most[parts[1][part]] += parts[2][part]
    return np.flatnonzero(most >= need)


@njit(cache=True)
def _least(problem: Problem, hopeful: Ints, prices: Ints, wanted: Bools) -> Whole:
    """What the cheapest nodes cost together, as many as are asked for; their leases' parts are marked in `wanted`."""
    (need, many), free, ((start, items), _), parts = problem
    table = (np.empty(65, np.int64), np.empty(65, np.uint64))
    price, bits = np.empty(len(hopeful), np.int64), np.empty(len(hopeful), np.uint64)
    for i in range(len(hopeful)):
        node = hopeful[i]
        price[i], bits[i] = _lowest(node, max(0, need - free[node]), (start, items), parts[2], prices, table)
    wanted[:] = False
    least = np.int64(0)
    for i in np.argsort(price, kind="mergesort")[:many]:
        least += price[i]
        first = start[hopeful[i]]
        for j in range(first, start[hopeful[i] + 1]):
            if bits[i] >> np.uint64(j - first) & np.uint64(1):
                wanted[items[j]] = True
    return least


@njit(cache=True)
def _shift(by_lease: tuple[Ints, Ints], wide: Ints, wanted: Bools, weights: Ints, number: int) -> None:
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
def _improved(problem: Problem, value: Value, ends: Ints, guides: tuple[Ints, Ints], moves: int) -> Ints:
    """A cover that is no dearer, after at most so many `moves`: a lease with several nodes put in, or one of its own spared."""
    better = True
    while better:
        better, ends, moves = _with_one(problem, value, ends, moves)
        if not better:
            better, ends, moves = _without_one(problem, value, ends, guides, moves)
    return ends


@njit(cache=True)
def _with_one(problem: Problem, value: Value, ends: Ints, moves: int) -> tuple[bool, Ints, int]:
    """(whether it is cheaper, rows, moves left): the first cover that is cheaper with one lease more and others less."""
    cost, start, best = value[0], problem[2][1][0], _total(ends, value)
    inside = np.zeros(len(cost), np.bool_)
    inside[ends] = True
    for lease in np.flatnonzero(~inside & (np.diff(start) > 1) & (cost < best[0]))[:moves]:
        moves -= 1
        tried = _put_in(problem, cost, ends, lease)
        if _total(tried, value) < best:
            return True, tried, moves
    return False, ends, moves


@njit(cache=True)
def _without_one(problem: Problem, value: Value, ends: Ints, guides: tuple[Ints, Ints], moves: int) -> tuple[bool, Ints, int]:
    """(whether it is cheaper, rows, moves left): the first cover that is cheaper with one lease less and others more."""
    best = _total(ends, value)
    for lease in ends:
        for guide in guides:
            if moves == 0:
                return False, ends, moves
            moves -= 1
            found, tried = _grown(ends[ends != lease], lease, problem, value, guide)
            if found and _total(tried, value) < best:
                return True, tried, moves
    return False, ends, moves


@njit(cache=True)
def _put_in(problem: Problem, cost: Ints, ends: Ints, lease: int) -> Ints:
    """The cover with this lease in it and without all whom it makes superfluous."""
    shape, room, lists, (lease_of, node_of, gpus) = problem
    free, left, chosen = room.copy(), (lease_of, node_of, gpus.copy()), np.zeros(len(cost), np.bool_)
    end(np.append(ends, lease), lists[1], left, free, chosen)
    dear = cost.copy()
    dear[lease] = -1  # the last to be looked at
    return without_surplus(shape, free, lists[1], problem[3], dear, chosen)


@njit(cache=True)
def _search(problem: Problem, value: Value, effort: Effort, ceiling: Whole) -> tuple[bool, Ints, Whole]:
    """(whether there is a cover below `ceiling`, rows, bound): the cheapest cover that is found."""
    rounds, searches, moves = effort
    shape, _, (_, by_lease), parts = problem
    cost, nobody = value[0], np.empty(0, np.int64)
    hopeful = _hopeful(problem)
    if len(hopeful) < shape[1]:
        return False, nobody, ceiling
    wide = np.flatnonzero(np.diff(by_lease[0]) > 1)
    prices, wanted = cost[parts[0]], np.zeros(len(parts[0]), np.bool_)
    whole = _guide(value, parts, prices)
    if len(wide) == 0:
        ends = _grown(nobody, -1, problem, value, whole)[1]
        return True, ends, _total(ends, value)[0]
    weights, best_prices = np.full(len(prices), EVEN, np.int64), prices
    best: Total = (_INFINITE, np.int64(0), np.int64(0))
    bound: Whole = np.int64(-1)
    ends = nobody
    for number in range(rounds):
        _split(cost, by_lease, wide, weights, prices)
        least = _least(problem, hopeful, prices, wanted)
        if least > bound:
            bound, best_prices = least, prices.copy()
        if bound > ceiling:
            return False, ends, bound
        if number >= rounds - searches:
            tried = _grown(nobody, -1, problem, value, _guide(value, parts, prices))[1]
            if _total(tried, value) < best:
                ends, best = tried, _total(tried, value)
            if best[0] - bound <= best[0] // _NEAR:
                return True, ends, bound
        _shift(by_lease, wide, wanted, weights, number)
    return True, _improved(problem, value, ends, (whole, _guide(value, parts, best_prices)), moves), bound


@njit(cache=True)
def _within(problem: Problem, nodes: Ints, leases: int) -> Problem:
    """The same on some of the nodes, which are numbered anew."""
    shape, free, _, (lease_of, node_of, gpus) = problem
    place = np.full(len(free), -1, np.int64)
    for i in range(len(nodes)):
        place[nodes[i]] = i
    here = np.flatnonzero(place[node_of] >= 0)
    parts = (lease_of[here], place[node_of[here]], gpus[here])
    return shape, free[nodes], (lists_of(parts[1], len(nodes)), lists_of(parts[0], leases)), parts


@njit(cache=True)
def cheapest(
    rows: Any,
    holds: Any,
    room: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]],
    choice: tuple[Bools, Ints, Bools],
    shape: Shape,
    domain: Nodes,
    effort: Effort,
) -> tuple[bool, Ints, Whole, int]:
    """(whether there is a cover, rows of the leases to end, bound, domain): so that `nodes` x `need` GPUs come free.

    None of them is superfluous, and no cover costs less than the bound. `room`: (free, fit) uint64[nodes], what is free or on
    its way back, and what is fit for use. `choice`: (may, cost, borrowed) by lease, the cost in micro-units or whatever the
    caller weighs. `shape`: (need, nodes). `domain`: int32[nodes], the domain of each node, in one of which all of the gang has
    to lie (-1: a node in none); empty: anywhere. `effort`: how long is sought at most, in each domain.
    """
    may, cost, borrowed = choice
    n, many = len(rows), len(room[0])
    gpus, free = np.empty(n, np.int64), np.empty(many, np.int64)
    for i in range(n):
        gpus[i] = rows[i]["gpus"]
    for node in range(many):
        free[node] = popcount(room[0][node])
    value, parts = (cost, borrowed, gpus), parts_of(rows, holds, may, room[1])
    problem = (shape, free, (lists_of(parts[1], many), lists_of(parts[0], n)), parts)
    ceiling = np.int64(_INFINITE)
    if len(domain) == 0:
        found, ends, bound = _search(problem, value, effort, ceiling)
        return found, ends, bound, -1
    best, where = np.empty(0, np.int64), -1
    least: Whole = ceiling
    best_total: Total = (ceiling, np.int64(0), np.int64(0))
    for number in range(np.max(domain) + 1):
        nodes = np.flatnonzero(domain == number)
        if len(nodes) < shape[1]:
            continue
        found, ends, bound = _search(_within(problem, nodes, n), value, effort, best_total[0])
        least = min(least, bound)
        if found and _total(ends, value) < best_total:
            best, best_total, where = ends, _total(ends, value), number
    return where >= 0, best, least, where
