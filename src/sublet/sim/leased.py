"""A tenant's jobs replayed as leases beside an owner's, attempt by attempt, and the risk that such a replay shows.

The risk is what `core.finishing` plays with; the same replay judges what it said.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sublet.core.finishing import Habit, Risk
from sublet.core.ids import TenantId
from sublet.core.lease import LeaseClass
from sublet.core.terms import BACK_OFF_PER_LOSS
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US, on_grid
from sublet.sim.opening import Opening
from sublet.sim.outlook import Blind, Outlook
from sublet.sim.replay import Replay
from sublet.sim.scene import OwnerJobs, Scene, Wish
from sublet.sim.tally import JOB

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RUN = ("lease", "attempt", "gpus", "asked_us", "started_us", "stopped_us", "reclaimed", "cut", "job")
"""Columns of the runs of a replay; `started_us` is -1 for one that was taken back before it began. `job` is its number among
those that are replayed, -1 for the rest of the market. A job that asks again has one lease here, whose attempts go on."""
SIZES = (1, 4, 8, 64)
"""GPUs of a lease up to which risks are told apart; the last stands for all that is larger."""
EDGES_US = np.array([0, 10, 30, 60, 120, 240, 480, 1_440], np.int64) * MINUTE_US
QUANTILES = 41
FEW = 20
"""Fewer reclaims or waits say nothing of a size of its own."""
NO_LIMIT_MICRO = 10**12


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """`rows` int64[n, 9] in the order of RUN."""

    rows: Ints

    @property
    def over(self) -> npt.NDArray[np.bool_]:
        """Whether a row is the last of its lease, whose work is done."""
        last: npt.NDArray[np.bool_] = (self.rows[:, 6] == 0) & (self.rows[:, 7] == 0) & (self.rows[:, 4] >= 0)
        return last


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """Jobs that were done before the replay ended: their numbers, reclaims, and time from asking to the end; int64[n]."""

    job: Ints
    reclaims: Ints
    end_us: Ints


def listed(jobs: OwnerJobs) -> tuple[tuple[int, Wish], ...]:
    """Jobs as spot wishes at their instants, each of a tenant of its own, by which its runs are known."""
    columns = zip(jobs.submit_us.tolist(), jobs.run_us.tolist(), jobs.gpus_per_node.tolist(), jobs.nodes.tolist(), strict=True)
    return tuple(
        (submit, Wish(TenantId(f"{JOB}{number}"), LeaseClass.SPOT, gpus, nodes, max(on_grid(SECOND_US), run), NO_LIMIT_MICRO))
        for number, (submit, run, gpus, nodes) in enumerate(columns)
    )


def guarded(wishes: Iterable[tuple[int, Wish]], terms_us: Sequence[int]) -> tuple[tuple[int, Wish], ...]:
    """The same wishes under the shortest of some rising terms that holds their work, else the longest; they ask again."""
    every = tuple(wishes)
    terms = shortest_terms(np.array([wish.work_us for _, wish in every], np.int64), terms_us).tolist()
    return tuple(
        (at, replace(wish, lease_class=LeaseClass.GUARDED, term_us=term_us, again=True))
        for (at, wish), term_us in zip(every, terms, strict=True)
    )


def shortest_terms(work_us: Ints, terms_us: Sequence[int]) -> Ints:
    """The shortest of some rising terms that holds each work, else the longest; int64[n], µs."""
    terms = np.array(terms_us, np.int64)
    return terms[np.searchsorted(terms[:-1], work_us)]


def replayed(
    scene: Scene,
    outlook: Outlook | None = None,
    *,
    opening: Opening | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Runs:
    """Every run of the scene's listed wishes."""
    replay = Replay(scene, outlook or Blind())
    replay.tally.runs = array("q")
    replay.run(progress, opening=opening)
    return Runs(_counted_on(np.array(replay.tally.runs, np.int64).reshape(-1, len(RUN))))


def _counted_on(rows: Ints) -> Ints:
    """Rows in which all leases of a job are its first one, asked for when that was, with its attempts counted from 1."""
    order = np.lexsort((rows[:, 5], rows[:, 8]))
    order = order[rows[order, 8] >= 0]
    _, first, job = np.unique(rows[order, 8], return_index=True, return_inverse=True)
    found = rows.copy()
    found[order, 0], found[order, 3] = rows[order[first[job]], 0], rows[order[first[job]], 3]
    found[order, 1] = np.arange(len(order)) - first[job] + 1
    return found


def lived(runs: Runs) -> Lived:
    """The jobs that were finished."""
    mine = runs.rows[:, 8] >= 0
    rows, last = runs.rows[mine], runs.rows[mine & runs.over]
    taken = np.bincount(rows[:, 8], rows[:, 6], int(rows[:, 8].max(initial=0)) + 1).astype(np.int64)
    return Lived(last[:, 8], taken[last[:, 8]], last[:, 5] - last[:, 3])


