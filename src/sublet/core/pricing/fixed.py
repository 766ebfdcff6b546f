"""A posted price: first come, first served."""

import numpy as np

from sublet.core.pricing.clearing import Bids, Clearing, Market, fill


def fixed(bids: Bids, market: Market) -> Clearing:
    """Everyone whose bid reaches the posted price is served in order of request; the floor lifts a price that is too low."""
    price = max(market.posted_micro, market.floor_micro)
    won = fill(np.arange(len(bids.price)), bids, bids.price >= price, market.gpus)
    why = "posted price" if price == market.posted_micro else "the posted price is below the floor: the floor holds"
    return Clearing(won, price, why)
