"""What windows of the trailing weeks had in common, as the distribution from which an instant looks ahead.

Past windows begin on a grid that ends at the instant itself, so their spacing can be coarse without missing the last one.
Instants that share a grid are answered together.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sublet.core.forecast.kernels import trailing_quantiles
from sublet.core.forecast.window import SAMPLES, Bools, Ints
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US, TICK_US

TRAILING_US = 28 * 24 * HOUR_US
"""Windows of the last four weeks count."""
WINDOWS_MIN = 12
"""Fewer whole windows than this are no distribution."""
_GRID_MAX = 4_096  # windows looked at for one instant, at most
_PER_HORIZON = 32  # windows that begin within one horizon, at most
_SPACINGS = np.array(
    [
        *(1, 1 << 4, 1 << 8, 1 << 12, *(TICK_US * n for n in (1, 2, 4, 8, 16, 32))),
        *(SECOND_US * n for n in (1, 2, 5, 10, 20, 30)),
        *(MINUTE_US * n for n in (1, 2, 5, 10, 15, 30)),
        *(HOUR_US * n for n in (1, 2, 3, 6, 12, 24)),
    ],
    np.int64,
)


class Grid(NamedTuple):
    """Instants that share the beginnings of their past windows."""

    rows: Ints  # which of the instants
    instants: Ints
    since_us: Ints  # windows count from here on, for each instant
    starts: Ints  # rising, µs: the last window of each instant begins at instant - horizon


def grids(instants: Ints, first_us: int, horizon_us: int, *, trailing_us: int = TRAILING_US) -> Iterator[Grid]:
    """The grids of past windows for the instants after `first_us`, the beginning of the record.

    A short record is looked at closely: a spacing fits the horizon and the time that there is.
    """
    since = np.maximum(first_us, instants - trailing_us)
    wanted = np.maximum(-(-(instants - since) // _GRID_MAX), -(-horizon_us // _PER_HORIZON))
    spacing = _SPACINGS[np.minimum(np.searchsorted(_SPACINGS, wanted), len(_SPACINGS) - 1)]
    room = instants - since >= horizon_us
    for step, phase in sorted(set(zip(spacing[room].tolist(), (instants % spacing)[room].tolist(), strict=True))):
        rows = np.flatnonzero(room & (spacing == step) & (instants % step == phase))
        last = int(instants[rows[-1]]) - horizon_us
        count = (last - int(since[rows[0]])) // step
        starts = last - step * np.arange(count, -1, -1, dtype=np.int64)
        yield Grid(rows, instants[rows], since[rows], starts)


def quantiles(grid: Grid, values: Ints, known: Bools, horizon_us: int) -> tuple[Ints, Ints]:
    """(int64[n, SAMPLES], int64[n]): for each instant of the grid the quantiles of the values that belong to its windows.

    `values` and `known` are for `grid.starts`; the second array says of how many values the quantiles are.
    """
    starts = grid.starts[known]
    first = np.searchsorted(starts, grid.since_us, side="left")
    last = np.searchsorted(starts, grid.instants - horizon_us, side="right")
    return trailing_quantiles(values[known], first, last, SAMPLES), np.maximum(last - first, 0)
