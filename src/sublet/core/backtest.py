"""The back-test: what a forecast method would have offered, hour by hour, had it run on a recorded past.

At each instant a method sees what was known then and nothing later (`forecast.rolling`). Its offers are judged as they are, and
as calibration given an offer would have made them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sublet.core.errors import Invalid
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import Method, Past, begin_us
from sublet.core.forecast.rolling import Forecasts, looked_ahead, plain, rolled
from sublet.core.forecast.scoring import Outcome, PoolScore, Score, by_pool, coverage, pinball, score
from sublet.core.forecast.series import window_peaks
from sublet.core.forecast.window import Bools, Ints
from sublet.core.units import DAY_US, HOUR_US, said

RISKS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""The nominal risks of a trade-off curve."""

Progress = Callable[[str, int, float], None]
"""(method, horizon_us, share done), called now and then."""


def _silent(_method: str, _horizon_us: int, _share: float) -> None:
    """Whoever does not ask is told nothing."""


@dataclass(frozen=True, slots=True)
class Course:
    """When a back-test decides and what counts. Durations in µs."""

    until_us: int  # the record ends here
    warm_up_us: int = 28 * DAY_US  # the first decision that counts comes so long after the record's beginning
    lead_in_us: int | None = None  # calibration runs for so long before that; None: half of the warm-up
    step_us: int = HOUR_US


@dataclass(frozen=True, slots=True)
class Verdict:
    """One method over one horizon."""

    method: str
    horizon_us: int
    unknown: int  # windows of which the method said nothing
    pinball: Mapping[float, float]  # level to loss, a share of the capacity
    coverage: float  # share of all windows, offered or not, whose peak the plain quantile reached
    plain: Score  # offers at the nominal risk, as the method says
    calibrated: Score  # with calibration given an offer
    pools: tuple[PoolScore, ...]  # of the calibrated offers
    plain_curve: tuple[Score, ...]  # over RISKS
    curve: tuple[Score, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"pinball": {f"{at:g}": loss for at, loss in self.pinball.items()}}


@dataclass(frozen=True, slots=True)
class Judgement:
    """All verdicts of one back-test."""

    begin_us: int  # the first decision that counts
    until_us: int
    risk: float
    verdicts: tuple[Verdict, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        verdicts = [verdict.document() for verdict in self.verdicts]
        return {"begin_us": self.begin_us, "until_us": self.until_us, "risk": self.risk, "verdicts": verdicts}


def judge(
    past: Past,
    methods: Mapping[str, Method],
    horizons_us: Sequence[int],
    course: Course,
    *,
    rng: np.random.Generator,
    risk: float = 0.1,
    progress: Progress = _silent,
) -> Judgement:
    """Every method over every horizon, on the same pools and instants; `rng` draws the confidence intervals."""
    begin = _checked(past, horizons_us, course, risk)
    verdicts = []
    for name, method in methods.items():
        for horizon in horizons_us:
            instants = _instants(begin, course, horizon)

            def told(share: float, name: str = name, horizon: int = horizon) -> None:
                progress(name, horizon, share)

            forecasts = looked_ahead(past, method, instants, horizon, told)
            trial = _trial(past, instants, horizon, begin, course)
            verdicts.append(_verdict(name, trial, forecasts, risk, rng))
    return Judgement(begin + course.warm_up_us, course.until_us, risk, tuple(verdicts))


def _checked(past: Past, horizons_us: Sequence[int], course: Course, risk: float) -> int:
    """The instant at which the record of the fleet begins; refuses what cannot be judged."""
    begin = begin_us(past)
    if begin is None:
        raise Invalid("there is no demand to judge forecasts by", field="series", hint="give at least one pool with a record")
    if not 0 < risk < 1:
        raise Invalid(f"a risk of {risk:g}", field="risk", hint="give a reclaim probability between 0 and 1, such as 0.1")
    if course.step_us <= 0:
        raise Invalid(f"a step of {said(course.step_us)}", field="step", hint="give a length of time above 0")
    if min(horizons_us, default=0) <= 0:
        raise Invalid("no horizon, or one that is not above 0", field="horizons", hint="name horizons such as 1 h and 24 h")
    need = course.warm_up_us + max(horizons_us) + course.step_us
    if course.until_us - begin < need:
        raise Invalid(
            f"the record is {said(course.until_us - begin)} long, and warm-up with the longest horizon takes {said(need)}",
            field="warm_up",
            hint="shorten the warm-up or leave out the longest horizon",
        )
    return begin


def _instants(begin: int, course: Course, horizon_us: int) -> Ints:
    """When offers are made: from the lead-in on, as long as the window is over before the record ends.

    Each lies just before a whole step, so a table's value for the hour that begins there is not known yet.
    """
    lead_in = course.warm_up_us // 2 if course.lead_in_us is None else min(course.lead_in_us, course.warm_up_us)
    first = max(course.warm_up_us - lead_in // course.step_us * course.step_us, course.step_us)
    return np.arange(begin + first, course.until_us - horizon_us + 1, course.step_us, dtype=np.int64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """What a method is judged by, over one horizon."""

    horizon_us: int
    step_us: int
    pools: Past
    capacity: Ints  # int64[pools]
    peaks: Ints  # int64[instants, pools]: what came
    counted: Bools  # bool[instants]: not the lead-in


def _trial(past: Past, instants: Ints, horizon_us: int, begin: int, course: Course) -> _Trial:
    capacity = np.array([series.capacity for series in past.values()], np.int64)
    peaks = np.stack([window_peaks(series, instants, horizon_us) for series in past.values()], axis=1)
    return _Trial(horizon_us, course.step_us, past, capacity, peaks, instants >= begin + course.warm_up_us - 1)


def _verdict(name: str, trial: _Trial, forecasts: Forecasts, risk: float, rng: np.random.Generator) -> Verdict:
    risks = np.repeat(np.array([[risk], *([p] for p in RISKS)]), len(trial.capacity), axis=1)
    as_said = plain(forecasts, trial.capacity, risks)
    corrected, _ = rolled(forecasts, trial.capacity, trial.peaks, risks, trial.horizon_us, trial.step_us)
    peaks = trial.peaks[trial.counted]
    outcome = Outcome(trial.capacity, peaks, peaks != NO_DEMAND)
    block = max(DAY_US, trial.horizon_us) // trial.step_us

    def scored(made: Ints) -> list[Score]:
        return [score(made[i, trial.counted], outcome, risk=float(p[0]), block=block, rng=rng) for i, p in enumerate(risks)]

    said_scores, scores = scored(as_said), scored(corrected)
    samples, known = forecasts.samples[:, trial.counted], forecasts.known[:, trial.counted]
    return Verdict(
        method=name,
        horizon_us=trial.horizon_us,
        unknown=int((outcome.counts & ~known.T).sum()),
        pinball=pinball(samples, known, outcome),
        coverage=coverage(samples, known, outcome, risk),
        plain=said_scores[0],
        calibrated=scores[0],
        pools=by_pool(corrected[0, trial.counted], outcome, tuple(trial.pools)),
        plain_curve=tuple(said_scores[1:]),
        curve=tuple(scores[1:]),
    )


__all__ = ["RISKS", "Course", "Forecasts", "Judgement", "Progress", "Verdict", "judge", "looked_ahead", "rolled"]
