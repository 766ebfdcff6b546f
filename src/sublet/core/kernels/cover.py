"""Which leases end so that a gang fits: a cover of what its nodes lack, at the least cost.

One node is solved exactly: it has 64 GPUs at most, so a table over the GPUs still missing is small. A gang takes the cheapest
node, and again, until it is served; a lease once chosen costs nothing on its other nodes. Costs are compared as (cost, leases
within their tenants' nominal quotas, GPUs that end); among equals younger leases and fuller nodes go first.

Rows are those of `tables.HELD_ROW` and `tables.HOLD_ROW`; nodes are rows of the standing.
"""

from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.fit import popcount
from sublet.core.kernels.money import Whole

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@njit(cache=True)
def _lists(keys: Ints, many: int) -> tuple[Ints, Ints]:
    """(start int64[many + 1], items int64[len(keys)]): for each key below `many` the indices that have it, in order."""
    start = np.zeros(many + 1, np.int64)
    for key in keys:
        start[key + 1] += 1
    for key in range(many):
        start[key + 1] += start[key]
    at, items = start[:-1].copy(), np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        items[at[keys[i]]] = i
        at[keys[i]] += 1
    return start, items


@njit(cache=True)
def _parts(rows: Any, holds: Any, may: Bools, fit: npt.NDArray[np.uint64]) -> tuple[Ints, Ints, Ints]:
    """(lease, node, gpus), int64[p] each: what ending the leases that may end would free where, the youngest leases first."""
    n = len(rows)
    granted, order, rank = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        granted[i], order[i] = -rows[i]["granted_us"], rows[i]["order"]
    by_order = np.argsort(order, kind="mergesort")
    youngest = by_order[np.argsort(granted[by_order], kind="mergesort")]
    for i in range(n):
        rank[youngest[i]] = i
    many = 0
    picked, place = np.empty(len(holds), np.int64), np.empty(len(holds), np.int64)
    for h in range(len(holds)):
        lease = holds[h]["lease"]
        if lease >= 0 and may[lease] and holds[h]["mask"] & fit[holds[h]["node"]] != 0:
            picked[many], place[many] = h, rank[lease]
            many += 1
    picked = picked[:many][np.argsort(place[:many], kind="mergesort")]
    lease_of, node_of, gpus = np.empty(many, np.int64), np.empty(many, np.int64), np.empty(many, np.int64)
    for i in range(many):
        hold = holds[picked[i]]
        lease_of[i], node_of[i], gpus[i] = hold["lease"], hold["node"], popcount(hold["mask"] & fit[hold["node"]])
    return lease_of, node_of, gpus


@njit(cache=True)
def _offer(missing: Whole, frees: Ints, costs: Ints) -> tuple[bool, Ints, np.uint64]:
    """(whether it can be had, cost int64[3], bits): the cheapest choice among the leases of one node that frees `missing` GPUs.

    `frees`: int64[k], GPUs that each would free there; `costs`: int64[k, 3]; bit i of the result is lease i.
    """
    cost = np.zeros((missing + 1, 3), np.int64)
    known = np.zeros(missing + 1, np.bool_)
    known[0] = True
    bits = np.zeros(missing + 1, np.uint64)
    for i in range(len(frees)):
        for wanted in range(missing, 0, -1):
            before = max(0, wanted - frees[i])
            if not known[before]:
                continue
            a, b, c = cost[before, 0] + costs[i, 0], cost[before, 1] + costs[i, 1], cost[before, 2] + costs[i, 2]
            if known[wanted] and (cost[wanted, 0], cost[wanted, 1], cost[wanted, 2]) <= (a, b, c):
                continue
            known[wanted] = True
            cost[wanted, 0], cost[wanted, 1], cost[wanted, 2] = a, b, c
            bits[wanted] = bits[before] | (np.uint64(1) << np.uint64(i))
    return known[missing], cost[missing], bits[missing]


@njit(cache=True)
def _offer_of(
    node: Whole, need: Whole, free: Ints, lists: tuple[Ints, Ints], parts: tuple[Ints, Ints, Ints], costs: Ints, chosen: Bools
) -> tuple[bool, Ints, Ints]:
    """(whether it can be had, cost int64[3], leases): the cheapest way to `need` free GPUs on a node, given who ends anyway."""
    missing = max(0, need - free[node])
    start, items = lists
    lease_of, _, gpus = parts
    many = 0
    at = np.empty(start[node + 1] - start[node] if missing else 0, np.int64)
    if missing:
        for j in range(start[node], start[node + 1]):
            if not chosen[lease_of[items[j]]]:
                at[many] = items[j]
                many += 1
    at = at[:many]
    frees, prices = np.empty(many, np.int64), np.empty((many, 3), np.int64)
    for j in range(many):
        frees[j] = gpus[at[j]]
        prices[j] = costs[lease_of[at[j]]]
    can, cost, bits = _offer(missing, frees, prices)
    leases = np.empty(popcount(bits), np.int64)
    taken = 0
    for j in range(many):
        if bits >> np.uint64(j) & np.uint64(1):
            leases[taken] = lease_of[at[j]]
            taken += 1
    return can, cost, leases


