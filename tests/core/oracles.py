"""Small reclaims made from a seed, what they lose at the least (CP-SAT), and their linear relaxation (HiGHS)."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import highspy
import numpy as np
import numpy.typing as npt

from sublet.core.kernels.cheapest import cheapest
from sublet.core.reclaim import effort_for
from sublet.core.tables import HELD_ROW, HOLD_ROW

SIZE = 8
_ALL = (1 << SIZE) - 1


@dataclass(frozen=True)
class Kind:
    """A family of reclaims: which share of the leases is a gang, over how many nodes at most, and how unequal losses are."""

    loss: str  # equal | by_gpus | unequal
    gangs: float
    widest: int
    racks: int = 0  # 0: the job may lie anywhere


@dataclass(frozen=True)
class Small:
    """One reclaim: leases and nodes as the kernels have them."""

    rows: npt.NDArray[np.void]
    holds: npt.NDArray[np.void]
    free: npt.NDArray[np.uint64]
    fit: npt.NDArray[np.uint64]
    loss: npt.NDArray[np.int64]
    shape: tuple[int, int]
    domain: npt.NDArray[np.int32]

    @property
    def frees(self) -> dict[int, list[tuple[int, int]]]:
        """By node: (lease, GPUs that its end frees there)."""
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for hold in self.holds:
            gpus = int(hold["mask"] & self.fit[hold["node"]]).bit_count()
            found[int(hold["node"])].append((int(hold["lease"]), gpus))
        return found

    def racks(self) -> list[list[int]]:
        """The nodes among which the job's have to be chosen, each such set."""
        if not len(self.domain):
            return [list(range(len(self.free)))]
        return [np.flatnonzero(self.domain == rack).tolist() for rack in range(int(self.domain.max()) + 1)]


def small(kind: Kind, rng: np.random.Generator) -> Small:
    """One of a kind: 20 to 60 nodes of eight GPUs, at most 200 leases, a job on 1 to half of the nodes."""
    nodes, wanted = int(rng.integers(20, 60)), int(rng.integers(40, 200))
    used, rows = np.zeros(nodes, np.int64), np.zeros(wanted, HELD_ROW)
    holds: list[tuple[int, int, int]] = []
    loss: list[int] = []
    for _ in range(wanted):
        span = int(rng.integers(2, kind.widest + 1)) if rng.random() < kind.gangs else 1
        gpus = int(rng.choice([1, 2, 4, 8] if span == 1 else [2, 4, 8, 8]))
        room = np.flatnonzero(used + gpus <= SIZE)
        if len(room) < span:
            continue
        at = int(rng.integers(0, len(room) - span + 1))
        for node in room[at : at + span] if rng.random() < 0.7 else rng.choice(room, span, replace=False):
            holds.append((len(loss), int(node), ((1 << gpus) - 1) << int(used[node])))
            used[node] += gpus
        row = rows[len(loss)]
        row["used"], row["gpus"], row["nodes"], row["order"], row["granted_us"] = (
            True,
            gpus * span,
            span,
            len(loss),
            rng.integers(999),
        )
        weighs = {"equal": 1.0, "by_gpus": gpus * span * rng.uniform(0.5, 1.5), "unequal": gpus * span * rng.lognormal(0, 1.2)}
        loss.append(int(1e6 * weighs[kind.loss]))
    held = np.array([(1 << int(many)) - 1 for many in used], np.uint64)
    fit = np.where((rng.random(nodes) < 0.3) | (held == 0), np.uint64(_ALL), held)
    free = np.where(rng.random(nodes) < 0.3, fit & ~held, np.uint64(0))
    racks = np.arange(nodes) * kind.racks // nodes if kind.racks else np.empty(0)
    most = nodes // 2 if not kind.racks else nodes // kind.racks // 2
    shape = (int(rng.choice([4, 8, 8])), int(rng.integers(1, max(2, most))))
    made = np.array(holds, HOLD_ROW)
    return Small(rows[: len(loss)].copy(), made, free, fit, np.array(loss, np.int64), shape, racks.astype(np.int32))


def found(one: Small) -> tuple[int, int] | None:
    """(loss, bound) of the core's choice; None if it finds none."""
    everybody = np.ones(len(one.rows), np.bool_)
    can, ends, bound, _ = cheapest(
        one.rows,
        one.holds,
        (one.free, one.fit),
        (everybody, one.loss, everybody),
        one.shape,
        one.domain,
        effort_for(len(one.holds), 1),
    )
    return (int(one.loss[ends].sum()), int(bound)) if can else None


def exact(some: Sequence[Small]) -> list[int | None]:
    """The least loss of any choice, proven; -1 where it could not be proven in time; None if there is no choice."""
    asked = [
        {
            "need": one.shape[0],
            "nodes": one.shape[1],
            "loss": one.loss.tolist(),
            "free": [int(free).bit_count() for free in one.free],
            "frees": [one.frees[node] for node in range(len(one.free))],
            "racks": one.racks(),
        }
        for one in some
    ]
    program = [sys.executable, str(Path(__file__).with_name("exact_victims.py"))]
    ran = subprocess.run(program, input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: list[int | None] = json.loads(ran.stdout)
    return found


def relaxed(one: Small) -> float:
    """The value of the linear relaxation, over the racks the least: leases and nodes by halves; 0 if there is no choice."""
    return min((value for among in one.racks() if (value := _relaxed(one, among)) is not None), default=0.0)


def _relaxed(one: Small, among: list[int]) -> float | None:
    (need, nodes), frees, n = one.shape, one.frees, len(one.loss)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)  # noqa: FBT003 (its own signature)
    for loss in [*one.loss.tolist(), *[0] * len(among)]:
        solver.addVar(0.0, 1.0)
        solver.changeColCost(solver.getNumCol() - 1, float(loss))
    for place, node in enumerate(among):
        missing = need - int(one.free[node]).bit_count()
        if missing > 0:  # no lease frees more than is missing: the strengthened form
            columns = [*(lease for lease, _ in frees[node]), n + place]
            shares = [*(float(min(gpus, missing)) for _, gpus in frees[node]), -float(missing)]
            solver.addRow(0.0, highspy.kHighsInf, len(columns), columns, shares)
    solver.addRow(float(nodes), highspy.kHighsInf, len(among), [n + place for place in range(len(among))], [1.0] * len(among))
    solver.run()
    feasible = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(solver.getInfo().objective_function_value) if feasible else None
