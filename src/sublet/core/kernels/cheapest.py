"""The cheapest cover that can be found, and how little any cover could cost (the bound of `kernels.prices`).

Each round's prices guide one search, and the cheapest cover of all is kept (a Lagrangian heuristic for set covers: Beasley
1990; Caprara, Fischetti and Toth 1999). What then still lies between the cover and the bound is closed by branching, where
there is time for it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.branch import proven
from sublet.core.kernels.cover import Bools, Ints, Shape, lists_of, parts_of
from sublet.core.kernels.fit import popcount
from sublet.core.kernels.money import Whole
from sublet.core.kernels.prices import (
    EVEN,
    INFINITE,
    Problem,
    Total,
    Value,
    grown,
    hopeful_nodes,
    least_total,
    shift,
    split,
    total,
)

Nodes = npt.NDArray[np.int32]
Effort = tuple[int, int, int]
"""At most: rounds of prices, in how many of them (the last ones) a cover is sought, how many problems branching looks at."""

_NEAR = 1_000
"""A cover that is at most a so-manieth of its cost above the bound is good enough."""


@njit(cache=True)
def _search(problem: Problem, value: Value, effort: Effort, ceiling: Whole) -> tuple[bool, Ints, Whole]:
    """(whether there is a cover below `ceiling`, rows, bound): the cheapest cover that is found."""
    rounds, searches, branches = effort
    shape, _, (_, by_lease), parts = problem
    cost, nobody = value[0], np.zeros(len(value[0]), np.bool_)
    ends = np.empty(0, np.int64)
    hopeful = hopeful_nodes(problem)
    if len(hopeful) < shape[1]:
        return False, ends, ceiling
    wide = np.flatnonzero(np.diff(by_lease[0]) > 1)
    prices, wanted = cost[parts[0]], np.zeros(len(parts[0]), np.bool_)
    if len(wide) == 0:
        ends = grown(problem, problem, value, nobody, prices)
        return True, ends, total(ends, value)[0]
    weights = np.full(len(prices), EVEN, np.int64)
    best: Total = (INFINITE, np.int64(0), np.int64(0))
    bound: Whole = np.int64(-1)
    for number in range(rounds):
        split(cost, by_lease, wide, weights, prices)
        bound = max(bound, least_total(problem, hopeful, prices, wanted))
        if bound > ceiling:
            return False, ends, bound
        if number >= rounds - searches:
            tried = grown(problem, problem, value, nobody, prices)
            if total(tried, value) < best:
                ends, best = tried, total(tried, value)
            if best[0] - bound <= best[0] // _NEAR:
                return True, ends, bound
        shift(by_lease, wide, wanted, weights, number)
    if branches > 0:
        ends, bound = proven(problem, value, ends, bound, weights, branches)
    return True, ends, bound


@njit(cache=True)
def _within(problem: Problem, value: Value, nodes: Ints, place: Ints) -> tuple[Problem, Value, Ints]:
    """The same on some of the nodes, which are numbered anew, as are the leases there; the third is who these are.

    `place`: int64[all nodes], overwritten here, so that no domain costs more than what is in it.
    """
    shape, free, ((start, items), _), (lease_of, node_of, gpus) = problem
    many = np.int64(0)
    for i in range(len(nodes)):
        place[nodes[i]] = i
        many += start[nodes[i] + 1] - start[nodes[i]]
    here, at = np.empty(many, np.int64), 0
    for node in nodes:
        for j in range(start[node], start[node + 1]):
            here[at] = items[j]
            at += 1
    here.sort()
    leases = np.unique(lease_of[here])
    parts = (np.searchsorted(leases, lease_of[here]), place[node_of[here]], gpus[here])
    lists = (lists_of(parts[1], len(nodes)), lists_of(parts[0], len(leases)))
    return (shape, free[nodes], lists, parts), (value[0][leases], value[1][leases], value[2][leases]), leases


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
    ceiling = np.int64(INFINITE)
    if len(domain) == 0:
        found, ends, bound = _search(problem, value, effort, ceiling)
        return found, ends, bound, -1
    best, where = np.empty(0, np.int64), -1
    lowest: Whole = ceiling
    best_total: Total = (ceiling, np.int64(0), np.int64(0))
    known, place = np.flatnonzero(domain >= 0), np.empty(many, np.int64)
    start, items = lists_of(domain[known].astype(np.int64), int(np.max(domain)) + 1)
    for number in range(len(start) - 1):
        nodes = known[items[start[number] : start[number + 1]]]
        if len(nodes) < shape[1]:
            continue
        inside, worth, leases = _within(problem, value, nodes, place)
        found, ends, bound = _search(inside, worth, effort, best_total[0])
        lowest = min(lowest, bound)
        if found and total(ends, worth) < best_total:
            best, best_total, where = leases[ends], total(ends, worth), number
    return where >= 0, best, lowest, where
