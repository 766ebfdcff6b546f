"""Where a trace is complete: its beginning, its end, and the stretches in between in which nothing was logged.

A log's first and last instants are not where it is complete. A log that is cut at its last submission goes on for days with
ends alone, and one that shows what ran in a window begins with submissions alone, those of jobs that lasted into it. Both
are found by a silence that is far longer than the log's usual ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.units import HOUR_US
from sublet.traces.findings import Gap

Ints = npt.NDArray[np.int64]

SILENCE = 0.999
"""This quantile of the times between two events is their usual longest silence,"""
TIMES = 20
"""and a silence is a gap if it is so many times as long,"""
LEAST_US = 6 * HOUR_US
"""and longer than this."""
FEW = 30
"""Fewer instants than this have no usual silence, so nothing is strange about them."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The window [from_us, until_us) that a trace is complete in, and the gaps inside it."""

    from_us: int
    until_us: int
    gaps: tuple[Gap, ...] = ()


def extent(submit_us: Ints, start_us: Ints, end_us: Ints, *, until_us: int | None = None) -> Extent:
    """The window of a trace by its known instants (each int64[n], µs, in any order); `until_us` sets its end by hand."""
    events = _distinct(np.concatenate([submit_us, start_us, end_us]))
    first, last = int(events[0]), int(events[-1])
    submits, ends = _distinct(submit_us), _distinct(end_us)
    begin, until = first, last
    while_submitting = ends[ends <= submits[-1]] if len(submits) else ends
    if len(while_submitting) and while_submitting[0] - first > _silence(while_submitting):
        begin = int(while_submitting[0])
    since = submits[submits >= begin]
    if len(since) and last - since[-1] > _silence(since):
        until = int(since[-1])
    if until_us is not None:
        until = until_us
    if begin >= until:
        begin = min(first, until)
    inside = events[(events >= begin) & (events <= until)]
    return Extent(begin, until, _gaps(inside, _silence(inside)))


def _distinct(instants: Ints) -> Ints:
    """Rising and each once; numpy's own `unique` hashes, which takes ten times as long here."""
    rising = np.sort(instants)
    keep = np.ones(len(rising), np.bool_)
    keep[1:] = rising[1:] != rising[:-1]
    return rising[keep]


def _silence(events: Ints) -> float:
    """How long nothing may happen between two of these (rising, distinct) before it is strange, in µs."""
    if len(events) < FEW:
        return float("inf")
    return max(float(LEAST_US), TIMES * float(np.quantile(np.diff(events), SILENCE)))


def _gaps(events: Ints, silence: float) -> tuple[Gap, ...]:
    """Silences that are too long; two with a single event between them are one, for one event is no log."""
    long = np.diff(events) > silence
    begins = np.flatnonzero(long & ~np.concatenate([[False], long[:-1]]))
    ends = np.flatnonzero(long & ~np.concatenate([long[1:], [False]])) + 1
    return tuple(Gap(int(events[at]), int(events[to])) for at, to in zip(begins, ends, strict=True))
