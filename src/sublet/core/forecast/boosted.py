"""Quantiles of the rise within the horizon from gradient-boosted trees that learn from all pools of the fleet together.

One pool has too few days to learn its habits from; what pools have in common (nights, weekends, how a burst dies down) is
learnt once. Two forests are averaged: one of fewer, larger trees that sees detail, one of coarse random trees that is slow to
believe in it. Same data, same trees: nothing is left to chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sublet.core.forecast.forest import Forest, planted
from sublet.core.forecast.hours import HORIZON_MAX_US, LOOKBACK, hours_of, rises, rows
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import Model, Past, as_it_grows
from sublet.core.forecast.series import Series, demand_at
from sublet.core.forecast.window import SAMPLES, Ahead, Floats, Ints, nothing_known
from sublet.core.forecast.window_max_quantile import Rises
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US

LEVELS = (0.05, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995)
"""Quantiles that are learnt; levels between them are interpolated, on the scale of log odds."""
HOURS_MIN = 24
"""Of a pool with fewer hours on record, nothing is said."""
ROWS_MIN = 168
WINDOWS_MIN = 7
"""Fewer hours, or fewer windows one after the other, in the whole fleet have nothing to teach; rises of the past serve then."""
_SHARED = {
    "objective": "quantile",
    "learning_rate": 0.1,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "lambda_l2": 1.0,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
_LEAF_ROWS, _LEAF_WINDOWS = 40, 5
"""A leaf holds at least so many hours, and no fewer than so many windows one after the other: such as overlap say the same."""
_BINS = 63
"""Values of a feature are told apart in so many steps."""
_HAIR = 1e-3
"""Rises are told apart by so little (a share of the capacity): trees see no quantile in a crowd of equal values."""
_GOLDEN = 0.618033988749895  # its multiples spread evenly, whatever part of them is looked at
_FORESTS: tuple[tuple[int, dict[str, Any]], ...] = (
    (38, {"num_leaves": 15}),
    (75, {"num_leaves": 7, "extra_trees": True}),
)


@dataclass(frozen=True, slots=True)
class Boosted:
    """M(now, horizon) from trees; horizons below an hour, and fleets with too short a past, get the rises of the past."""

    def renew_us(self, span_us: int) -> int:
        """Daily at first, then weekly."""
        return as_it_grows(span_us)

    def learn(self, past: Past, horizon_us: int, now_us: int) -> Model:
        """Every hour of every pool is a row, as soon as the horizon after it is over."""
        if not HOUR_US <= horizon_us <= HORIZON_MAX_US:
            return Rises(horizon_us)
        pools = tuple(sorted(past))
        shown, risen = _lessons(past, pools, horizon_us, now_us)
        if len(risen) < max(ROWS_MIN, WINDOWS_MIN * -(-horizon_us // HOUR_US)):
            return Rises(horizon_us)
        return Trees(horizon_us, pools, _grow(shown, risen, -(-horizon_us // HOUR_US)))


@dataclass(frozen=True, slots=True)
class Trees:
    """For each of LEVELS, the forests whose mean is that quantile of the rise (a share of the capacity)."""

    horizon_us: int
    pools: tuple[PoolId, ...]
    forests: tuple[tuple[Forest, ...], ...]

    def at(self, series: Series, instants: Ints) -> Ahead:
        """The demand now plus the quantiles of its rise; hours are counted back from each instant."""
        ahead = nothing_known(instants)
        if not len(series.history.at_us):
            return ahead
        now = demand_at(series, instants)
        long_enough = instants - int(series.history.at_us[0]) >= HOURS_MIN * HOUR_US
        ahead.known[:] = long_enough & (now != NO_DEMAND)
        for phase in np.unique(instants[ahead.known] % HOUR_US):
            here = np.flatnonzero(ahead.known & (instants % HOUR_US == phase))
            levels = self._levels(series, instants[here])
            risen = np.ceil(_spread(levels) * series.capacity - 1e-6).astype(np.int64)
            ahead.samples[here] = now[here, np.newaxis] + np.maximum(risen, 0)
        return ahead

    def _levels(self, series: Series, instants: Ints) -> Floats:
        """float64[n, LEVELS]: quantiles of the rise at instants that are whole hours apart."""
        first, last = int(instants[0]), int(instants[-1])
        hours = hours_of(series, last_us=last, horizon_us=self.horizon_us, from_us=first - LOOKBACK * HOUR_US)
        which = len(hours.ends_us) - 1 - (last - instants) // HOUR_US
        shown = _with_pool(rows(hours, self.horizon_us)[which], self.pools, series.pool)
        return np.stack([np.mean([forest.values(shown) for forest in level], axis=0) for level in self.forests], axis=1)


def _lessons(past: Past, pools: Sequence[PoolId], horizon_us: int, now_us: int) -> tuple[Floats, Floats]:
    """(float64[n, features], float64[n]): what the hours showed, and the rises that came of it."""
    shown, risen = [np.empty((0, 0))], [np.empty(0)]
    for pool in pools:
        hours = hours_of(past[pool], last_us=now_us, horizon_us=horizon_us)
        over = hours.ends_us + horizon_us <= now_us + 1
        came = rises(hours)
        whole = over & np.isfinite(came)
        if whole.any():
            shown.append(_with_pool(rows(hours, horizon_us)[whole], pools, pool))
            risen.append(came[whole])
    return np.concatenate(shown[1:] or shown), np.concatenate(risen)


def _with_pool(shown: Floats, pools: Sequence[PoolId], pool: PoolId) -> Floats:
    """The rows with the pool's number; a pool that came later has none."""
    number = pools.index(pool) if pool in pools else np.nan
    return np.column_stack([shown, np.full(len(shown), number)])


def _grow(shown: Floats, risen: Floats, hours: int) -> tuple[tuple[Forest, ...], ...]:
    """The forests of each of LEVELS, for a horizon of so many hours."""
    import lightgbm  # noqa: PLC0415 - takes most of a second, which no command that forecasts nothing should wait for

    apart = risen + _HAIR * (np.arange(len(risen)) * _GOLDEN % 1.0 - 0.5)
    binned = {"verbose": -1, "num_threads": 1, "max_bin": _BINS}
    lessons = lightgbm.Dataset(shown, apart, params=binned, free_raw_data=False)
    shared = _SHARED | {"min_data_in_leaf": max(_LEAF_ROWS, _LEAF_WINDOWS * hours)}
    return tuple(
        tuple(
            planted(lightgbm.train(shared | shape | {"alpha": level}, lessons, trees).dump_model()["tree_info"])
            for trees, shape in _FORESTS
        )
        for level in LEVELS
    )


def _log_odds(level: Floats) -> Floats:
    odds: Floats = np.log(level / (1 - level))
    return odds


_SAMPLED = _log_odds(np.append(np.arange(1, SAMPLES) / SAMPLES, 1 - 0.2 / SAMPLES))  # the last one stands for "at most"
_LEARNT = _log_odds(np.array(LEVELS))


def _spread(levels: Floats) -> Floats:
    """float64[n, SAMPLES] from float64[n, LEVELS]: quantiles in order, interpolated between levels and drawn out above."""
    rising = np.maximum.accumulate(levels, axis=1)
    above = np.clip(np.searchsorted(_LEARNT, _SAMPLED), 1, len(_LEARNT) - 1)
    weight = np.maximum((_SAMPLED - _LEARNT[above - 1]) / (_LEARNT[above] - _LEARNT[above - 1]), 0.0)
    spread: Floats = rising[:, above - 1] * (1 - weight) + rising[:, above] * weight
    return spread
