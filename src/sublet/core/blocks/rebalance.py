"""In which of several like pools each waiting block will lie: chosen anew so that little is sold beyond what is left to sell.

A block is bought in one pool, when its owner's forecast was another. Pools at one site that sell the same (`kind_of`) are one
to its tenant, so a block that has not started may move among them. What a choice costs, by node-windows (nodes x windows):

    BEYOND x what is sold beyond the calendars' limits     a forecast rose: a block would be broken, or the owner's work wait
    + weight of a pool x what lies in it                   the emptiest pools become empty, for large blocks
    + MOVED x what is not in the pool where it was         nothing moves for next to nothing

It is a mixed-integer program over pools and blocks, too large as a whole for a fleet of a hundred pools. So the pools are split
at random, each part is solved by itself with the blocks that lie in its pools, and the next time they are split otherwise (POP:
Narayanan et al., "Solving Large-Scale Granular Resource Allocation Problems Efficiently", SOSP 2021). A greedy search over all
pools comes before, so that what is seen at a glance needs no luck with the split.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import highspy
import numpy as np
import numpy.typing as npt

from sublet.core.blocks.calendar import Calendar
from sublet.core.blocks.deals import Shift
from sublet.core.blocks.rectangles import Bools, Ints
from sublet.core.lease import Lease, LeaseClass
from sublet.core.terms import Pool

Rows = npt.NDArray[np.intp]

BEYOND, PACKED, MOVED = 100_000, 1_000, 100
"""PACKED: the weight of the pool with least in it; that of the one with most is 0."""
PART = 4
"""So many pools are solved together."""
SECONDS = 10.0
"""The solver stops after so long, for all kinds and their parts together, with the best it has found."""
_NODES_MAX = 2_000
"""And after so many nodes of its search tree, which does not depend on how fast the machine is."""
_GAP = 0.0005
_PASSES = 4
_TOLERANCE = 1e-6


def kind_of(pool: Pool) -> tuple[object, ...]:
    """What a tenant buys with a block, but for the pool's name: pools that are alike in it may change places."""
    sale = replace(pool.blocks, limit=None, auction_us=0, least_micro=0)
    times = (pool.detection_us, pool.stop_us, pool.handover_us, pool.start_us, pool.promise.within_us)
    return pool.site, pool.gpu_model, pool.currency, pool.terms.get(LeaseClass.BLOCK), sale, times


@dataclass(frozen=True, slots=True)
class Shelves:
    """Like pools and the blocks that may move among them.

    `left`: int64[pools, windows], whole nodes that may be blocks, less those that stay where they are; below 0 where more are.
    `weight`: int64[pools]. By block: `first`, `last` (its windows are those from `first` to `last` - 1), `nodes`, `home` (the
    pool it was in; -1: none of these), int64[n] each, and `may` bool[n, pools].
    """

    left: Ints
    weight: Ints
    first: Ints
    last: Ints
    nodes: Ints
    home: Ints
    may: Bools

    def __len__(self) -> int:
        """How many blocks."""
        return len(self.nodes)

    @property
    def area(self) -> Ints:
        """int64[n]: nodes x windows."""
        return self.nodes * (self.last - self.first)

    def rest(self, at: Ints) -> Ints:
        """int64[pools, windows]: nodes that are left once each block lies in the pool `at` says (int64[n])."""
        steps = np.zeros((self.left.shape[0], self.left.shape[1] + 1), np.int64)
        np.add.at(steps, (at, self.first), self.nodes)
        np.add.at(steps, (at, self.last), -self.nodes)
        rest: Ints = self.left - np.cumsum(steps, axis=1)[:, :-1]
        return rest

    def beyond(self, at: Ints) -> int:
        """Node-windows that are sold beyond what may be."""
        return int(np.maximum(0, -self.rest(at)).sum())

    def cost(self, at: Ints) -> int:
        """What this choice costs, as above."""
        return BEYOND * self.beyond(at) + int((self.area * (self.weight[at] + MOVED * (at != self.home))).sum())

    def part(self, pools: Rows, at: Ints) -> tuple["Shelves", Ints, Rows]:
        """These pools alone with the blocks that lie in them, in which of them each does, and which blocks those are."""
        place = np.full(len(self.left) + 1, -1, np.int64)
        place[pools] = np.arange(len(pools))
        inside = np.flatnonzero(place[at] >= 0)
        some = (self.first[inside], self.last[inside], self.nodes[inside], place[self.home[inside]])
        return Shelves(self.left[pools], self.weight[pools], *some, self.may[np.ix_(inside, pools)]), place[at[inside]], inside


