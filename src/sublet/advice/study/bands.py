"""What our forecast said of the largest demand to come, and what came: a few weeks of it, window by window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.advice.study.curves import At, at_of
from sublet.advice.study.foresee import hours_of
from sublet.advice.study.question import Question
from sublet.core.forecast import History, Series
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.series import window_peaks
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US
from sublet.sim.figures import steps_of
from sublet.sim.outcome import Outcome
from sublet.sim.outlook import Foreseen

Ints = npt.NDArray[np.int64]

SHOWN_US = 21 * 24 * HOUR_US
"""So much of the studied period is drawn: its end."""

NEAR_US = 4 * HOUR_US
"""The horizon that is drawn is the one nearest to this."""

LEVELS = (0.5, 0.8, 0.95)


@dataclass(frozen=True, slots=True)
class Bands:
    """One pool, hour by hour. GPUs; None where nothing is known or the window is not over.

    `peak` is the largest demand that came within `hours` after `at`; `quantiles` are those of the forecast, by level in
    percent; `offered` is what was offered for so long under a guarantee.
    """

    hours: float
    at: tuple[At, ...]
    peak: tuple[int | None, ...]
    quantiles: dict[str, tuple[int | None, ...]]
    offered: tuple[int | None, ...]


def bands_of(question: Question, foreseen: Foreseen | None, outcome: Outcome, horizons_us: Sequence[int]) -> Bands | None:
    """The bands of a pool; `horizons_us`: what was forecast. None where nothing was."""
    if foreseen is None or not horizons_us:
        return None
    horizon = min(horizons_us, key=lambda us: (abs(us - NEAR_US), us))
    hours = hours_of(max(question.open_us, question.until_us - SHOWN_US), question.until_us - horizon + 1)
    if not len(hours):
        return None
    known = [foreseen.at(int(at), 0).forecasts.get(horizon) for at in hours]
    offers = _offers(outcome, horizon)
    return Bands(
        hours=horizon / HOUR_US,
        at=tuple(at_of(question, int(at)) for at in hours),
        peak=_peaks(question, outcome, hours, horizon),
        quantiles={
            f"{level:.0%}".rstrip("%"): tuple(None if ahead is None else ahead.quantile(level) for ahead in known)
            for level in LEVELS
        },
        offered=tuple(offers.get(int(at)) for at in hours),
    )


def _peaks(question: Question, outcome: Outcome, hours: Ints, horizon_us: int) -> tuple[int | None, ...]:
    """The largest demand of each window; None where the log has a gap."""
    gaps = tuple((gap.from_us, gap.to_us) for gap in question.gaps)
    series = Series(PoolId(outcome.pool), History(*steps_of(outcome.demand)), outcome.capacity, gaps)
    came = window_peaks(series, hours, horizon_us).tolist()
    return tuple(None if peak == NO_DEMAND else peak for peak in came)


def _offers(outcome: Outcome, horizon_us: int) -> Mapping[int, int]:
    """GPUs offered for this horizon by the hour in which they were."""
    mine = outcome.offers[outcome.offers[:, 1] == horizon_us]
    return {at // HOUR_US * HOUR_US: gpus for at, gpus in zip(mine[:, 0].tolist(), mine[:, 2].tolist(), strict=True)}
