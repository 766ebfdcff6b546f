"""Victims where few leases are in question: what the search found is improved by a solver, and its bound raised.

Gangs make the choice of the cheapest victims a covering problem, for which the kernels search with prices. On a small pool
that can miss a set that loses a fifth less, and a mixed-integer program of some hundred variables is solved in milliseconds:

    minimise sum_l cost_l x_l   such that   free_n + sum_l frees_ln x_l >= need y_n for each node n,   sum_n y_n >= nodes

with x_l: lease l ends, y_n: the job runs on node n, all 0 or 1; with domains, the nodes of one domain alone (ALGORITHMS 1.1).
"""

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import numpy.typing as npt

from sublet.core.kernels.cheapest import Effort, Nodes, cheapest
from sublet.core.kernels.cover import Shape

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Room = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]

PARTS_MAX = 600
"""Above so many parts of leases on nodes the kernels' answer stands."""
_GOOD = 1.005
"""So near its bound nothing is sought any more."""
_SEARCHED = 500
"""Nodes of the solver's tree; unlike a time it is the same on every machine."""


@dataclass(frozen=True, slots=True)
class Found:
    """The rows that end, what no choice can cost less than, the domain that they make room in, and whether there is any."""

    rows: Ints
    bound: int
    domain: int
    can: bool = True


def few_or_many(
    rows: Any, holds: Any, room: Room, choice: tuple[Bools, Ints, Bools], *, shape: Shape, domain: Nodes, effort: Effort
) -> Found:
    """The victims of least cost, near enough, or proven where they are few; arguments as of `cheapest`."""
    can, ends, bound, where = cheapest(rows, holds, room, choice, shape, domain, effort)
    first = Found(ends, int(bound), int(where), can=bool(can))
    cost = int(choice[1][ends].sum())
    if not can or len(holds) > PARTS_MAX or cost <= _GOOD * first.bound:
        return first
    problem = _Problem.of(holds, room, choice[0], shape)
    places = [(first.domain, np.arange(len(room[0])))] if not len(domain) else _domains(domain, shape[1])
    best, least = first, cost
    bounds = []
    for number, nodes in places:
        picked, proven = problem.solve(nodes, choice[1], shape, below=least)
        bounds.append(proven)
        if picked is not None and (total := int(choice[1][picked].sum())) < least:
            best, least = Found(picked, 0, number), total
    return Found(best.rows, min(least, max(first.bound, min(bounds))), best.domain)


def _domains(domain: Nodes, nodes: int) -> list[tuple[int, npt.NDArray[np.intp]]]:
    every = [(number, np.flatnonzero(domain == number)) for number in range(int(domain.max()) + 1)]
    return [(number, within) for number, within in every if len(within) >= nodes]


@dataclass(frozen=True, slots=True)
class _Problem:
    """Parts of leases on nodes: (lease, node, GPUs that come free), and the GPUs that are free on each node."""

    lease: Ints
    node: Ints
    gpus: Ints
    free: Ints

    @classmethod
    def of(cls, holds: Any, room: Room, may: Bools, shape: Shape) -> "_Problem":
        lease, node = holds["lease"].astype(np.int64), holds["node"].astype(np.int64)
        gpus = np.bitwise_count(holds["mask"] & room[1][node]).astype(np.int64)
        usable = may[lease] & (gpus > 0)
        free = np.minimum(np.bitwise_count(room[0]).astype(np.int64), shape[0])
        return cls(lease[usable], node[usable], gpus[usable], free)

    def solve(self, nodes: npt.NDArray[np.intp], cost: Ints, shape: Shape, *, below: int) -> tuple[Ints | None, int]:
        """(rows of the leases that end or None, a bound) among these nodes; nothing is found that costs `below` or more."""
        here = np.isin(self.node, nodes)
        leases, columns = np.unique(self.lease[here], return_inverse=True)
        place = np.full(len(self.free), -1, np.int64)
        place[nodes] = np.arange(len(nodes))
        scale = float(max(1, cost[leases].max(initial=1)))
        solver = _solver(below / scale)
        solver.passModel(
            _program(cost[leases] / scale, (columns, place[self.node[here]], self.gpus[here]), self.free[nodes], shape)
        )
        solver.run()
        info = solver.getInfo()
        bound = below if not np.isfinite(info.mip_dual_bound) else int(info.mip_dual_bound * scale * (1 - 1e-6))
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None, max(0, bound)
        ends = np.array(solver.getSolution().col_value)[: len(leases)] > 0.5
        return self._needed(leases[ends], nodes, cost, shape), max(0, bound)

    def _needed(self, ends: Ints, nodes: npt.NDArray[np.intp], cost: Ints, shape: Shape) -> Ints:
        """Without those that are superfluous: the dearest first, each goes if the others make room alone."""
        kept = set(ends.tolist())
        for lease in sorted(kept, key=lambda row: (-int(cost[row]), row)):
            without = np.isin(self.lease, list(kept - {lease}))
            free = self.free + np.bincount(self.node[without], self.gpus[without], len(self.free)).astype(np.int64)
            if int((free[nodes] >= shape[0]).sum()) >= shape[1]:
                kept.discard(lease)
        return np.array(sorted(kept), np.int64)


def _solver(below: float) -> Any:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("parallel", "off"),
        ("random_seed", 0),
        ("mip_max_nodes", _SEARCHED),
        ("mip_rel_gap", _GOOD - 1.0),
        ("objective_bound", below),
    ):
        solver.setOptionValue(option, value)
    return solver


def _program(cost: npt.NDArray[np.float64], parts: tuple[Any, Any, Any], free: Ints, shape: Shape) -> highspy.HighsLp:
    """The program above in HiGHS's words: columns are leases, then nodes; rows are nodes, then their number."""
    column, row, gpus = parts
    leases, nodes = len(cost), len(free)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = leases + nodes, nodes + 1
    program.col_cost_ = np.concatenate([cost, np.zeros(nodes)])
    program.col_lower_, program.col_upper_ = np.zeros(leases + nodes), np.ones(leases + nodes)
    program.integrality_ = [highspy.HighsVarType.kInteger] * (leases + nodes)
    program.row_lower_ = np.concatenate([-free.astype(np.float64), [float(shape[1])]])
    program.row_upper_ = np.full(nodes + 1, highspy.kHighsInf)
    every = np.arange(nodes)
    rows = np.concatenate([row, every, np.full(nodes, nodes)])
    columns = np.concatenate([column, leases + every, leases + every])
    values = np.concatenate([gpus.astype(np.float64), np.full(nodes, -float(shape[0])), np.ones(nodes)])
    order = np.lexsort((columns, rows))
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_col_, matrix.num_row_ = leases + nodes, nodes + 1
    matrix.start_ = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=nodes + 1))])
    matrix.index_, matrix.value_ = columns[order], values[order]
    return program
