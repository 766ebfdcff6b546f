"""A uniform-price auction with a published floor: all winners pay one price, set by the best bid that lost."""

import numpy as np

from sublet.core.pricing.clearing import Bids, Clearing, Market, fill


def uniform(bids: Bids, market: Market) -> Clearing:
    """Fill whole bids from the dearest down; the price is the dearest losing bid, at least the floor.

    The price moves at most `smoothing_bps` of the last one, and only once a price period; between moves the last price is
    posted. It never passes the lowest winning bid, so nobody pays above the bid.
    """
    order = np.argsort(-bids.price, kind="stable")
    if not market.may_move:
        price = max(market.last_micro, market.floor_micro)
        won = fill(order, bids, bids.price >= price, market.gpus)
        return Clearing(won, price, "held until the price period ends")
    eligible = bids.price >= market.floor_micro
    won = fill(order, bids, eligible, market.gpus)
    lost = bids.price[eligible & ~won]
    target = int(lost.max()) if len(lost) else market.floor_micro
    price, why = _smoothed(max(target, market.floor_micro), market)
    if not len(lost) and won.any():
        why = "no bid lost: " + why
    payable = won & (bids.price >= price)
    if won.any() and not payable.all():
        won = fill(order, bids, bids.price >= price, market.gpus)
    return Clearing(won, price, why)


def _smoothed(target: int, market: Market) -> tuple[int, str]:
    if not market.smoothing_bps:
        return target, "dearest losing bid" if target > market.floor_micro else "the floor"
    step = max(1, market.last_micro * market.smoothing_bps // 10_000)
    bounded = min(max(target, market.last_micro - step), market.last_micro + step)
    price = max(bounded, market.floor_micro)
    if price == target:
        return price, "dearest losing bid" if target > market.floor_micro else "the floor"
    way = "down" if target < market.last_micro else "up"
    return price, f"on its way {way} to {target / 1e6:.4f}, at most {market.smoothing_bps / 100:g} % a period"
