"""The winners of a clearing get their GPUs, one after the other: what each takes, the next no longer has.

Rows are `tables.QUEUE_ROW`; prices in micro-units a GPU-hour, durations and instants in µs.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.bins import Bins, move
from sublet.core.kernels.choose import Tastes, find, open_gpus
from sublet.core.kernels.fit import popcount
from sublet.core.kernels.money import Whole, hold_micro
from sublet.core.kernels.queue import FREE_TO_BID, NO_ROOM, NO_ROOM_LEFT, OVER_BUDGET, obstacle

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Masks = npt.NDArray[np.uint64]


@njit(cache=True)
def lowest_bits(mask: np.uint64, many: Whole) -> np.uint64:
    """The `many` lowest set bits of a mask that has so many."""
    taken = np.uint64(0)
    for _ in range(many):
        bit = mask & (~mask + np.uint64(1))
        taken |= bit
        mask ^= bit
    return taken


@njit(cache=True)
def without_room(rows: npt.NDArray[Any], code: npt.NDArray[np.int8], free: Masks, slots: Masks) -> None:
    """Turn FREE_TO_BID into NO_ROOM where a gang does not fit what is free (`free`, `slots`: uint64[nodes])."""
    enough, whole = np.zeros(66, np.int64), np.zeros(66, np.int64)
    for node in range(len(free)):
        gpus = popcount(free[node])
        enough[gpus] += 1
        whole[gpus] += free[node] == slots[node]
    for gpus in range(64, -1, -1):
        enough[gpus] += enough[gpus + 1]
    for i in range(len(rows)):
        if code[i] == FREE_TO_BID:
            need, nodes = rows[i]["gpus"] // rows[i]["nodes"], rows[i]["nodes"]
            if (whole[need] if rows[i]["whole"] else enough[need]) < nodes:
                code[i] = NO_ROOM


@njit(cache=True)
def _rows_with_bits(masks: Masks, rows: Whole) -> Bools:
    """bool[rows]: which rows of a table have any bit; those that it does not have have none."""
    found = np.zeros(rows, np.bool_)
    for row in range(len(masks)):
        found[row] = masks[row].any()
    return found


@njit(cache=True)
def hand_out(
    rows: npt.NDArray[Any],
    now_us: int,
    price: tuple[int, Ints, Ints],
    supply: tuple[Ints, Ints, int],
    tenants: tuple[Bools, Ints, Ints],
    purses: tuple[Ints, Ints],
    bins: Bins,
    tastes: Tastes,
    barred: Masks,
) -> tuple[npt.NDArray[np.int8], Ints, Ints, Ints, Masks]:
    """(code int8[k], price int64[k], hold int64[k], node int64[m], mask uint64[m]) for the winners `rows`, in their order.

    A row whose code is FREE_TO_BID is granted, with the next `nodes` of its row in (node, mask); the others are told by their
    code what became of them meanwhile. `price`: (clearing price, int64[products] over, whole: a product pays whole / over of
    it, never more than its bid). `supply`: (spare int64[products], class of each product, unlocked GPUs), `tenants`: as
    `queue.screen` takes them; `purses`: int64[tenants] each, what may be spent and what was. `bins`: the nodes with what is
    free of them, `tastes`: by what `choose` picks them. `barred`: uint64[products, nodes], GPUs on which a product is not
    placed, or no rows where nothing is barred. Changes `spare`, `holding`, what was spent, and `bins`.
    """
    clearing, over, whole = price
    spare, class_of, unlocked = supply
    holding, (limit, spent) = tenants[2], purses
    nodes, kinds, present, bits, tally = bins.nodes, bins.kinds, bins.present, bins.bits, bins.tally
    nothing, is_barred = np.zeros(0, np.uint64), _rows_with_bits(barred, len(spare))
    n = len(rows)
    code, pays, holds = np.zeros(n, np.int8), np.zeros(n, np.int64), np.zeros(n, np.int64)
    total = rows["nodes"].sum()
    found = np.empty(max(1, total), np.int64)
    node, mask, at = np.empty(total, np.int64), np.empty(total, np.uint64), 0
    for i in range(n):
        row = rows[i]
        code[i] = obstacle(row, now_us, spare, tenants, unlocked)
        if code[i] != FREE_TO_BID:
            continue
        many, lease_class = np.int64(row["nodes"]), class_of[row["product"]]
        need = np.int64(row["gpus"] // many)
        ask = (need, bool(row["whole"]), lease_class)
        closed = barred[row["product"]] if is_barred[row["product"]] else nothing
        if not find(bins, closed, ask, tastes, found[:many]):
            code[i] = NO_ROOM_LEFT
            continue
        pays[i] = min(clearing * whole[row["product"]] // over[row["product"]], row["bid_micro"])
        holds[i] = hold_micro(row["gpus"], row["window_us"], pays[i])
        tenant = row["tenant"]
        if spent[tenant] + holds[i] > limit[tenant]:
            code[i] = OVER_BUDGET
            continue
        spent[tenant] += holds[i]
        holding[tenant] += row["gpus"]
        for product in range(len(spare)):
            if class_of[product] == lease_class:
                spare[product] -= row["gpus"]
        unlocked -= row["gpus"] if row["locks"] else 0
        for one in found[:many]:
            node[at], mask[at] = one, lowest_bits(np.uint64(open_gpus(nodes, one, closed)), need)
            move(nodes, kinds, present, bits, tally, one, mask[at], lease_class)
            at += 1
    return code, pays, holds, node[:at], mask[:at]
