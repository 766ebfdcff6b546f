"""Gaps in a sampled log of demand: steps that are missing, and stretches in which every pool is at 0 at once.

A cluster that was busy before and is busy after does not stand still in all its pools for half an hour: the log did.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from sublet.core.units import MINUTE_US
from sublet.traces.findings import Gap, Note

Ints = npt.NDArray[np.int64]

EVEN = 0.9
"""A log is sampled if so many of its steps are equally long."""

SILENT_US = 30 * MINUTE_US
"""Every pool at 0 for longer than this, between times at which one was not, is a gap."""


def step_of(at_us: pl.Series) -> tuple[int | None, tuple[Note, ...]]:
    """The time between two samples, in µs; None, with a note, for a log of changes, which has no step to miss."""
    between = at_us.unique().sort().diff().drop_nulls()
    if between.is_empty():
        return None, ()
    step = int(between.quantile(0.5, "lower"))  # type: ignore[arg-type]
    if (between == step).mean() >= EVEN:  # type: ignore[operator]
        return step, ()
    text = "the log is not sampled at equal times: read as changes, so gaps in it cannot be seen"
    return None, (Note("uneven", len(at_us), text),)


def gaps_of(samples: pl.DataFrame, step_us: int | None) -> tuple[Gap, ...]:
    """The gaps of `at_us`, `gpus` (every pool together), in order; where two touch they are one."""
    if step_us is None:
        return ()
    total = samples.group_by("at_us").agg(pl.col("gpus").sum()).sort("at_us")
    at, gpus = total["at_us"].to_numpy(), total["gpus"].to_numpy()
    found = [*_missing(at, step_us), *_silent(at, gpus > 0)]
    joined: list[Gap] = []
    for gap in sorted(found, key=lambda one: one.from_us):
        if joined and gap.from_us <= joined[-1].to_us:
            joined[-1] = Gap(joined[-1].from_us, max(gap.to_us, joined[-1].to_us))
        else:
            joined.append(gap)
    return tuple(joined)


def _missing(at: Ints, step_us: int) -> list[Gap]:
    """From where the next sample should have been to where it came."""
    long = np.flatnonzero(np.diff(at) > step_us * 3 // 2)
    return [Gap(int(at[one]) + step_us, int(at[one + 1])) for one in long]


def _silent(at: Ints, busy: npt.NDArray[np.bool_]) -> list[Gap]:
    """From the first sample at 0 to the next one that is not; the log's own ends are no gaps."""
    busy_at = np.flatnonzero(busy)
    return [
        Gap(int(at[one + 1]), int(at[other]))
        for one, other in pairwise(busy_at)
        if other > one + 1 and at[other] - at[one + 1] > SILENT_US
    ]
