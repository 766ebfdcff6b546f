"""Which leases end so that a gang fits: one cover of what its nodes lack, at little cost.

One node is solved exactly: it has 64 GPUs at most, so a table over the GPUs still missing is small. A gang takes the cheapest
node, and again, until it is served; a lease once chosen costs nothing on its other nodes. Costs are compared as (cost, leases
within their tenants' nominal quotas, GPUs that end); among equals younger leases and fuller nodes go first. What a lease counts
on each of its nodes is the caller's: `kernels.cheapest` tries several ways.

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
Lists = tuple[tuple[Ints, Ints], tuple[Ints, Ints]]
"""The parts by node and by lease, as `lists_of` gives them."""
Parts = tuple[Ints, Ints, Ints]
"""(lease, node, gpus), int64[parts] each: what ending a lease frees on a node."""
Shape = tuple[int, int]
"""(need, nodes): so many GPUs on each of so many nodes."""
Table = tuple[Bools, Ints, npt.NDArray[np.uint64]]
"""By GPUs that a node still lacks: whether they can be had, at which cost (int64[65, 3]), by which of its parts (bits)."""
Offers = tuple[Bools, Ints, npt.NDArray[np.uint64]]
"""By node: whether it can have what it needs, at which cost (int64[nodes, 3]), by which of its parts (bits)."""


@njit(cache=True)
def lists_of(keys: Ints, many: int) -> tuple[Ints, Ints]:
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
def parts_of(rows: Any, holds: Any, may: Bools, fit: npt.NDArray[np.uint64]) -> Parts:
    """What ending the leases that may end would free where, the youngest leases first."""
    n = len(rows)
    granted, order = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        granted[i], order[i] = -rows[i]["granted_us"], rows[i]["order"]
    rising = True
    for i in range(1, n):
        rising = rising and order[i - 1] <= order[i]
    by_order = np.arange(n) if rising else np.argsort(order, kind="mergesort")
    youngest = by_order[np.argsort(granted[by_order], kind="mergesort")]
    many, picked, lease = 0, np.empty(len(holds), np.int64), np.empty(len(holds), np.int64)
    for h in range(len(holds)):
        hold = holds[h]
        if hold["lease"] >= 0 and may[hold["lease"]] and hold["mask"] & fit[hold["node"]] != 0:
            picked[many], lease[many] = h, hold["lease"]
            many += 1
    start, items = lists_of(lease[:many], n)
    lease_of, node_of, gpus = np.empty(many, np.int64), np.empty(many, np.int64), np.empty(many, np.int64)
    at = 0
    for i in youngest:
        for j in range(start[i], start[i + 1]):
            hold = holds[picked[items[j]]]
            lease_of[at], node_of[at], gpus[at] = i, hold["node"], popcount(hold["mask"] & fit[hold["node"]])
            at += 1
    return lease_of, node_of, gpus


@njit(cache=True)
def offer(
    node: Whole, need: Whole, free: Ints, by_node: tuple[Ints, Ints], parts: Parts, costs: Ints, table: Table
) -> tuple[bool, Whole, Whole, Whole]:
    """(whether it can be had, cost): the cheapest choice among a node's leases that leaves it with `need` free GPUs.

    `free`: int64[nodes]; `parts` of leases that were chosen already free 0 GPUs. `costs`: int64[parts, 3], what a lease counts
    on each of its nodes. The choice is left in `table`: bit i is the i-th part of the node.
    """
    known, cost, bits = table
    missing = max(0, need - free[node])
    start, items = by_node
    gpus = parts[2]
    known[0], bits[0] = True, np.uint64(0)
    cost[0, 0], cost[0, 1], cost[0, 2] = 0, 0, 0
    for wanted in range(1, missing + 1):
        known[wanted] = False
    most = 0
    for j in range(start[node], start[node + 1]):
        most += gpus[items[j]]
    if most < missing:
        return False, np.int64(0), np.int64(0), np.int64(0)
    for j in range(start[node], start[node + 1]):
        part = items[j]
        frees = gpus[part]
        if frees == 0:
            continue
        for wanted in range(missing, 0, -1):
            before = max(0, wanted - frees)
            if not known[before]:
                continue
            a, b, c = cost[before, 0] + costs[part, 0], cost[before, 1] + costs[part, 1], cost[before, 2] + costs[part, 2]
            if known[wanted] and (cost[wanted, 0], cost[wanted, 1], cost[wanted, 2]) <= (a, b, c):
                continue
            known[wanted] = True
            cost[wanted, 0], cost[wanted, 1], cost[wanted, 2] = a, b, c
            bits[wanted] = bits[before] | (np.uint64(1) << np.uint64(j - start[node]))
    return known[missing], cost[missing, 0], cost[missing, 1], cost[missing, 2]


@njit(cache=True)
def chosen_on(node: Whole, bits: np.uint64, by_node: tuple[Ints, Ints], lease_of: Ints) -> Ints:
    """The leases whose parts of the node these bits are."""
    start, items = by_node
    leases, many = np.empty(popcount(bits), np.int64), 0
    for j in range(start[node], start[node + 1]):
        if bits >> np.uint64(j - start[node]) & np.uint64(1):
            leases[many] = lease_of[items[j]]
            many += 1
    return leases


@njit(cache=True)
def end(leases: Ints, lists: tuple[Ints, Ints], parts: Parts, free: Ints, chosen: Bools) -> Ints:
    """Count these leases as ended: their parts free nothing any more. The nodes that gain by it."""
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
            parts[2][items[j]] = 0
            at += 1
    return nodes


@njit(cache=True)
def all_offers(need: int, free: Ints, by_node: tuple[Ints, Ints], parts: Parts, costs: Ints) -> Offers:
    """The offer of each node."""
    table = (np.zeros(65, np.bool_), np.zeros((65, 3), np.int64), np.zeros(65, np.uint64))
    can, bits, offers = np.zeros(len(free), np.bool_), np.zeros(len(free), np.uint64), np.empty((len(free), 3), np.int64)
    for node in range(len(free)):
        can[node], offers[node, 0], offers[node, 1], offers[node, 2] = offer(node, need, free, by_node, parts, costs, table)
        bits[node] = table[2][max(0, need - free[node])]
    return can, offers, bits


@njit(cache=True)
def serve(shape: Shape, free: Ints, lists: Lists, parts: Parts, costs: Ints, given: Offers, chosen: Bools) -> bool:
    """Choose leases node by node until `shape` is served; False if it cannot be. Changes `free`, `chosen`, GPUs of `parts`.

    `given`: the nodes' offers, used up here. A node's offer is worked out anew only when a lease on it was chosen.
    """
    need, nodes = shape
    by_node, by_lease = lists
    open_, offers, bits = given
    table = (np.zeros(65, np.bool_), np.zeros((65, 3), np.int64), np.zeros(65, np.uint64))
    heap: Any = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    for node in range(len(free)):
        if open_[node]:
            heap.append((offers[node, 0], offers[node, 1], offers[node, 2], free[node], np.int64(node)))
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
        open_[served] = False
        leases = chosen_on(served, bits[served], by_node, parts[0])
        for near in end(leases, by_lease, parts, free, chosen):
            if open_[near]:
                can, a, b, c = offer(near, need, free, by_node, parts, costs, table)
                if can:
                    offers[near, 0], offers[near, 1], offers[near, 2] = a, b, c
                    bits[near] = table[2][max(0, need - free[near])]
                heappush(heap, (offers[near, 0], offers[near, 1], offers[near, 2], free[near], near))
    return True


@njit(cache=True)
def without_surplus(shape: Shape, free: Ints, by_lease: tuple[Ints, Ints], parts: Parts, loss: Ints, chosen: Bools) -> Ints:
    """The chosen less those without whom as many nodes are served, dearest first. `parts` as they were; changes `free`."""
    need, nodes = shape
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
