"""What is forecast of a pool's demand at each instant of a replay, worked out beforehand for all instants at once.

A forecast at t depends on nothing but the demand up to t, so making them in one batch changes none of them. It is made once an
hour, as a running system might; between two hours the demand of the moment bounds it from below.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sublet.core.forecast import WindowMax

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Known:
    """What a round is told of the future. `forecasts` and `shifts` by horizon (µs)."""

    forecasts: Mapping[int, WindowMax] = field(default_factory=dict)
    shifts: Mapping[int, float] = field(default_factory=dict)


class Outlook(Protocol):
    """Forecasts by instant."""

    def at(self, now_us: int, demand: int) -> Known:
        """What is known at an instant at which the owner's demand is `demand` GPUs."""


class Blind:
    """No forecast at all."""

    def at(self, now_us: int, demand: int) -> Known:
        """Nothing is known."""
        del now_us, demand
        return Known()


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One horizon: at each instant the samples of M (GPUs, int32[n, m]), whether they are known, and the shift of the level."""

    samples: npt.NDArray[np.int32]
    known: npt.NDArray[np.bool_]
    shift: npt.NDArray[np.float64]


class Foreseen:
    """Forecasts that were made hour by hour."""

    def __init__(self, instants: Ints, rows: Mapping[int, Rows], rises: Mapping[int, Ints]) -> None:
        """`instants`: int64[n], µs, rising; a forecast holds until the next one.

        `rows` by horizon. `rises`, by horizon, too: how far the demand may rise within it, a quantile at each instant (GPUs,
        int64[n]; -1: unknown); of the time that a reclaim takes nothing else is asked.
        """
        self._instants: list[int] = instants.tolist()
        self._made = -1  # the instant that these are of:
        self._forecasts: Mapping[int, WindowMax] = {}
        self._shifts: Mapping[int, float] = {}
        self._rows, self._rises = rows, {horizon: rise.tolist() for horizon, rise in rises.items()}

    def at(self, now_us: int, demand: int) -> Known:
        """The last forecasts made by then."""
        i = bisect_right(self._instants, now_us) - 1
        if i < 0:
            return Known()
        if i != self._made:
            self._made = i
            self._forecasts = {
                horizon: WindowMax(rows.samples[i].astype(np.int64)) for horizon, rows in self._rows.items() if rows.known[i]
            }
            self._shifts = {horizon: float(rows.shift[i]) for horizon, rows in self._rows.items()}
        forecasts = {
            horizon: made if made.samples[0] >= demand else WindowMax(np.maximum(made.samples, demand))
            for horizon, made in self._forecasts.items()
        }
        for horizon, rise in self._rises.items():
            if rise[i] >= 0:
                forecasts[horizon] = WindowMax(np.array([demand + rise[i]], np.int64))
        return Known(forecasts, self._shifts)
