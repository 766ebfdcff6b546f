"""The back-test: what it refuses, when it decides, what it counts, and that nothing is known too early."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from demands import DAY_US, NORTH, SOUTH, hourly, two_pools

from sublet.core.backtest import RISKS, Course, Judgement, judge
from sublet.core.errors import Invalid
from sublet.core.forecast import FORECASTS, SAMPLES, Ahead, History, Method, Model, Series
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import Past
from sublet.core.forecast.rolling import Forecasts, Succession, looked_ahead, plain, rolled, successive
from sublet.core.forecast.series import demand_at, window_peaks
from sublet.core.forecast.window import Ints
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US

H4 = 4 * HOUR_US
FLEET = two_pools(20)
WINDOW = {"w": FORECASTS["window_max_quantile"]}


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def judged(past: Past = FLEET, methods: Mapping[str, Method] = WINDOW, *horizons: int, **course: int) -> Judgement:
    chosen = Course(**{"until_us": 20 * DAY_US, "warm_up_us": 10 * DAY_US, **course})
    return judge(past, methods, horizons or (H4,), chosen, rng=np.random.default_rng(0))


@dataclass(frozen=True)
class Steady:
    """Says one demand, whatever was; good for two days."""

    gpus: int = 5

    def renew_us(self, span_us: int) -> int:
        del span_us
        return 2 * DAY_US

    def learn(self, past: Past, horizon_us: int, now_us: int) -> Model:
        del past, horizon_us
        return Said(self.gpus, now_us)


@dataclass(frozen=True)
class Said:
    gpus: int
    learnt_us: int

    def at(self, series: Series, instants: Ints) -> Ahead:
        del series
        assert (instants >= self.learnt_us).all() and (instants < self.learnt_us + 2 * DAY_US).all()
        return Ahead(np.full((len(instants), SAMPLES), self.gpus, np.int64), np.ones(len(instants), np.bool_))


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("past", "horizons", "course", "risk", "field"),
    [
        ({}, (H4,), {}, 0.1, "series"),
        ({NORTH: replace(FLEET[NORTH], history=History(ints(), ints()))}, (H4,), {}, 0.1, "series"),
        (FLEET, (H4,), {}, 0.0, "risk"),
        (FLEET, (H4,), {}, 1.0, "risk"),
        (FLEET, (H4,), {"step_us": 0}, 0.1, "step"),
        (FLEET, (), {}, 0.1, "horizons"),
        (FLEET, (H4, 0), {}, 0.1, "horizons"),
        (FLEET, (11 * DAY_US,), {}, 0.1, "warm_up"),
        (FLEET, (H4,), {"warm_up_us": 20 * DAY_US}, 0.1, "warm_up"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_the_way_out(
    past: Past, horizons: tuple[int, ...], course: dict[str, int], risk: float, field: str
) -> None:
    chosen = Course(**{"until_us": 20 * DAY_US, "warm_up_us": 10 * DAY_US, **course})
    with pytest.raises(Invalid) as refused:
        judge(past, WINDOW, horizons, chosen, rng=np.random.default_rng(0), risk=risk)
    assert refused.value.field == field and refused.value.hint


# --------------------------------------------------------------------------------------------------- when, and of what


def test_decisions_come_just_before_each_step_from_the_warm_up_on_while_their_window_is_over_in_time() -> None:
    for step in (HOUR_US, 2 * HOUR_US):
        found = judged(step_us=step)
        (verdict,) = found.verdicts
        hours = (10 * 24 - 4) * HOUR_US // step + 1
        assert verdict.calibrated.windows == 2 * hours and verdict.unknown == 0
        assert (found.begin_us, found.until_us, found.risk) == (10 * DAY_US, 20 * DAY_US, 0.1)


def test_a_value_that_begins_with_the_hour_is_not_known_at_its_decision() -> None:
    """Demand alternates: somebody who knew the hour would never be surprised by it."""
    past = {NORTH: hourly([10, 60] * 24 * 10)}
    (verdict,) = judged(past, {"last": FORECASTS["last_week_peak"]}, HOUR_US).verdicts
    (blind,) = judged(past, {"s": Steady(10)}, HOUR_US).verdicts
    assert verdict.plain.reclaimed == 0.0
    assert blind.plain.reclaimed == pytest.approx(0.5, abs=0.01)


def test_calibration_runs_over_a_lead_in_that_does_not_count() -> None:
    short, long = judged(lead_in_us=0).verdicts[0], judged(lead_in_us=9 * DAY_US).verdicts[0]
    default, half = judged().verdicts[0], judged(lead_in_us=5 * DAY_US).verdicts[0]
    assert default == half
    assert short.plain == long.plain and short.calibrated.windows == long.calibrated.windows
    assert short.calibrated != long.calibrated
    assert judged(lead_in_us=99 * DAY_US).verdicts[0].calibrated.windows == long.calibrated.windows


def test_every_method_and_horizon_has_a_verdict_with_a_curve_over_all_risks_and_progress_is_told() -> None:
    told: list[tuple[str, int, float]] = []
    course = Course(until_us=20 * DAY_US, warm_up_us=10 * DAY_US)
    methods = {name: FORECASTS[name] for name in ("window_max_quantile", "seasonal_naive")}
    found = judge(
        FLEET,
        methods,
        (HOUR_US, H4),
        course,
        rng=np.random.default_rng(0),
        progress=lambda name, horizon, share: told.append((name, horizon, share)),
    )
    keys = [(name, horizon) for name in methods for horizon in (HOUR_US, H4)]
    assert [(one.method, one.horizon_us) for one in found.verdicts] == keys
    assert [key for *key, share in told if share == 1.0] == [list(key) for key in keys]
    for one in found.verdicts:
        assert [score.risk for score in one.curve] == list(RISKS) == [score.risk for score in one.plain_curve]
        captured = [score.captured for score in one.curve]
        assert captured == sorted(captured), "who accepts more risk offers more"
        assert one.curve[RISKS.index(0.1)].captured == one.calibrated.captured
        assert [pool.pool for pool in one.pools] == [NORTH, SOUTH]
    document = found.document()
    assert document["verdicts"][0]["pinball"].keys() == {"0.5", "0.8", "0.9", "0.95", "0.99"}
    assert document["risk"] == 0.1 and document["verdicts"][1]["curve"][0]["risk"] == RISKS[0]


def test_what_is_not_known_is_not_offered_and_what_lies_in_a_gap_is_not_scored() -> None:
    gap = (15 * DAY_US, 16 * DAY_US)
    holed = {**FLEET, SOUTH: replace(FLEET[SOUTH], gaps=(gap,))}
    whole, part = judged().verdicts[0], judged(holed).verdicts[0]
    assert whole.calibrated.windows - part.calibrated.windows == 24 + 3, "windows that touch it"
    late = {NORTH: FLEET[NORTH], SOUTH: replace(FLEET[SOUTH], history=_from(FLEET[SOUTH].history, 15 * DAY_US))}
    (verdict,) = judged(late, {"last": FORECASTS["last_week_peak"]}).verdicts
    assert verdict.unknown > 100 and verdict.pools[1].offered == 0


def _from(history: History, at_us: int) -> History:
    kept = history.at_us >= at_us
    return History(history.at_us[kept], history.gpus[kept])


@pytest.mark.parametrize("name", FORECASTS)
def test_what_comes_later_moves_no_offer_that_was_made_before(name: str) -> None:
    """Whole back-tests over one past with two futures: offers, shifts and all."""
    cut = 13 * DAY_US
    rng = np.random.default_rng(9)
    other = {
        pool: replace(
            series,
            history=History(
                series.history.at_us,
                np.where(series.history.at_us >= cut, rng.integers(0, 90, len(series.history.at_us)), series.history.gpus),
            ),
        )
        for pool, series in FLEET.items()
    }
    instants = np.arange(11 * DAY_US, 14 * DAY_US, HOUR_US, dtype=np.int64) - 1
    horizon = 2 * HOUR_US
    made = []
    for past in (FLEET, other):
        forecasts = looked_ahead(past, FORECASTS[name], instants, horizon)
        peaks = np.stack([window_peaks(series, instants, horizon) for series in past.values()], axis=1)
        made.append(rolled(forecasts, ints(64, 16), peaks, np.array([[0.1, 0.2]]), horizon, HOUR_US))
    before = instants < cut
    (gpus, shifts), (other_gpus, other_shifts) = made
    assert gpus[:, before].tolist() == other_gpus[:, before].tolist() and gpus[:, before].any()
    assert shifts[:, before].tolist() == other_shifts[:, before].tolist()
    assert shifts[:, ~before].tolist() != other_shifts[:, ~before].tolist()


# ------------------------------------------------------------------------------------------------------ rolling origin


def test_a_method_learns_again_when_its_model_is_no_longer_good() -> None:
    instants = DAY_US + HOUR_US * np.arange(24 * 7, dtype=np.int64)
    shares: list[float] = []
    found = looked_ahead(FLEET, Steady(), instants, H4, shares.append)
    assert found.known.all() and set(found.samples.ravel().tolist()) == {5}
    assert len(shares) == 4 and shares[-1] == 1.0, "every two days of seven; Said refuses to speak longer"
    none = looked_ahead({PoolId("new"): replace(FLEET[NORTH], history=History(ints(), ints()))}, Steady(), instants, H4)
    assert none.samples.shape == (1, len(instants), SAMPLES)


def test_of_models_that_follow_each_other_the_newest_by_then_speaks() -> None:
    @dataclass(frozen=True)
    class Speaks:
        gpus: int

        def at(self, series: Series, instants: Ints) -> Ahead:
            del series
            return Ahead(np.full((len(instants), SAMPLES), self.gpus, np.int64), np.ones(len(instants), np.bool_))

    models = Succession((10, 20), (Speaks(1), Speaks(2))).followed_by(Speaks(3), 40)
    ahead = models.at(FLEET[NORTH], ints(5, 9, 10, 19, 20, 39, 40, 99))
    assert ahead.known.tolist() == [False, False, True, True, True, True, True, True]
    assert ahead.samples[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert models.at(FLEET[NORTH], ints(25)).samples[0, 0] == 2
    learnt = successive(FLEET, Steady(), DAY_US + HOUR_US * np.arange(100, dtype=np.int64), H4)
    assert learnt.from_us == (DAY_US, 3 * DAY_US, 5 * DAY_US)
    assert looked_ahead({}, Steady(), ints(DAY_US), H4).samples.shape == (0, 1, SAMPLES)


def slow_rolled(
    forecasts: Forecasts, capacity: Ints, peaks: Ints, risk: float, late: int
) -> tuple[list[list[int]], list[float]]:
    """One risk, one offer after the other."""
    shift, offers, shifts = 0.0, list[list[int]](), list[float]()
    pools = range(len(capacity))
    for i in range(len(peaks)):
        if i >= late:
            made = [0 if peaks[i - late, p] == NO_DEMAND else offers[i - late][p] for p in pools]
            some = [p for p in pools if made[p]]
            total = sum(made)
            wrong = sum(made[p] * len(some) / total * ((peaks[i - late, p] > capacity[p] - made[p]) - risk) for p in some)
            shift = min(4.0, max(-3.0, shift + 0.1 * wrong / (len(capacity) * late) ** 0.5))
        level = 1 / (1 + np.exp(-(np.log((1 - risk) / risk) + shift)))
        rank = min(max(int(np.ceil(level * SAMPLES)) - 1, 0), SAMPLES - 1)
        kept = np.exp(-max(0.0, shift) / 2)
        offers.append(
            [int(max(0, capacity[p] - forecasts.samples[p, i, rank]) * kept) if forecasts.known[p, i] else 0 for p in pools]
        )
        shifts.append(shift)
    return offers, shifts


@pytest.mark.parametrize("late", [1, 4])
def test_rolled_offers_are_what_one_offer_after_the_other_comes_to(late: int) -> None:
    rng = np.random.default_rng(late)
    samples = np.sort(rng.integers(0, 30, (2, 80, SAMPLES)), axis=2)
    forecasts = Forecasts(samples, rng.random((2, 80)) < 0.9)
    capacity, peaks = ints(28, 20), rng.integers(-1, 31, (80, 2))
    gpus, shifts = rolled(forecasts, capacity, peaks, np.array([[0.1, 0.1], [0.4, 0.4]]), late * HOUR_US, HOUR_US)
    for row, risk in enumerate((0.1, 0.4)):
        expected = slow_rolled(forecasts, capacity, peaks, risk, late)
        assert gpus[row].tolist() == expected[0]
        assert shifts[row].tolist() == pytest.approx(expected[1])
    said = plain(forecasts, capacity, np.array([[0.1, 0.4]]))
    assert said[0, 7].tolist() == [
        max(0, 28 - int(samples[0, 7, 179])) * forecasts.known[0, 7],
        max(0, 20 - int(samples[1, 7, 119])) * forecasts.known[1, 7],
    ]
    assert demand_at(FLEET[NORTH], ints(-1)).tolist() == [NO_DEMAND]
