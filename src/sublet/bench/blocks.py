"""`sublet bench core`, the part about blocks: who wins a book of orders, how far from the best, and the depth of many bids."""

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from sublet.core.blocks.rectangles import Rectangles
from sublet.core.blocks.winners import Winners, winners
from sublet.core.depth import BidColumns, depth

ORDERS, POOLS, DAYS = 2_000, 100, 14
WINDOWS = 24 * DAYS
NODE_GPUS = 8
CROWDED = 0.5
"""The calendar holds about so much of what is wanted: orders have to compete."""
BIDS = 100_000
STEP_MICRO = 10_000


def measure() -> dict[str, Any]:
    """The orders over all pools, the same orders in one pool, and the depth of a hundred thousand bids."""
    rng = np.random.default_rng(0)
    books = [_book(rng, ORDERS // POOLS) for _ in range(POOLS)]
    crowd = [_book(rng, ORDERS)]
    _found(books[:1], 1.0)  # what is loaded at the first use is not measured
    return {
        "orders": ORDERS,
        "pools": POOLS,
        "windows": WINDOWS,
        "auctions": _auctions(books, 2.0),
        "one_pool": {f"within_{seconds:g}_s": _auctions(crowd, seconds, times=1) for seconds in (0.25, 2.0, 10.0)},
        "depth": _depth(rng),
    }


def _book(rng: np.random.Generator, orders: int) -> tuple[Rectangles, np.ndarray[Any, np.dtype[np.int64]]]:
    """Orders of a few hours to three days for 1 to 32 nodes, and a calendar that cannot hold them all."""
    first = rng.integers(0, WINDOWS - 1, orders)
    last = np.minimum(WINDOWS, first + rng.integers(1, 73, orders))
    nodes = rng.choice((1, 2, 4, 8, 16, 32), orders)
    gain = rng.integers(1, 3_000_000, orders)
    left = np.full(WINDOWS, max(32, int(CROWDED * (nodes * (last - first)).sum() / WINDOWS)))
    columns = (first, last, nodes, gain * NODE_GPUS * nodes * (last - first))
    return Rectangles(*(column.astype(np.int64) for column in columns)), left.astype(np.int64)


def _auctions(books: list[Any], seconds: float, *, times: int = 3) -> dict[str, Any]:
    """All books one after the other. The gap is to a bound that no choice can pass, so it says at most how far the best is."""
    found = _found(books, seconds)
    took = [_seconds(lambda: _found(books, seconds)) for _ in range(times)]
    each = [_seconds(lambda book=book: _found([book], seconds)) for book in books]  # type: ignore[misc]
    worth, bound = sum(one.worth for one in found), sum(one.bound for one in found)
    quick = _seconds(lambda: _found(books, 0.0))
    return {
        "seconds": round(statistics.median(took), 3),
        "slowest_pool_ms": round(max(each) * 1e3, 1),
        "won": int(sum(one.won.sum() for one in found)),
        "gap": round(1 - worth / bound, 6),
        "worst_gap": round(max(one.gap for one in found), 6),
        "greedy_share": round(sum(one.greedy_worth for one in found) / worth, 4),
        "greedy_share_of_bound": round(sum(one.greedy_worth for one in found) / bound, 4),
        "greedy_seconds": round(quick, 3),
    }


def _found(books: list[Any], seconds: float) -> list[Winners]:
    return [winners(rects, left, seconds=seconds) for rects, left in books]


def _depth(rng: np.random.Generator) -> dict[str, Any]:
    bids = BidColumns(
        rng.integers(96_000, 3_000_000, BIDS), rng.choice((1, 2, 4, 8), BIDS).astype(np.int64), np.ones(BIDS, np.int64)
    )
    took = [_seconds(lambda: depth(bids, step_micro=STEP_MICRO)) for _ in range(30)]
    return {
        "bids": BIDS,
        "levels": len(depth(bids, step_micro=STEP_MICRO)),
        "median_ms": round(statistics.median(took) * 1e3, 2),
        "worst_ms": round(max(took) * 1e3, 2),
    }


def _seconds(what: Callable[[], Any]) -> float:
    began = perf_counter()
    what()
    return perf_counter() - began