def shelves_of(pools: Sequence[Pool], calendars: Sequence[Calendar], blocks: Sequence[tuple[Lease, Bools]]) -> Shelves:
    """Pools of one kind with their calendars, and the waiting blocks that may move, each with the pools it may be in.

    The pools' calendars begin together and are equally long, as pools of a kind sell alike.
    """
    place = {pool.id: number for number, pool in enumerate(pools)}
    some = [lease for lease, _ in blocks]
    spans = [calendars[0].span(lease.not_before_us, lease.ends_us or lease.not_before_us) for lease in some]
    first, last, nodes, home = (
        np.array(column, np.int64)
        for column in (
            [a for a, _ in spans],
            [b for _, b in spans],
            [lease.nodes for lease in some],
            [place[lease.pool] for lease in some],
        )
    )
    may = np.array([which for _, which in blocks], np.bool_).reshape(len(some), len(pools))
    stay = Shelves(
        np.array([one.left for one in calendars], np.int64), np.zeros(len(pools), np.int64), first, last, -nodes, home, may
    )
    left = stay.rest(home)
    sold = np.bincount(home, nodes * (last - first), len(pools)).astype(np.int64)
    return Shelves(left, weights(left, sold), first, last, nodes, home, may)


def shifts(shelves: Shelves, at: Ints, pools: Sequence[Pool], blocks: Sequence[Lease]) -> tuple[Shift, ...]:
    """The blocks that move to where `at` (int64[n]) says."""
    eased = shelves.beyond(shelves.home) - shelves.beyond(at)
    why = f"so that {eased} node-windows less are sold beyond what is left" if eased > 0 else "so that more stays whole"
    return tuple(
        Shift(
            block.id, block.version, block.pool, pools[to].id, f"moved to pool {pools[to].id}, which is of the same kind, {why}"
        )
        for block, to, home in zip(blocks, at.tolist(), shelves.home.tolist(), strict=True)
        if to != home
    )


def weights(left: Ints, sold: Ints) -> Ints:
    """int64[pools]: what a node-window costs for lying in each: least in the pool with most in it, so that it stays that one.

    `left`: int64[pools, windows], without the blocks; `sold`: int64[pools], the node-windows of theirs. Among equals the
    smaller pool comes first.
    """
    rank = np.empty(len(left), np.int64)
    rank[np.lexsort((left.sum(axis=1), -sold))] = np.arange(len(left))
    return PACKED * rank // max(1, len(left) - 1)


@dataclass(frozen=True, slots=True)
class Balanced:
    """`at`: int64[n], the pool of each block; what that costs, what it cost before, and how many parts were solved.

    `bound`: no choice costs less, which is known only where all pools were one part; else 0.
    """

    at: Ints
    cost: int
    before: int
    parts: int
    bound: int = 0


