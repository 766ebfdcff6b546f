"""What the market of a pool looks like: the depth of waiting bids, the calendar and book of blocks, the history of prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sublet.app import world
from sublet.app.forecasting import Forecaster
from sublet.core.blocks.auction import venue_of
from sublet.core.blocks.calendar import Calendar
from sublet.core.blocks.order import BlockOrder, Side
from sublet.core.depth import BidColumns, Level, depth
from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.store import blocks, pools, prices
from sublet.store.database import Tx
from sublet.store.prices import PricePoint

STEP_MICRO = 10_000
"""Levels are a hundredth of a unit of currency wide."""


@dataclass(frozen=True, slots=True)
class ProductDepth:
    """The bids for one class and length."""

    lease_class: LeaseClass
    term_us: int | None
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class WindowDepth:
    """One delivery window, or several that follow each other and look the same, and the orders that touch it."""

    from_us: int
    to_us: int
    nodes_left: int
    nodes_sold: int
    wanted: tuple[Level, ...]
    offered: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class MarketDepth:
    """Both halves of a pool's market. Prices in micro-units a GPU-hour."""

    price_micro: int
    reserve_micro: int
    products: tuple[ProductDepth, ...]
    windows: tuple[WindowDepth, ...]


def pool_depth(
    tx: Tx, forecaster: Forecaster, pool: PoolId, *, from_us: int | None, to_us: int | None, now_us: int
) -> MarketDepth:
    """The depth of a pool; the delivery windows that a period touches, or all that there are."""
    price = pools.get(tx, pool).price_micro
    view = world.read_view(tx, forecaster, now_us=now_us, pool=pool)
    (here,) = view.pools
    venue = venue_of(here, view.standing(pool), now_us=now_us)
    calendar = venue.calendar
    end_us = calendar.window_start_us(len(calendar.limit))
    first, last = calendar.span(now_us if from_us is None else from_us, end_us if to_us is None else to_us)
    windows = _windows(calendar, blocks.resting(tx, pool), first, last) if here.pool.blocks.limit else ()
    return MarketDepth(price, venue.reserve_micro, _products(tx, pool), windows)


def price_history(tx: Tx, pool: PoolId, *, from_us: int, to_us: int, after_us: int | None, limit: int) -> Sequence[PricePoint]:
    """How the clearing price moved."""
    pools.get(tx, pool)
    return prices.page(tx, pool, from_us=from_us, to_us=to_us, after_us=after_us, limit=limit)


def _products(tx: Tx, pool: PoolId) -> tuple[ProductDepth, ...]:
    found: dict[tuple[LeaseClass, int | None], list[tuple[int, int, int]]] = {}
    for lease_class, term_us, bid, gpus, many in prices.waiting_bids(tx, pool):
        found.setdefault((lease_class, term_us), []).append((bid, gpus, many))
    ordered = sorted(found, key=lambda product: (product[0], product[1] or 0))
    return tuple(ProductDepth(*product, _levels(found[product])) for product in ordered)


def _levels(rows: Sequence[tuple[int, int, int]]) -> tuple[Level, ...]:
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return depth(BidColumns(columns[0], columns[1], columns[2]), step_micro=STEP_MICRO)


def _windows(calendar: Calendar, book: Sequence[BlockOrder], first: int, last: int) -> tuple[WindowDepth, ...]:
    """Stretches of windows between which nothing changes."""
    spans = [(order, *calendar.span(order.start_us, order.end_us)) for order in book]
    left = np.maximum(calendar.left, 0)
    moved = np.flatnonzero((np.diff(left) != 0) | (np.diff(calendar.sold) != 0)) + 1
    edges = {first, last, *moved.tolist(), *(edge for _, *span in spans for edge in span)}
    within = sorted(edge for edge in edges if first <= edge <= last)
    out = []
    for a, b in pairwise(within):
        there = [order for order, start, end in spans if start <= a and end >= b]
        sides = {
            side: [(order.limit_micro, order.gpus, 1) for order in there if order.side is side]
            for side in (Side.BUY, Side.SELL)
        }
        out.append(
            WindowDepth(
                calendar.window_start_us(a),
                calendar.window_start_us(b),
                int(left[a]),
                int(calendar.sold[a]),
                _levels(sides[Side.BUY]),
                _levels(sides[Side.SELL]),
            )
        )
    return tuple(out)
