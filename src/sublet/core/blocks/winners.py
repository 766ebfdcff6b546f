"""Who wins: the rectangles that are worth most together and fit the calendar, each whole or not at all.

A mixed-integer program, solved by HiGHS for each pool by itself: maximise the sum of worth x won, such that in each window
the winners' nodes are at most what is left. What is found is never worse than the greedy search, and how far it can be from the
best is said by a bound that holds whatever the solver did.
"""

import math
from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt

from sublet.core.blocks.greedy import greedy
from sublet.core.blocks.rectangles import Bools, Ints, Rectangles, room_for

Rows = npt.NDArray[np.intp]

SECONDS = 2.0
"""The solver stops after so long for one pool, with the best it has found. Below that it always finds the same."""
NODES_MAX = 20_000
"""And after so many nodes of its search tree, which does not depend on how fast the machine is."""
_TOLERANCE = 1e-6
"""The solver's bound is a floating-point number, right to this share of itself."""


@dataclass(frozen=True, slots=True)
class Winners:
    """`won` bool[n], what they are worth together, and the `bound` that no choice can pass."""

    won: Bools
    worth: int
    bound: int
    method: str
    greedy_worth: int  # of the greedy search alone

    @property
    def gap(self) -> float:
        """How far from the best this can be at most, as a share of the bound."""
        return 0.0 if self.bound <= 0 else 1.0 - self.worth / self.bound


def winners(rects: Rectangles, left: Ints, *, seconds: float = SECONDS) -> Winners:
    """The winners on `left` (int64[windows], nodes that may be sold). `seconds` 0: without the solver."""
    possible = np.flatnonzero(room_for(rects, left) & (rects.worth > 0))
    some = rects.picked(possible)
    rows = _tight_spans(some, left)
    everybody = np.ones(len(some), np.bool_)
    if not rows:
        best = some.value(everybody)
        return _outcome(rects, possible[everybody], best, "no order stands in the way of another", best)
    first = greedy(some, left)
    least = some.value(first)
    bound = _relaxed(some, rows)
    if seconds <= 0:
        return _outcome(rects, possible[first], bound, "greedy", least)
    found, proven = _solved(some, rows, first, seconds)
    bound = min(bound, proven)
    if found is None or some.value(found) < least or (some.taken(found, len(left)) > np.maximum(left, 0)).any():
        return _outcome(rects, possible[first], bound, "greedy, as the solver found nothing better in its time", least)
    return _outcome(rects, possible[found], bound, "HiGHS", least)


def _outcome(rects: Rectangles, chosen: Rows, bound: int, method: str, greedy_worth: int) -> Winners:
    won = np.zeros(len(rects), np.bool_)
    won[chosen] = True
    worth = rects.value(won)
    return Winners(won, worth, max(bound, worth), method, greedy_worth)


def _tight_spans(rects: Rectangles, left: Ints) -> list[tuple[int, Ints]]:
    """(nodes left, indices of the rectangles there), for each stretch of windows in which not all of them fit.

    Between two starts or ends the same rectangles compete, so that stretch is one row with the least that is left in it; a row
    whose rectangles are all in another that leaves no more says nothing new.
    """
    edges = np.unique(np.concatenate([rects.first, rects.last]))
    rows: list[tuple[int, Ints]] = []
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        there = np.flatnonzero((rects.first <= a) & (rects.last >= b))
        space = int(left[a:b].min())
        if len(there) and int(rects.nodes[there].sum()) > space:
            rows.append((space, there))
    return [
        row
        for i, row in enumerate(rows)
        if not any(_covers(rows[j], row, first=j < i) for j in (i - 1, i + 1) if 0 <= j < len(rows))
    ]


def _covers(other: tuple[int, Ints], row: tuple[int, Ints], *, first: bool) -> bool:
    """Whether `other` implies `row`; of two that imply each other the first one stays."""
    if other[0] > row[0] or len(other[1]) < len(row[1]) or not np.isin(row[1], other[1], assume_unique=True).all():
        return False
    return first or other[0] < row[0] or len(other[1]) > len(row[1])


def _relaxed(rects: Rectangles, rows: list[tuple[int, Ints]]) -> int:
    """A bound that needs no solver: what all are worth, less what the tightest stretch must leave out, filled in part."""
    everything: int = sum(rects.worth.tolist())
    best: int = everything
    for space, there in rows:
        share = rects.worth[there] / rects.nodes[there]
        order = there[np.argsort(-share, kind="stable")]
        room, kept = space, 0
        for worth, nodes in zip(rects.worth[order].tolist(), rects.nodes[order].tolist(), strict=True):
            take = min(room, nodes)
            kept += -(-worth * take // nodes)
            room -= take
        best = min(best, everything - sum(rects.worth[there].tolist()) + kept)
    return best


def _solved(rects: Rectangles, rows: list[tuple[int, Ints]], start: Bools, seconds: float) -> tuple[Bools | None, int]:
    """(winners or None, bound) by HiGHS, which is told where to start."""
    scale = float(rects.worth.max())
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("parallel", "off"),
        ("random_seed", 0),
        ("time_limit", seconds),
        ("mip_max_nodes", NODES_MAX),
        ("mip_rel_gap", 0.0),
        ("mip_abs_gap", 1e-9),
    ):
        solver.setOptionValue(option, value)
    solver.passModel(_program(rects, rows, scale))
    begin = highspy.HighsSolution()
    begin.col_value = start.astype(np.float64).tolist()
    solver.setSolution(begin)
    solver.run()
    info = solver.getInfo()
    bound: int = sum(rects.worth.tolist())
    if math.isfinite(info.mip_dual_bound):
        bound = min(bound, math.floor(info.mip_dual_bound * scale * (1 + _TOLERANCE)))
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None, bound
    return np.array(solver.getSolution().col_value) > 0.5, bound


def _program(rects: Rectangles, rows: list[tuple[int, Ints]], scale: float) -> highspy.HighsLp:
    """The program in HiGHS's words, by rows; worth in shares of the greatest."""
    n, program = len(rects), highspy.HighsLp()
    program.num_col_, program.num_row_ = n, len(rows)
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_ = rects.worth / scale
    program.col_lower_, program.col_upper_ = np.zeros(n), np.ones(n)
    program.integrality_ = [highspy.HighsVarType.kInteger] * n
    program.row_lower_ = np.full(len(rows), -highspy.kHighsInf)
    program.row_upper_ = np.array([float(space) for space, _ in rows])
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_col_, matrix.num_row_ = n, len(rows)
    matrix.start_ = np.cumsum([0, *(len(there) for _, there in rows)])
    matrix.index_ = np.concatenate([there for _, there in rows])
    matrix.value_ = np.concatenate([rects.nodes[there].astype(np.float64) for _, there in rows])
    return program
