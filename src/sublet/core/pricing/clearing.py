"""One market decision of one pool: who wins, at which single price."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Bids:
    """Sealed whole bids in order of request.

    `price`: int64[n], micro-units a GPU-hour the tenant would pay at most for the bare clearing price (risk price taken off);
    `gpus`: int64[n].
    """

    price: npt.NDArray[np.int64]
    gpus: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Market:
    """What a pricing policy may look at besides the bids; prices in micro-units a GPU-hour."""

    gpus: int  # lendable
    floor_micro: int
    last_micro: int  # the price of the round before
    posted_micro: int  # of the fixed policy
    smoothing_bps: int
    may_move: bool  # a price period has passed since it last moved


@dataclass(frozen=True, slots=True)
class Clearing:
    """The outcome: `won` bool[n], one price for all, and why it is what it is."""

    won: npt.NDArray[np.bool_]
    price_micro: int
    reason: str


Pricing = Callable[[Bids, Market], Clearing]


def fill(order: npt.NDArray[np.intp], bids: Bids, eligible: npt.NDArray[np.bool_], gpus: int) -> npt.NDArray[np.bool_]:
    """Winners among the eligible, whole bids in `order`, stopping at the first that does not fit.

    Stopping (not skipping) keeps a large bid from being passed over by smaller, lower ones in the same round. A bid that is
    larger than all that is lendable does not take part.
    """
    order = order[eligible[order]]
    fits = np.cumsum(bids.gpus[order]) <= gpus
    winners = len(order) if fits.all() else int(np.argmin(fits))
    won = np.zeros(len(bids.price), np.bool_)
    won[order[:winners]] = True
    return won
