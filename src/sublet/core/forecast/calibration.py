"""Calibration given an offer: how much more careful a forecast has to be for its risk to come true.

GPUs are offered exactly when the demand is low, and then it rises more often than on the whole. So a forecast that is right
over all windows breaks its word on those that were offered, and only those may teach how careful to be. One number a horizon,
shared by all pools of a fleet, the shift, moves the level on the scale of log odds: level = 1 / (1 + exp(-(logit(1 - p*) +
shift))). When an offered window is over, the shift goes up by what was reclaimed of it and down by the risk that was taken.
Each offered GPU counts the same: it is GPUs that are owed for. (Adaptive conformal inference with feedback that is late by the
horizon.)

A higher level alone does not always help: it gives up the small offers first, and the large ones, made when the demand was
lowest, are those that fail. So while the shift is above 0, what the quantile leaves is offered in part: exp(-shift / 2) of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sublet.core.errors import Invalid
from sublet.core.forecast.window import Bools, Floats, Ints, WindowMax
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US

STEP = 0.1
"""How far one hour of pools moves the shift, times what was reclaimed beyond the risk."""
SHIFT_MIN, SHIFT_MAX = -3.0, 4.0
PART_STEP = 0.5
"""Of a shift of 1, some 0.61 of what the quantile leaves is offered."""
RISK_MIN = 1e-4
"""Risks are taken to lie between this and 1 - this: log odds of nothing and of certainty are infinite."""


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """What was offered of each pool for one horizon from one instant on."""

    from_us: int
    pools: tuple[PoolId, ...]
    gpus: Ints  # int64[pools]: GPUs offered; 0 teaches nothing
    capacity: Ints  # int64[pools]: GPUs of the pool
    risk: Floats  # float64[pools]: p*, the reclaim probability that was accepted


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The shift of one horizon, and the windows that were offered and are not over; oldest first."""

    horizon_us: int
    shift: float = 0.0
    pending: tuple[Offered, ...] = ()


Came = Callable[[PoolId, int, int], int | None]
"""(pool, from_us, to_us) -> the largest demand after from_us and before to_us, GPUs; None if it is not known."""


def offered(calibration: Calibration, window: Offered) -> Calibration:
    """The calibration with a window that begins, to be learnt from when it is over; one without an offer teaches nothing."""
    if calibration.pending and window.from_us < calibration.pending[-1].from_us:
        raise Invalid(
            "an offer before the last one", field="from_us", hint="tell of offers in the order in which they were made"
        )
    return replace(calibration, pending=(*calibration.pending, window)) if window.gpus.any() else calibration


def settled(calibration: Calibration, now_us: int, came: Came) -> Calibration:
    """The calibration after it has learnt from every offered window that is over by now."""
    shift, rest = calibration.shift, list(calibration.pending)
    while rest and rest[0].from_us + calibration.horizon_us <= now_us:
        window = rest.pop(0)
        until_us = window.from_us + calibration.horizon_us
        peaks = [came(pool, window.from_us, until_us) for pool in window.pools]
        gpus = np.where([peak is None for peak in peaks], 0, window.gpus)
        demand = np.array([0 if peak is None else peak for peak in peaks], np.int64)
        reclaimed = demand > window.capacity - gpus
        shift = float(moved(np.float64(shift), gpus, reclaimed, window.risk, calibration.horizon_us))
    return replace(calibration, shift=shift, pending=tuple(rest))


def moved(shift: Floats | np.float64, gpus: Ints, reclaimed: Bools, risk: Floats, horizon_us: int) -> Floats:
    """The shift after windows that were offered at one instant: arrays [..., pools], the shift [...].

    The sum over pools is divided by the root of their number and of the hours of the horizon: windows of one instant, and such
    as overlap, say much the same.
    """
    count = np.maximum((gpus > 0).sum(axis=-1), 1)
    share = gpus * count[..., np.newaxis] / np.maximum(gpus.sum(axis=-1), 1)[..., np.newaxis]
    wrong = (share * (reclaimed - risk)).sum(axis=-1)
    step = STEP * wrong / np.sqrt(gpus.shape[-1] * max(horizon_us / HOUR_US, 1.0))
    bounded: Floats = np.clip(shift + step, SHIFT_MIN, SHIFT_MAX)
    return bounded


def level(risk: Floats | float, shift: Floats | float) -> Floats:
    """The level at which the quantile is read so that the risk comes true, given an offer."""
    kept = 1.0 - np.clip(risk, RISK_MIN, 1.0 - RISK_MIN)
    read_at: Floats = 1.0 / (1.0 + np.exp(-(np.log(kept / (1.0 - kept)) + shift)))
    return read_at


def part(shift: Floats | float) -> Floats:
    """The part of what the quantile leaves that is offered: all while the shift is not above 0, and then less and less."""
    offered_part: Floats = np.exp(-PART_STEP * np.maximum(shift, 0.0))
    return offered_part


def calibrated_quantile(ahead: WindowMax, risk: float, shift: float, capacity: int) -> int | None:
    """The demand (GPUs) to reckon with so that it is passed with probability `risk` given an offer; None while unknown.

    `capacity` (GPUs of the pool) less this may be lent.
    """
    at, share = _level_and_part(risk, shift)
    peak = ahead.quantile(at)
    return None if peak is None else capacity - int(max(0, capacity - peak) * share)


@lru_cache(maxsize=4096)
def _level_and_part(risk: float, shift: float) -> tuple[float, float]:
    """Both for one risk; rounds ask for the same few again and again."""
    return float(level(risk, shift)), float(part(shift))
