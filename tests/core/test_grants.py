"""The kernel that hands GPUs out, against the plain way of doing it: one winner, one room, one purse at a time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placing import Ask, PlainNode, bins_for, nodes_for

from sublet.core import fleet, rating
from sublet.core.ids import NodeId
from sublet.core.kernels import grants, money
from sublet.core.kernels import queue as codes
from sublet.core.kernels.fragments import scrap
from sublet.core.packing import _EXPECTED, CROWDING, STRANGE
from sublet.core.placement import Room
from sublet.core.tables import CLASSES, NEVER, QUEUE_ROW
from sublet.core.units import HOUR_US, MINUTE_US

settings.register_profile("core", deadline=None, derandomize=True, max_examples=200)
PROFILE = settings.get_profile("core")
both = pytest.mark.parametrize("run", ["compiled", "plain"])
NODES = 5
MASKS = st.lists(st.integers(0, 255), min_size=NODES, max_size=NODES)
NOW = 1_000 * HOUR_US

WINNER = st.fixed_dictionaries(
    {
        "whole": st.booleans(),
        "locks": st.booleans(),
        "product": st.integers(0, 2),
        "tenant": st.integers(0, 1),
        "need": st.sampled_from([1, 2, 4, 8]),
        "nodes": st.integers(1, 3),
        "bid_micro": st.integers(0, 3_000_000),
        "not_before_us": st.sampled_from([0, NOW, NOW + 1]),
        "window_us": st.sampled_from([MINUTE_US, HOUR_US, 24 * HOUR_US]),
    }
)
Winner = dict[str, Any]


def rows_of(winners: list[Winner]) -> Any:
    rows = np.zeros(len(winners), QUEUE_ROW)
    for i, one in enumerate(winners):
        for field, value in one.items():
            if field != "need":
                rows[i][field] = value
        rows[i]["used"], rows[i]["gpus"] = True, one["need"] * one["nodes"]
    return rows


def kernel(name: str, run: str) -> Any:
    found = getattr(grants, name)
    return found if run == "compiled" else found.py_func


def in_the_way(one: Winner, at: dict[str, Any], spare: int, holding: int, unlocked: int) -> int:
    gpus, quota = one["need"] * one["nodes"], at["quota"][one["tenant"]]
    walls = {
        codes.SUSPENDED: at["suspended"][one["tenant"]],
        codes.BACKING_OFF: one["not_before_us"] > NOW,
        codes.AT_RISK: gpus > spare,
        codes.OVER_QUOTA: 0 <= quota < holding + gpus,
        codes.BREAKS_PROMISE: one["locks"] and gpus > unlocked,
    }
    return next((code for code, is_there in walls.items() if is_there), codes.FREE_TO_BID)


def plain_nodes(free: list[int], before: list[int]) -> list[PlainNode]:
    """Three nodes stand in one rack, the others in none."""
    locations = [("p", "r")] * 3 + [("p", "")] * (NODES - 3)
    return [
        PlainNode(255, mask, owner.bit_count(), location=location)
        for mask, owner, location in zip(free, before, locations, strict=True)
    ]


def handed_out(winners: list[Winner], free: list[int], before: list[int], at: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(code, price, hold, placement) of each, the slow way. Products 0 and 1 are of one class."""
    nodes = plain_nodes(free, before)
    spare, holding, spent, unlocked = list(at["spare"]), list(at["holding"]), [0, 0], at["unlocked"]
    found: list[tuple[Any, ...]] = []
    for one in winners:
        gpus, tenant, product = one["need"] * one["nodes"], one["tenant"], one["product"]
        code, price, hold, placement = in_the_way(one, at, spare[product], holding[tenant], unlocked), 0, 0, None
        if code == codes.FREE_TO_BID:
            closed = at["barred"][product] if at["barred"] else [0] * NODES
            there = [replace(other, free=other.free & ~mask) for other, mask in zip(nodes, closed, strict=True)]
            rows = nodes_for(there, Ask(one["need"], one["nodes"], one["whole"], CLASSES[product // 2]), _EXPECTED.tolist())
            if rows is None:
                code = codes.NO_ROOM_LEFT
            else:
                placement = [(row, fleet.lowest_bits(there[row].free, one["need"])) for row in rows]
                price = min(at["price"] * at["whole"][product] // at["over"][product], one["bid_micro"])
                hold = rating.hold_micro(gpus, one["window_us"], price)
                if spent[tenant] + hold > at["headroom"][tenant]:
                    code, placement = codes.OVER_BUDGET, None
        if placement is not None:
            for row, mask in placement:
                leased = nodes[row].leased
                nodes[row].free ^= mask
                leased[CLASSES[product // 2]] = leased.get(CLASSES[product // 2], 0) + one["need"]
            spent[tenant] += hold
            holding[tenant] += gpus
            unlocked -= gpus if one["locks"] else 0
            for other in (0, 1) if product < 2 else (2,):
                spare[other] -= gpus
        found.append((code, price, hold, placement))
    return found


@both
@PROFILE
@given(
    winners=st.lists(WINNER, max_size=8),
    free=MASKS,
    before=MASKS,
    at=st.fixed_dictionaries(
        {
            "price": st.integers(0, 2_000_000),
            "over": st.just([1, 3, 7]),
            "whole": st.just([1, 4, 9]),
            "spare": st.lists(st.integers(0, 60), min_size=3, max_size=3),
            "suspended": st.lists(st.booleans(), min_size=2, max_size=2),
            "quota": st.lists(st.sampled_from([-1, 4, 16, 100]), min_size=2, max_size=2),
            "holding": st.lists(st.integers(0, 8), min_size=2, max_size=2),
            "headroom": st.lists(st.sampled_from([NEVER, -1, 0, 10**6, 10**8]), min_size=2, max_size=2),
            "unlocked": st.integers(-4, 40),
            "barred": st.one_of(
                st.just([]),
                st.lists(st.lists(st.sampled_from([0, 255]), min_size=NODES, max_size=NODES), min_size=3, max_size=3),
            ),
        }
    ),
)
def test_winners_get_their_gpus_one_after_the_other(
    winners: list[Winner], free: list[int], before: list[int], at: dict[str, Any], run: str
) -> None:
    expected = handed_out(winners, free, before, at)

    def ints(values: list[int]) -> Any:
        return np.array(values, np.int64)

    code, pays, holds, node, mask = kernel("hand_out", run)(
        rows_of(winners),
        NOW,
        (at["price"], ints(at["over"]), ints(at["whole"])),
        (ints(at["spare"]), ints([0, 0, 1]), at["unlocked"]),
        (np.array(at["suspended"]), ints(at["quota"]), ints(at["holding"])),
        (ints(at["headroom"]), ints([0, 0])),
        bins_for(plain_nodes(free, before)),
        (scrap(_EXPECTED, 9, CROWDING), STRANGE),
        np.array(at["barred"], np.uint64).reshape(-1, NODES),
    )
    placed = iter(zip(node.tolist(), mask.tolist(), strict=True))
    for i, (what, price, hold, placement) in enumerate(expected):
        assert code[i] == what
        if placement is not None:
            assert (pays[i], holds[i]) == (price, hold)
            assert [next(placed) for _ in placement] == placement
    assert next(placed, None) is None


@both
@PROFILE
@given(winners=st.lists(WINNER, min_size=1, max_size=8), free=MASKS)
def test_who_fits_nowhere_is_told_before_anything_is_handed_out(winners: list[Winner], free: list[int], run: str) -> None:
    slots = np.full(NODES, 255, np.uint64)
    code = np.zeros(len(winners), np.int8)
    code[0] = codes.TOO_LARGE
    kernel("without_room", run)(rows_of(winners), code, np.array(free, np.uint64), slots)
    assert code[0] == codes.TOO_LARGE, "another reason stands"
    room = Room(tuple(NodeId(str(i)) for i in range(NODES)), slots, np.array(free, np.uint64))
    for one, what in list(zip(winners, code.tolist(), strict=True))[1:]:
        fits = room.find(gpus_per_node=one["need"], nodes=one["nodes"], whole=one["whole"]) is not None
        assert what == (codes.FREE_TO_BID if fits else codes.NO_ROOM)


@both
@PROFILE
@given(mask=st.integers(1, (1 << 64) - 1), share=st.floats(0, 1))
def test_the_lowest_bits_are_those_of_the_fleet(mask: int, share: float, run: str) -> None:
    many = round(share * mask.bit_count())
    assert int(kernel("lowest_bits", run)(np.uint64(mask), many)) == fleet.lowest_bits(mask, many)


@both
@PROFILE
@given(gpus=st.integers(1, 5_000), window=st.integers(1, 40 * 24 * HOUR_US), price=st.integers(0, 50_000_000))
def test_a_hold_is_that_of_the_books(gpus: int, window: int, price: int, run: str) -> None:
    hold = money.hold_micro if run == "compiled" else money.hold_micro.py_func
    assert hold(np.int64(gpus), np.int64(window), np.int64(price)) == rating.hold_micro(gpus, window, price)
