"""Curves of a report: what a pool's GPUs did over time, in at most so many points that a page can draw them at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.advice.study.idle import SHOWN_US, PoolIdle
from sublet.advice.study.question import Question
from sublet.core.occupancy import STATES
from sublet.core.units import DAY_US
from sublet.sim.outcome import Outcome

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
At = str | float
"""An instant on a page: `2017-10-22 20:00` on a clock with dates, else days since the trace's zero."""

POINTS = 750
"""So many points of a curve at most: more than a screen has room for is only slow."""


@dataclass(frozen=True, slots=True)
class Curve:
    """GPUs over the studied period, each value the mean of `step_h` hours from `at` on; `policy` says under which they are."""

    step_h: int
    at: tuple[At, ...]
    demand: tuple[float, ...]
    idle: tuple[float, ...]
    leasable_4h: tuple[float, ...]
    leasable_24h: tuple[float, ...]
    states: dict[str, tuple[float, ...]]  # under our policy, by state


def at_of(question: Question, at_us: int) -> At:
    """An instant as a page shows it."""
    return question.when(at_us) if question.clock == "local" else round(at_us / DAY_US, 4)


def curve_of(question: Question, idle: Sequence[PoolIdle], outcomes: Sequence[Outcome]) -> Curve:
    """The sum over some pools; all have the same hours. `outcomes`: the same pools under one policy."""
    hours = idle[0].hours_us
    step = -(-len(hours) // POINTS)
    short, long = SHOWN_US
    states = np.sum([hourly_states(outcome, hours) for outcome in outcomes], axis=0)
    return Curve(
        step_h=step,
        at=tuple(at_of(question, int(at)) for at in hours[::step]),
        demand=_means(np.sum([one.demand for one in idle], axis=0), step),
        idle=_means(np.sum([one.idle for one in idle], axis=0), step),
        leasable_4h=_means(np.sum([one.leasable[short] for one in idle], axis=0), step),
        leasable_24h=_means(np.sum([one.leasable[long] for one in idle], axis=0), step),
        states={state: _means(states[:, i], step) for i, state in enumerate(STATES)},
    )


def hourly_states(outcome: Outcome, hours_us: Ints) -> Floats:
    """float64[hours, 6]: how many GPUs were in each of STATES, the mean of each hour."""
    edges = np.append(hours_us, outcome.until_us)
    at, sums = outcome.curve_us[:, 0], outcome.curve_us[:, 1:]
    lasted = np.maximum(1, np.diff(edges))
    means = [np.diff(np.interp(edges, at, sums[:, i])) / lasted for i in range(len(STATES))]
    return np.stack(means, axis=1)


def _means(values: Floats, step: int) -> tuple[float, ...]:
    """The means of every `step` values; the last one of what is left."""
    starts = np.arange(0, len(values), step)
    sums = np.add.reduceat(values, starts)
    counts = np.diff(np.append(starts, len(values)))
    return tuple(np.round(sums / counts, 2).tolist())
