"""Winners without a solver: the dearest rectangles first, then exchanges that gain."""

import numpy as np

from sublet.core.blocks.rectangles import Bools, Ints, Rectangles, rows_of

PASSES = 8
"""The exchanges are gone through at most so often."""


def greedy(rects: Rectangles, left: Ints) -> Bools:
    """bool[n]: winners among the rectangles on `left` (int64[windows], nodes that may be sold).

    By worth for each node and window, the older first among equals; then every loser that is worth more than those who would
    have to give way to it takes their place, the dearest loser first, until nothing is gained any more.
    """
    search = _Search(rects, left)
    search.fill()
    for _ in range(PASSES):
        if not search.exchange():
            break
    return search.won


class _Search:
    """Who has won so far, and what they leave."""

    def __init__(self, rects: Rectangles, left: Ints) -> None:
        self.rects, self.left = rects, left.copy()
        self.rows = rows_of(rects)
        self.won: Bools = np.zeros(len(rects), np.bool_)
        area = np.maximum(1, rects.nodes * (rects.last - rects.first))
        self.dearest_area: list[int] = np.argsort(-(rects.worth / area), kind="stable").tolist()
        self.dearest: list[int] = np.argsort(-rects.worth.astype(np.float64), kind="stable").tolist()

    def fits(self, i: int) -> bool:
        first, last, nodes = self.rows[i]
        return last > first and int(self.left[first:last].min()) >= nodes

    def take(self, i: int) -> None:
        first, last, nodes = self.rows[i]
        self.left[first:last] -= nodes
        self.won[i] = True

    def give_back(self, i: int) -> None:
        first, last, nodes = self.rows[i]
        self.left[first:last] += nodes
        self.won[i] = False

    def fill(self) -> None:
        for i in self.dearest_area:
            if not self.won[i] and self.fits(i):
                self.take(i)

    def exchange(self) -> bool:
        """One pass over the losers; whether anything was gained."""
        gained = False
        for i in self.dearest:
            if not self.won[i] and (out := self._in_the_way_of(i)) is not None:
                for j in out:
                    self.give_back(j)
                self.take(i)
                gained = True
        if gained:
            self.fill()
        return gained

    def _in_the_way_of(self, i: int) -> list[int] | None:
        """The cheapest winners that would have to go for `i`, one after the other; None where that does not gain."""
        first, last, nodes = self.rows[i]
        if last <= first:
            return None
        rects = self.rects
        lacking = nodes - self.left[first:last]
        near = np.flatnonzero(self.won & (rects.first < last) & (rects.last > first))
        gain, out = int(rects.worth[i]), list[int]()
        for j in near[np.argsort(rects.worth[near], kind="stable")].tolist():
            if lacking.max() <= 0:
                break
            a, b, freed = self.rows[j]
            inside = slice(max(a, first) - first, min(b, last) - first)
            if lacking[inside].max() <= 0:
                continue
            gain -= int(rects.worth[j])
            if gain <= 0:
                return None
            lacking[inside] -= freed
            out.append(j)
        return out if lacking.max() <= 0 else None