@njit(cache=True)
def _end(leases: Ints, lists: tuple[Ints, Ints], parts: tuple[Ints, Ints, Ints], free: Ints, chosen: Bools) -> Ints:
    """Count these leases as ended; the nodes that gain by it."""
    start, items = lists
    many = 0
    for lease in leases:
        many += start[lease + 1] - start[lease]
    nodes, at = np.empty(many, np.int64), 0
    for lease in leases:
        chosen[lease] = True
        for j in range(start[lease], start[lease + 1]):
            nodes[at] = parts[1][items[j]]
            free[nodes[at]] += parts[2][items[j]]
            at += 1
    return nodes


@njit(cache=True)
def _serve(
    need: int,
    nodes: int,
    free: Ints,
    lists: tuple[tuple[Ints, Ints], tuple[Ints, Ints]],
    parts: tuple[Ints, Ints, Ints],
    costs: Ints,
    chosen: Bools,
) -> bool:
    """Choose leases node by node until `nodes` have `need` GPUs; False if there are not so many. Changes `free` and `chosen`.

    `lists`: the parts by node and by lease. A node's offer is worked out anew only when a lease on it was chosen.
    """
    by_node, by_lease = lists
    heap = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    offers = np.zeros((len(free), 3), np.int64)
    open_ = np.zeros(len(free), np.bool_)
    for node in range(len(free)):
        can, cost, _ = _offer_of(node, need, free, by_node, parts, costs, chosen)
        if can:
            open_[node] = True
            offers[node] = cost
            heap.append((cost[0], cost[1], cost[2], free[node], np.int64(node)))
    heapify(heap)
    for _ in range(nodes):
        while heap:
            top = heap[0]
            best = offers[top[4]]
            if open_[top[4]] and top[0] == best[0] and top[1] == best[1] and top[2] == best[2]:
                break
            heappop(heap)  # the node was served, or has become cheaper and stands in the heap once more
        if not heap:
            return False
        served = heappop(heap)[4]
        _, _, leases = _offer_of(served, need, free, by_node, parts, costs, chosen)
        open_[served] = False
        for near in _end(leases, by_lease, parts, free, chosen):
            if open_[near]:
                can, cost, _ = _offer_of(near, need, free, by_node, parts, costs, chosen)
                if can:
                    offers[near] = cost
                heappush(heap, (offers[near, 0], offers[near, 1], offers[near, 2], free[near], near))
    return True


@njit(cache=True)
def _without_surplus(
    need: int, nodes: int, free: Ints, by_lease: tuple[Ints, Ints], parts: tuple[Ints, Ints, Ints], loss: Ints, chosen: Bools
) -> Ints:
    """The chosen less those without whom as many nodes are served, dearest first."""
    start, items = by_lease
    kept = np.flatnonzero(chosen)
    kept = kept[np.argsort(-loss[kept], kind="mergesort")]
    served = 0
    for node in range(len(free)):
        served += free[node] >= need
    many = 0
    for lease in kept:
        lost = 0
        for j in range(start[lease], start[lease + 1]):
            node, gpus = parts[1][items[j]], parts[2][items[j]]
            lost += free[node] >= need and free[node] - gpus < need
        if served - lost >= nodes:
            served -= lost
            for j in range(start[lease], start[lease + 1]):
                free[parts[1][items[j]]] -= parts[2][items[j]]
        else:
            kept[many] = lease
            many += 1
    return kept[:many]


@njit(cache=True)
def free_up(holds: Any, rows: Ints, leases: int, free: npt.NDArray[np.uint64], fit: npt.NDArray[np.uint64]) -> None:
    """Count what these leases (`rows`, of so many `leases`) hold as free, where it is fit for use."""
    ends = np.zeros(leases, np.bool_)
    for row in rows:
        ends[row] = True
    for h in range(len(holds)):
        lease = holds[h]["lease"]
        if lease >= 0 and ends[lease]:
            free[holds[h]["node"]] |= holds[h]["mask"] & fit[holds[h]["node"]]


@njit(cache=True)
def cover(
    rows: Any,
    holds: Any,
    room: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]],
    choice: tuple[Bools, Ints, Bools],
    shape: tuple[int, int, bool],
) -> tuple[bool, Ints]:
    """(whether there is a cover, rows of the leases to end): so that `nodes` x `need` GPUs come free, none superfluous.

    `room`: (free, fit) uint64[nodes], what is free or on its way back, and what is fit for use. `choice`: (may, cost, borrowed)
    by lease. `shape`: (need, nodes, shared); with `shared` the cost of a lease is divided among its nodes: without it is best
    where one node of a lease is wanted, with it where many are.
    """
    need, nodes, shared = shape
    may, cost, borrowed = choice
    n = len(rows)
    parts = _parts(rows, holds, may, room[1])
    lists = (_lists(parts[1], len(room[0])), _lists(parts[0], n))
    costs = np.empty((n, 3), np.int64)
    for i in range(n):
        spans = lists[1][0][i + 1] - lists[1][0][i]
        costs[i, 0] = cost[i] // spans if shared and spans > 1 else cost[i]
        costs[i, 1], costs[i, 2] = np.int64(not borrowed[i]), np.int64(rows[i]["gpus"])
    free = np.empty(len(room[0]), np.int64)
    for node in range(len(free)):
        free[node] = popcount(room[0][node])
    chosen = np.zeros(n, np.bool_)
    if not _serve(need, nodes, free, lists, parts, costs, chosen):
        return False, np.empty(0, np.int64)
    return True, _without_surplus(need, nodes, free, lists[1], parts, cost, chosen)
