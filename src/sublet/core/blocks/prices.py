"""The price of each delivery window, and of a block.

A window costs what the dearest losing order offers that would need more nodes there than are left, and at least the reserve
price. All or nothing means that such prices cannot always balance: a loser may offer more than a block that won costs, because
letting it in would have lost more. Nobody is charged for that (the uplift is nothing): a winner pays the mean of its windows,
never above its limit, and the owner never gets less than the reserve price.
"""

from fractions import Fraction

import numpy as np

from sublet.core.blocks.calendar import Calendar
from sublet.core.blocks.rectangles import Bools, Ints, Rectangles, room_for, rows_of
from sublet.core.lease import LeaseClass
from sublet.core.pricing.floor import risk_share
from sublet.core.supply import published_floor
from sublet.core.view import PoolView


def reserve_price_micro(view: PoolView, calendar: Calendar, *, capacity: int) -> int:
    """The least a block's GPU-hour costs: the published floor, and the risk price of the blocks sold by the farthest forecast.

    `capacity`: GPUs of the pool. Where nothing is forecast, the floor alone; never less than the owner's own least price.
    """
    floor = published_floor(view).total_micro
    share = Fraction(0)
    if view.forecasts:
        ahead = view.forecasts[max(view.forecasts)]
        if len(ahead.samples):
            gpus = int(calendar.sold.max(initial=0)) * calendar.node_gpus
            share = risk_share(view.pool.terms[LeaseClass.BLOCK], ahead.exceeds(capacity - gpus - 1))
    return max(view.pool.blocks.least_micro, -(-floor * (share.numerator + share.denominator) // share.denominator))


def window_prices(rects: Rectangles, limits_micro: Ints, won: Bools, left: Ints, reserve_micro: int) -> Ints:
    """int64[windows], micro-units a GPU-hour. `limits_micro`, `won`: by order; `left`: nodes before these winners."""
    after = left - rects.taken(won, len(left))
    prices = np.full(len(left), reserve_micro, np.int64)
    lost = np.flatnonzero(~won & room_for(rects, left) & (limits_micro >= reserve_micro))
    rows, limits = rows_of(rects), limits_micro.tolist()
    for i in lost.tolist():
        first, last, nodes = rows[i]
        windows = prices[first:last]
        tight = after[first:last] < nodes
        windows[tight] = np.maximum(windows[tight], limits[i])
    return prices


def block_price_micro(prices: Ints, first: int, last: int, limit_micro: int) -> int:
    """What a GPU-hour of a block costs: the mean of its windows' prices, rounded down, and never above its limit."""
    return min(limit_micro, int(sum(prices[first:last].tolist())) // max(1, last - first))
