"""Orders that compete as rectangles: so many nodes over so many delivery windows, all or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.blocks.calendar import Calendar
from sublet.core.blocks.order import BlockOrder

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rectangles:
    """One element an order, the oldest first; int64[n] each.

    `first` and `last`: the windows from `first` to `last` - 1. `worth`: (limit - reserve price) x GPUs x windows, what is
    gained by letting it win, in micro-units x windows. Above 2^53 a solver does not see the last digit: sums are of integers.
    """

    first: Ints
    last: Ints
    nodes: Ints
    worth: Ints

    def __len__(self) -> int:
        """How many orders."""
        return len(self.nodes)

    def picked(self, which: npt.NDArray[np.intp]) -> "Rectangles":
        """Some of them, in this order."""
        return Rectangles(self.first[which], self.last[which], self.nodes[which], self.worth[which])

    def value(self, won: Bools) -> int:
        """What these winners (bool[n]) are worth together, exactly."""
        return sum(self.worth[won].tolist())

    def taken(self, won: Bools, windows: int) -> Ints:
        """int64[windows]: nodes that these winners take."""
        steps = np.zeros(windows + 1, np.int64)
        np.add.at(steps, self.first[won], self.nodes[won])
        np.add.at(steps, self.last[won], -self.nodes[won])
        return np.cumsum(steps[:-1])


def rectangles(orders: Sequence[BlockOrder], calendar: Calendar, reserve_micro: int) -> Rectangles:
    """The orders (buys, the oldest first) on a calendar; one at the reserve price is worth a little, so that it is sold."""
    spans = [calendar.span(order.start_us, order.end_us) for order in orders]
    first, last = (np.array([span[side] for span in spans], np.int64) for side in (0, 1))
    gains = [
        max(1, order.limit_micro - reserve_micro) * order.gpus * (end - start)
        for order, (start, end) in zip(orders, spans, strict=True)
    ]
    nodes = np.array([order.nodes for order in orders], np.int64)
    return Rectangles(first, last, nodes, np.array(gains, np.int64))


def room_for(rects: Rectangles, left: Ints) -> Bools:
    """bool[n]: whether each would fit if it were alone. `left`: int64[windows], nodes that may be sold."""
    return np.array([_lowest(left, a, b) >= nodes for a, b, nodes in rows_of(rects)], np.bool_)


def rows_of(rects: Rectangles) -> list[tuple[int, int, int]]:
    """(first, last, nodes) of each, as plain integers."""
    return list(zip(rects.first.tolist(), rects.last.tolist(), rects.nodes.tolist(), strict=True))


def _lowest(left: Ints, first: int, last: int) -> int:
    return int(left[first:last].min()) if last > first else -1
