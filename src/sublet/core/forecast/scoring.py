"""How good forecasts were, as figures: what offers made on them brought, and how far their quantiles were off.

The oracle offers the smallest surplus of each window, knowing the future. What a forecast offers beyond that is reclaimed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sublet.core.forecast.window import Bools, Floats, Ints, rank_of
from sublet.core.ids import PoolId

PINBALL_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
_RESAMPLED = 1_000
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Windows of several pools that are over: arrays int64[instants, pools] in GPUs, and which of them count."""

    capacity: Ints  # int64[pools]
    peak: Ints  # the largest demand that came
    counts: Bools  # the demand was known throughout

    @property
    def surplus(self) -> Ints:
        """What could have been offered without a reclaim."""
        return np.where(self.counts, np.maximum(self.capacity - self.peak, 0), 0)


@dataclass(frozen=True, slots=True)
class Score:
    """What offers at one nominal risk came to, over all pools. Shares are of 1."""

    risk: float
    windows: int  # windows of all pools that could be scored
    offered: int  # those in which GPUs were offered
    reclaimed: float  # share of the offered windows that were reclaimed: the reclaim probability given an offer
    low: float  # 95 % confidence interval of it, whole days resampled
    high: float
    reclaimed_gpus: float  # share of the offered GPU-hours that were in reclaimed windows
    captured: float  # offered GPU-hours / the oracle's
    kept: float  # GPU-hours of windows that were kept / the oracle's


@dataclass(frozen=True, slots=True)
class PoolScore:
    """The same of one pool."""

    pool: PoolId
    offered: int
    reclaimed: float
    captured: float
    kept: float
    share: float  # of the oracle's GPU-hours of all pools


def score(gpus: Ints, outcome: Outcome, *, risk: float, block: int, rng: np.random.Generator) -> Score:
    """The score of offers int64[instants, pools]; `block` instants that follow each other are resampled together."""
    gpus = np.where(outcome.counts, gpus, 0)
    broken = (gpus > 0) & (outcome.peak > outcome.capacity - gpus)
    made = gpus > 0
    low, high = interval(broken.sum(axis=1), made.sum(axis=1), block=block, rng=rng)
    oracle = int(outcome.surplus.sum())
    return Score(
        risk=risk,
        windows=int(outcome.counts.sum()),
        offered=int(made.sum()),
        reclaimed=_share(broken.sum(), made.sum()),
        low=low,
        high=high,
        reclaimed_gpus=_share(gpus[broken].sum(), gpus.sum()),
        captured=_share(gpus.sum(), oracle),
        kept=_share(gpus[~broken].sum(), oracle),
    )


def by_pool(gpus: Ints, outcome: Outcome, pools: Sequence[PoolId]) -> tuple[PoolScore, ...]:
    """The figures of each pool on its own."""
    gpus = np.where(outcome.counts, gpus, 0)
    broken = (gpus > 0) & (outcome.peak > outcome.capacity - gpus)
    oracle = outcome.surplus.sum(axis=0)
    return tuple(
        PoolScore(
            pool=pool,
            offered=int((gpus[:, i] > 0).sum()),
            reclaimed=_share(broken[:, i].sum(), (gpus[:, i] > 0).sum()),
            captured=_share(gpus[:, i].sum(), oracle[i]),
            kept=_share(gpus[~broken[:, i], i].sum(), oracle[i]),
            share=_share(oracle[i], oracle.sum()),
        )
        for i, pool in enumerate(pools)
    )


def interval(hits: Ints, of: Ints, *, block: int, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % confidence interval of sum(hits) / sum(of), counted at instants that follow each other.

    Windows overlap, and a bad day is bad throughout, so whole blocks are drawn again and again instead of single windows. Of
    fewer than two blocks nothing can be said: the interval is everything.
    """
    edges = np.arange(0, len(hits), max(1, block))
    if len(edges) < 2:
        return 0.0, 1.0
    hit, seen = np.add.reduceat(hits, edges), np.add.reduceat(of, edges)
    drawn = rng.integers(0, len(edges), (_RESAMPLED, len(edges)))
    shares = hit[drawn].sum(axis=1) / np.maximum(seen[drawn].sum(axis=1), 1)
    low, high = np.quantile(shares, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(low), float(high)


def pinball(samples: Ints, known: Bools, outcome: Outcome) -> dict[float, float]:
    """Level to mean pinball loss as a share of the capacity; samples int64[pools, instants, m], known bool[pools, instants].

    Demand counts up to the capacity: how far it lies beyond makes no difference to what can be lent.
    """
    losses = {}
    counts = outcome.counts & known.T
    peak = np.minimum(outcome.peak, outcome.capacity)
    for level in PINBALL_LEVELS:
        quantile = np.minimum(samples[:, :, rank_of(level, samples.shape[2])].T, outcome.capacity)
        above = (peak - quantile) / outcome.capacity
        loss = np.maximum(level * above, (level - 1) * above)
        losses[level] = float(loss[counts].mean()) if counts.any() else float("nan")
    return losses


def coverage(samples: Ints, known: Bools, outcome: Outcome, risk: float) -> float:
    """Share of all windows whose peak was at most the quantile 1 - risk, offered or not; shapes as above."""
    counts = outcome.counts & known.T
    quantile = samples[:, :, rank_of(1 - risk, samples.shape[2])].T
    return _share((outcome.peak <= quantile)[counts].sum(), counts.sum())


def as_document(value: Score | PoolScore) -> dict[str, Any]:
    """As JSON."""
    return asdict(value)


def _share(part: Floats | Ints | float, whole: Floats | Ints | float) -> float:
    """0 of nothing is 0."""
    return float(part) / float(whole) if whole else 0.0
