"""What the back-test found, as it is reported: how often windows that were offered would have been reclaimed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from sublet.advice.study.curves import At, at_of
from sublet.advice.study.result import Study
from sublet.core.backtest import Verdict
from sublet.core.forecast.scoring import Score
from sublet.core.units import HOUR_US


@dataclass(frozen=True, slots=True)
class Point:
    """Offers at one nominal risk, over all pools. Shares of 1; `low` to `high` is the 95 % interval of `reclaimed`."""

    risk: float
    windows: int
    offered: int
    reclaimed: float
    low: float
    high: float
    reclaimed_gpus: float  # share of the offered GPU-hours
    captured: float  # offered GPU-hours / those of somebody who knew the future
    kept: float  # GPU-hours of windows that were kept / the same


@dataclass(frozen=True, slots=True)
class PoolPoint:
    """The calibrated offers at the judged risk in one pool."""

    pool: str
    offered: int
    reclaimed: float
    captured: float
    kept: float


@dataclass(frozen=True, slots=True)
class Method:
    """One method over one horizon: as it says, and calibrated given an offer. Curves are over nominal risks.

    `pinball` by level, a share of the capacity; `coverage` of all windows, offered or not; `unknown` windows have no forecast.
    """

    method: str
    hours: float
    unknown: int
    coverage: float | None
    pinball: Mapping[str, float | None]
    plain: Point
    calibrated: Point
    pools: tuple[PoolPoint, ...]
    plain_curve: tuple[Point, ...]
    curve: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """The back-test; `ours` is the method that our policy used, `risk` the nominal reclaim probability that is judged."""

    begins: At
    ends: At
    risk: float
    ours: str
    methods: tuple[Method, ...]

    @property
    def hours(self) -> tuple[float, ...]:
        """The horizons."""
        return tuple(sorted({one.hours for one in self.methods}))

    def of(self, method: str, hours: float) -> Method | None:
        """One method over one horizon, if it was judged."""
        return next((one for one in self.methods if (one.method, one.hours) == (method, hours)), None)


def judged_of(study: Study) -> Judged | None:
    """The back-test of a study; None where the trace was too short for one, or none was wanted."""
    found = study.judgement
    if found is None:
        return None
    return Judged(
        begins=at_of(study.question, found.begin_us),
        ends=at_of(study.question, found.until_us),
        risk=found.risk,
        ours=study.wanted.forecast,
        methods=tuple(_method(verdict) for verdict in found.verdicts),
    )


def _method(verdict: Verdict) -> Method:
    return Method(
        method=verdict.method,
        hours=verdict.horizon_us / HOUR_US,
        unknown=verdict.unknown,
        coverage=_known(verdict.coverage),
        pinball={f"{level:g}": _known(loss) for level, loss in verdict.pinball.items()},
        plain=_point(verdict.plain),
        calibrated=_point(verdict.calibrated),
        pools=tuple(PoolPoint(one.pool, one.offered, one.reclaimed, one.captured, one.kept) for one in verdict.pools),
        plain_curve=tuple(_point(score) for score in verdict.plain_curve),
        curve=tuple(_point(score) for score in verdict.curve),
    )


def _point(score: Score) -> Point:
    return Point(
        risk=score.risk,
        windows=score.windows,
        offered=score.offered,
        reclaimed=score.reclaimed,
        low=score.low,
        high=score.high,
        reclaimed_gpus=score.reclaimed_gpus,
        captured=score.captured,
        kept=score.kept,
    )


def _known(value: float) -> float | None:
    """JSON has no word for what is no number."""
    return value if isfinite(value) else None