def rebalanced(shelves: Shelves, *, seed: int, part: int = PART, seconds: float = SECONDS) -> Balanced:
    """A choice that costs no more than the one there is. `seed` splits the pools; `seconds` 0: without the solver."""
    pools = np.random.default_rng(seed).permutation(len(shelves.left))
    before, at = shelves.cost(shelves.home), greedy(shelves)
    parts = [np.sort(some) for some in np.array_split(pools, -(-len(pools) // part))] if seconds > 0 else []
    bound = 0
    for some in parts:
        mine, there, inside = shelves.part(some, at)
        if len(mine) and len(some) > 1:
            chosen, proven = _solved(mine, there, seconds / len(parts))
            at[inside] = some[chosen]
            bound = proven if len(parts) == 1 else 0
    return Balanced(at, shelves.cost(at), before, len(parts), bound)


def greedy(shelves: Shelves) -> Ints:
    """int64[n]: one block after the other, the largest first, goes where that costs least, until none gains any more."""
    at, rest = shelves.home.copy(), shelves.rest(shelves.home)
    area, pools = shelves.area, np.arange(len(shelves.left))
    for _ in range(_PASSES):
        moved = False
        for i in np.argsort(-area, kind="stable").tolist():
            if not shelves.may[i].any():
                continue
            here, span = int(at[i]), slice(int(shelves.first[i]), int(shelves.last[i]))
            rest[here, span] += shelves.nodes[i]
            there = rest[:, span]
            worse = (np.maximum(0, shelves.nodes[i] - there) - np.maximum(0, -there)).sum(axis=1)
            costs = BEYOND * worse + area[i] * (shelves.weight + MOVED * (pools != shelves.home[i]))
            best = int(np.where(shelves.may[i], costs, np.iinfo(np.int64).max).argmin())
            at[i] = best if costs[best] < costs[here] else here
            moved |= at[i] != here
            rest[at[i], span] -= shelves.nodes[i]
        if not moved:
            break
    return at


def _solved(shelves: Shelves, there: Ints, seconds: float) -> tuple[Ints, int]:
    """(int64[n], bound): what the solver finds, if it costs less than what is `there`; and what no choice costs less than."""
    found, bound = _by_solver(shelves, there, seconds)
    return (there if found is None or shelves.cost(found) >= shelves.cost(there) else found), bound


def _stretches(shelves: Shelves) -> list[tuple[int, int, int, int, Rows]]:
    """(pool, windows, nodes left, all that could lie there, blocks) where more could lie in a pool than is left.

    A stretch is of windows between which nothing starts or ends and what is left stays the same.
    """
    steps = (np.flatnonzero(np.diff(left)) + 1 for left in shelves.left)
    edges = np.unique(np.concatenate([shelves.first, shelves.last, *steps]))
    found = []
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        there = (shelves.first <= a) & (shelves.last >= b)
        for pool in range(len(shelves.left)):
            blocks = np.flatnonzero(there & shelves.may[:, pool])
            most, left = int(shelves.nodes[blocks].sum()), int(shelves.left[pool, a])
            if most > max(0, left):
                found.append((pool, b - a, left, most, blocks))
    return found


def _by_solver(shelves: Shelves, start: Ints, seconds: float) -> tuple[Ints | None, int]:
    """(int64[n] or None, bound) by HiGHS, which is told where to start."""
    stretches = _stretches(shelves)
    pairs = np.argwhere(shelves.may)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("parallel", "off"),
        ("random_seed", 0),
        ("time_limit", seconds),
        ("mip_max_nodes", _NODES_MAX),
        ("mip_rel_gap", _GAP),
    ):
        solver.setOptionValue(option, value)
    solver.passModel(_program(shelves, stretches, pairs))
    begin = highspy.HighsSolution()
    begin.col_value = [*(start[pairs[:, 0]] == pairs[:, 1]).astype(np.float64), *_beyond(stretches, shelves, start)]
    solver.setSolution(begin)
    solver.run()
    info = solver.getInfo()
    without = BEYOND * int(np.maximum(0, -shelves.left).sum())  # beyond the limit, whatever is chosen
    bound = without + (math.floor(info.mip_dual_bound * BEYOND * (1 - _TOLERANCE)) if math.isfinite(info.mip_dual_bound) else 0)
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None, bound
    chosen = pairs[np.array(solver.getSolution().col_value)[: len(pairs)] > 0.5]
    at = start.copy()
    at[chosen[:, 0]] = chosen[:, 1]
    return at, bound


def _beyond(stretches: Sequence[tuple[int, int, int, int, Rows]], shelves: Shelves, at: Ints) -> list[float]:
    """By stretch: nodes sold beyond what is left."""
    return [
        float(max(0, int(shelves.nodes[blocks][at[blocks] == pool].sum()) - max(0, left)))
        for pool, _, left, _, blocks in stretches
    ]


def _program(
    shelves: Shelves, stretches: Sequence[tuple[int, int, int, int, Rows]], pairs: npt.NDArray[np.intp]
) -> highspy.HighsLp:
    """The program in HiGHS's words: columns are (block, pool) pairs, then stretches; rows are blocks, then stretches.

    What is beyond the limit whatever is chosen costs nothing here: it does not tell one choice from another.
    """
    n, wide, deep = len(shelves), len(pairs), len(stretches)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = wide + deep, n + deep
    apart = MOVED * (pairs[:, 1] != shelves.home[pairs[:, 0]])
    lies = shelves.area[pairs[:, 0]] * (shelves.weight[pairs[:, 1]] + apart)
    program.col_cost_ = np.concatenate([lies, [float(BEYOND * windows) for _, windows, _, _, _ in stretches]]) / BEYOND
    program.col_lower_ = np.zeros(wide + deep)
    program.col_upper_ = np.concatenate([np.ones(wide), np.full(deep, highspy.kHighsInf)])
    program.integrality_ = [highspy.HighsVarType.kInteger] * wide + [highspy.HighsVarType.kContinuous] * deep
    served = shelves.may.any(axis=1).astype(np.float64)
    program.row_lower_ = np.concatenate([served, np.full(deep, -highspy.kHighsInf)])
    program.row_upper_ = np.concatenate([served, [float(max(0, left)) for _, _, left, _, _ in stretches]])
    column = np.full((n, len(shelves.left)), -1, np.int64)
    column[pairs[:, 0], pairs[:, 1]] = np.arange(wide)
    rows = [pairs[:, 0], *(np.full(len(blocks) + 1, n + k) for k, (_, _, _, _, blocks) in enumerate(stretches))]
    columns = [np.arange(wide), *(np.append(column[b, p], wide + k) for k, (p, _, _, _, b) in enumerate(stretches))]
    values = [np.ones(wide), *(np.append(shelves.nodes[b].astype(np.float64), -1.0) for _, _, _, _, b in stretches)]
    row, index, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
    order = np.lexsort((index, row))
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_col_, matrix.num_row_ = wide + deep, n + deep
    matrix.start_ = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n + deep))])
    matrix.index_, matrix.value_ = index[order], value[order]
    return program
