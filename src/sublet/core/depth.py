"""How much is wanted at which price: sealed bids, added up to levels that tell the market and betray nobody.

A level has at least `least` bids; where there are fewer, they are shown as one level without a price of their own.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

LEAST = 3
"""So many bids hide each other."""


@dataclass(frozen=True, slots=True)
class Level:
    """Bids of at least `price_micro` and below the level before it: GPUs of the level, and of it and all dearer ones.

    No price where there are too few bids to hide each other.
    """

    price_micro: int | None
    gpus: int
    gpus_at_or_above: int
    bids: int


@dataclass(frozen=True, slots=True)
class BidColumns:
    """Bids that may already be added up; int64[n] each. `price`: micro-units a GPU-hour; `many`: how many bids a row is."""

    price: Ints
    gpus: Ints
    many: Ints


def depth(bids: BidColumns, *, step_micro: int, least: int = LEAST) -> tuple[Level, ...]:
    """The levels, the dearest first. Prices are rounded down to `step_micro`; too few for a level join the next lower one."""
    assert step_micro > 0 and least > 0
    if not len(bids.price):
        return ()
    steps, at = np.unique(bids.price // step_micro, return_inverse=True)
    gpus = np.bincount(at, bids.gpus, len(steps)).astype(np.int64)
    many = np.bincount(at, bids.many, len(steps)).astype(np.int64)
    levels: list[Level] = []
    waiting = above = number = 0
    for step, wanted, bidders in zip(steps[::-1].tolist(), gpus[::-1].tolist(), many[::-1].tolist(), strict=True):
        waiting, number = waiting + wanted, number + bidders
        if number >= least:
            above += waiting
            levels.append(Level(step * step_micro, waiting, above, number))
            waiting = number = 0
    if number:
        levels = _joined(levels, Level(None, waiting, above + waiting, number), int(steps[0]) * step_micro)
    return tuple(levels)


def _joined(levels: list[Level], rest: Level, lowest_micro: int) -> list[Level]:
    """The lowest bids were too few: they go with the level above them, or say no price at all."""
    if not levels:
        return [rest]
    last = levels[-1]
    return [
        *levels[:-1],
        Level(lowest_micro, last.gpus + rest.gpus, last.gpus_at_or_above + rest.gpus, last.bids + rest.bids),
    ]