def risk_of(runs: Runs, habit: Habit) -> Risk:
    """How leases of each size were taken back and how long they waited, as `core.finishing` takes it.

    The hazard at an age is reclaims / time that leases ran at that age: the estimate for lives that are cut off, too. First
    runs and later ones are told apart where notices are heeded. A size that was hardly ever taken back is given the hazards of
    all sizes together. What passes between two runs by `habit` anyway, turn-round and back-off, is left out of the waits.
    """
    rows = runs.rows[runs.rows[:, 4] >= 0]
    kinds = np.searchsorted(np.array(SIZES[:-1]), rows[:, 2], side="left")
    all_runs, first_runs = rows[:, 1] > 0, rows[:, 1] == 1
    told_apart = (first_runs, ~first_runs) if habit.heeds else (all_runs, all_runs)
    first, again, size_again = _waits(runs.rows, habit)
    hazards, waits, more = [], [], []
    for kind in range(len(SIZES)):
        mine = kinds == kind
        hazards.append([_hazards(rows[_telling(rows, mine, some)]) for some in told_apart])
        begun = mine & (rows[:, 1] == 1)
        waits.append(_quantiles(first[begun] if begun.sum() >= FEW else first[rows[:, 1] == 1]))
        same = size_again == kind
        more.append(_quantiles(again[same] if same.sum() >= FEW else again))
    return Risk(SIZES, EDGES_US, np.array(hazards).transpose(1, 0, 2).copy(), np.array(waits), np.array(more))


def _telling(rows: Ints, size: Bools, runs: Bools) -> Bools:
    """The rows that say how these `runs` of a size are taken back: all sizes' if they hardly ever were, else all its runs."""
    for which in (size & runs, runs, size):
        if rows[which, 6].sum() >= FEW:
            return which
    return np.ones(len(rows), np.bool_)


def _hazards(rows: Ints) -> list[float]:
    """Reclaims an hour at each age."""
    age, taken = rows[:, 5] - rows[:, 4], rows[:, 6] == 1
    found = []
    for low, high in zip(EDGES_US, np.append(EDGES_US[1:], 2**62), strict=True):
        spent = float((np.minimum(age, high) - low).clip(min=0).sum()) / HOUR_US
        count = int((taken & (age >= low) & (age < high)).sum())
        found.append(count / spent if spent else 0.0)
    return found


def _waits(rows: Ints, habit: Habit) -> tuple[Ints, Ints, Ints]:
    """Waits before a first run (of each row that has started), waits after a reclaim beyond the back-off, and their sizes."""
    ordered = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    started = rows[rows[:, 4] >= 0]
    before, after = ordered[:-1], ordered[1:]
    follows = (before[:, 0] == after[:, 0]) & (before[:, 6] == 1) & (after[:, 4] >= 0)
    longest = np.minimum(habit.backoff_us * 2 ** np.minimum(before[follows, 1] - 1, 30), habit.backoff_max_us)
    kept = _kept(before[follows], habit)
    lost = (_ran(before[follows]) - kept).clip(min=0) + habit.restart_us
    longest = np.minimum(longest, np.maximum(habit.backoff_us, BACK_OFF_PER_LOSS * lost))
    back_off = np.where(kept >= longest, habit.backoff_us, longest)
    again = (after[follows, 4] - before[follows, 5] - habit.turn_us - back_off).clip(min=0)
    return started[:, 4] - started[:, 3], again, np.searchsorted(np.array(SIZES[:-1]), after[follows, 2], side="left")


def _ran(rows: Ints) -> Ints:
    """How long each run ran (µs)."""
    return np.where(rows[:, 4] < 0, 0, rows[:, 5] - rows[:, 4])


def _kept(rows: Ints, habit: Habit) -> Ints:
    """What each run saved of its work, if it did as is its habit (µs)."""
    ran = _ran(rows)
    if habit.heeds:
        return ran
    every = habit.checkpoint_us
    return np.zeros_like(ran) if every is None else (ran - habit.save_us).clip(min=0) // every * every


def _quantiles(waits: Ints) -> npt.NDArray[np.float64]:
    """Evenly spaced ones, stretched so that their mean is the mean of the waits, which a few long ones may make."""
    if not len(waits):
        return np.zeros(QUANTILES)
    levels = np.linspace(0, 1, QUANTILES)
    found = np.quantile(waits, levels)
    mean = float((found[1:] + found[:-1]).mean() / 2)
    return found * (float(waits.mean()) / mean) if mean else found
