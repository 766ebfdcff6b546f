"""From a job table to a day on this machine: what the owner submits and when, and how his demand went before.

How a cluster's jobs are laid on a few slots, said plainly: submission and run time stay as they are, divided by the speed; a
job larger than the machine takes all of it; where the table asks for more than the machine could bear, a random share of the
jobs is played and the others are left out. Nothing is added.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US, SECOND_US, on_grid
from sublet.traces import JobTable

LOAD = 0.6
"""Of the slots, at most, that the played jobs ask for on average; beyond it nothing would be left to lease."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OwnerPiece:
    """One job of the owner: submitted at `at_us` from the start of the day, running for `run_us`. Real time, in µs."""

    name: str
    at_us: int
    run_us: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The owner's day, in real µs from its start, and his demand before it as (instant below zero, GPUs) from there on."""

    pieces: tuple[OwnerPiece, ...]
    history: tuple[tuple[int, int], ...]
    length_us: int
    share: float  # of the table's jobs that were kept
    shrunk: int  # jobs that were larger than the machine
    carried: int  # jobs that were running when the day began


def lay_out(table: JobTable, *, slots: int, speed: float, hours: float, seed: int) -> Schedule:
    """The last `hours` of the table as a day for `slots` GPUs, `speed` times as fast; the same arguments give the same day."""
    end = -(-(int(table.submit_us[-1]) + 1) // HOUR_US) * HOUR_US
    begin = end - round(hours * HOUR_US)
    covered = (end - int(table.submit_us[0])) / HOUR_US
    if begin < int(table.submit_us[0]) - HOUR_US:
        said = f"the trace covers {covered:.1f} hours, less than the {hours:g} asked for"
        raise Invalid(said, field="--hours", hint=f"give --hours {max(1, int(covered))} or less")
    gpus = np.minimum(table.gpus, slots)
    kept, share = _thinned(table, gpus, slots=slots, begin=begin, end=end, seed=seed)
    kept &= table.duration_us > 0  # what never ran asks for nothing here
    submit, run, gpus = table.submit_us[kept], table.duration_us[kept], gpus[kept]
    played = (submit >= begin) | (submit + run > begin)
    if not played.any():
        raise Invalid(f"no job runs in the last {hours:g} hours of the trace", field="--hours", hint="give more hours")
    first = np.maximum(submit[played], begin)
    last = np.minimum(submit[played] + run[played], end)
    pieces = [
        OwnerPiece(f"job-{n:03d}", _real(at - begin, speed), max(1, int((to - at) / speed)), int(k))
        for n, (at, to, k) in enumerate(zip(first.tolist(), last.tolist(), gpus[played].tolist(), strict=True), start=1)
    ]
    return Schedule(
        pieces=tuple(sorted(pieces, key=lambda piece: (piece.at_us, piece.name))),
        history=_demand(submit, run, gpus, slots=slots, begin=begin, speed=speed),
        length_us=_real(end - begin, speed),
        share=share,
        shrunk=int((table.gpus[kept][played] > slots).sum()),
        carried=int((submit[played] < begin).sum()),
    )


def _thinned(
    table: JobTable, gpus: Ints, *, slots: int, begin: int, end: int, seed: int
) -> tuple[npt.NDArray[np.bool_], float]:
    """Which jobs are kept, so that those of the day ask for `LOAD` of the slots on average at most."""
    inside = np.minimum(table.submit_us + table.duration_us, end) - np.maximum(table.submit_us, begin)
    mean = float((np.maximum(inside, 0) * gpus).sum()) / (end - begin)
    share = min(1.0, LOAD * slots / mean) if mean else 1.0
    return np.random.default_rng(seed).random(len(table)) < share, share


def _demand(submit: Ints, run: Ints, gpus: Ints, *, slots: int, begin: int, speed: float) -> tuple[tuple[int, int], ...]:
    """The demand before the day as a step function: the GPUs of all jobs submitted and not yet done, at most the slots."""
    before = submit < begin
    at = np.concatenate([submit[before], (submit + run)[before]])
    change = np.concatenate([gpus[before], -gpus[before]])
    order = np.argsort(at, kind="stable")
    levels: dict[int, int] = {}
    now = 0
    for instant, delta in zip(at[order].tolist(), change[order].tolist(), strict=True):
        now += delta
        if instant < begin:
            real = _real(instant - begin, speed)
            levels[real] = min(now, slots)
    return tuple(levels.items())


def _real(trace_us: int, speed: float) -> int:
    """Trace time as real time, on the grid."""
    return on_grid(round(trace_us / speed))


def seconds_of(piece: OwnerPiece) -> float:
    """How long the job runs, in seconds."""
    return piece.run_us / SECOND_US
