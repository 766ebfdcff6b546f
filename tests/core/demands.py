"""Demand for tests of forecasts: small fleets with days, nights and chance, drawn from a seed."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np

from sublet.core.forecast import History, Series
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US

DAY_US = 24 * HOUR_US
NORTH, SOUTH = PoolId("north"), PoolId("south")


def history_of(levels: Iterable[tuple[int, int]]) -> History:
    """A history from (instant, GPUs) pairs."""
    at, gpus = zip(*levels, strict=True)
    return History(np.array(at, np.int64), np.array(gpus, np.int64))


def hourly(gpus: Iterable[int], *, pool: PoolId = NORTH, capacity: int = 64, begin_us: int = 0) -> Series:
    """One value an hour."""
    values = np.array(list(gpus), np.int64)
    return Series(pool, History(begin_us + HOUR_US * np.arange(len(values), dtype=np.int64), values), capacity)


def busy_days(days: int, *, seed: int, pool: PoolId = NORTH, capacity: int = 64) -> Series:
    """More demand by day than by night, with chance in it; steps at odd instants as well as on the hour."""
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * days)
    shape = 0.45 + 0.3 * np.sin(2 * np.pi * (hours % 24 - 8) / 24)
    gpus = np.clip(capacity * (shape + 0.1 * rng.standard_normal(len(hours))), 0, 1.2 * capacity).astype(np.int64)
    at = HOUR_US * hours + np.where(hours > 0, rng.integers(0, HOUR_US, len(hours)) * (rng.random(len(hours)) < 0.5), 0)
    return Series(pool, History(at.astype(np.int64), gpus), capacity)


def two_pools(days: int, *, seed: int = 1) -> Mapping[PoolId, Series]:
    """A fleet of two."""
    return {
        NORTH: busy_days(days, seed=seed),
        SOUTH: busy_days(days, seed=seed + 100, pool=SOUTH, capacity=16),
    }


def value_at(history: History, at_us: int) -> int | None:
    """The demand at an instant, found the slow way."""
    found = None
    for at, gpus in zip(history.at_us.tolist(), history.gpus.tolist(), strict=True):
        if at <= at_us:
            found = gpus
    return found


def peak_of(history: History, from_us: int, to_us: int) -> int | None:
    """The largest demand in [from_us, to_us), found the slow way; None before the first step."""
    first = value_at(history, from_us)
    if first is None:
        return None
    inside = [g for at, g in zip(history.at_us.tolist(), history.gpus.tolist(), strict=True) if from_us < at < to_us]
    highest: int = max([first, *inside])
    return highest


def rises(values: Iterable[int]) -> bool:
    """Whether values never fall."""
    return all(a <= b for a, b in pairwise(values))
