"""Calibration given an offer, and the feedback of GFS: what moves them, how far, and when."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from demands import NORTH, SOUTH, hourly, two_pools
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.backtest import Course, judge
from sublet.core.errors import Invalid
from sublet.core.forecast import FORECASTS, SAMPLES, Series, WindowMax
from sublet.core.forecast.calibration import (
    SHIFT_MAX,
    SHIFT_MIN,
    STEP,
    Calibration,
    Came,
    Offered,
    calibrated_quantile,
    level,
    moved,
    offered,
    part,
    settled,
)
from sublet.core.forecast.feedback import ETA_MAX, ETA_MIN, Ends, next_eta, recent_ends
from sublet.core.forecast.hourly_calibration import Lessons, carried_on, hours_until
from sublet.core.forecast.rolling import looked_ahead, rolled
from sublet.core.forecast.series import window_peaks
from sublet.core.forecast.window import UNKNOWN
from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.core.supply import peak_at_risk, risk_bound, risk_limit
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US
from sublet.core.view import PoolView

settings.register_profile("core", deadline=None, derandomize=True, max_examples=150)
PROFILE = settings.get_profile("core")
SURE = WindowMax(np.arange(1, SAMPLES + 1, dtype=np.int64))  # its quantile at q is 200 q
H4 = 4 * HOUR_US


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def of(at_us: int, *gpus: int, risk: float = 0.1, capacity: int = 10) -> Offered:
    """What was offered of north and south at an instant."""
    pools = (NORTH, SOUTH)[: len(gpus)]
    return Offered(at_us, pools, ints(*gpus), np.full(len(gpus), capacity), np.full(len(gpus), risk))


def always(peak: int | None) -> Came:
    return lambda _pool, _from_us, _to_us: peak


# ----------------------------------------------------------------------------------------------------------- the level


@PROFILE
@given(risk=st.floats(0.001, 0.999), shift=st.floats(SHIFT_MIN, SHIFT_MAX), more=st.floats(0.01, 1))
def test_the_level_is_one_less_the_risk_and_moves_with_the_shift(risk: float, shift: float, more: float) -> None:
    assert level(risk, 0.0) == pytest.approx(1 - risk)
    assert 0 < level(risk, shift) < level(risk, shift + more) < 1
    odds = level(risk, shift) / (1 - level(risk, shift))
    assert math.log(odds) == pytest.approx(math.log((1 - risk) / risk) + shift)


@pytest.mark.parametrize(
    ("risk", "shift", "peak"),
    [
        (0.1, 0.0, 180),  # 20 GPUs
        (0.5, 0.0, 100),
        (0.1, -0.7, 164),  # less careful: the level alone
        (0.1, 0.7, 193),  # the level leaves 10 GPUs, and exp(-0.35) of them are 7
        (0.1, 3.0, 200),  # the level leaves 1 GPU, and of that nothing
    ],
)
def test_a_calibrated_quantile_is_read_at_the_moved_level_and_leaves_a_part(risk: float, shift: float, peak: int) -> None:
    assert calibrated_quantile(SURE, risk, shift, 200) == peak
    assert calibrated_quantile(UNKNOWN, risk, shift, 200) is None


@PROFILE
@given(shift=st.floats(SHIFT_MIN, SHIFT_MAX - 0.1), capacity=st.integers(0, 300), risk=st.floats(0.01, 0.99))
def test_a_higher_shift_never_lends_more_and_nothing_is_lent_beyond_the_capacity(
    shift: float, capacity: int, risk: float
) -> None:
    careful, bold = (calibrated_quantile(SURE, risk, s, capacity) for s in (shift + 0.1, shift))
    assert careful is not None and bold is not None
    assert bold <= careful <= capacity
    assert 0 < part(shift + 0.1) <= part(shift) <= 1


@pytest.mark.parametrize("risk", [0.0, 1.0])
def test_no_risk_and_certainty_are_levels_too(risk: float) -> None:
    assert calibrated_quantile(SURE, risk, 0.0, 300) == (SAMPLES if risk == 0 else 1)


# ------------------------------------------------------------------------------------------------------- what moves it


def test_a_reclaim_raises_the_shift_by_what_it_was_more_than_the_risk_and_a_kept_window_lowers_it() -> None:
    up = settled(offered(Calibration(HOUR_US), of(0, 4)), HOUR_US, always(7))
    down = settled(offered(Calibration(HOUR_US), of(0, 4)), HOUR_US, always(6))
    assert up.shift == pytest.approx(STEP * 0.9) and down.shift == pytest.approx(-STEP * 0.1)
    assert settled(offered(Calibration(H4), of(0, 4)), H4, always(7)).shift == pytest.approx(STEP * 0.9 / 2), "hours overlap"


def test_a_window_teaches_when_it_is_over_and_not_before() -> None:
    asked: list[tuple[PoolId, int, int]] = []

    def came(pool: PoolId, from_us: int, to_us: int) -> int:
        asked.append((pool, from_us, to_us))
        return 10

    waiting = offered(offered(Calibration(H4), of(100, 4)), of(200, 0, 5))
    early = settled(waiting, 99 + H4, came)
    assert early.shift == 0.0 and not asked and early.pending == waiting.pending
    first = settled(early, 100 + H4, came)
    assert asked == [(NORTH, 100, 100 + H4)] and first.shift > 0 and len(first.pending) == 1
    last = settled(first, 10 * H4, came)
    assert last.pending == () and last.shift > first.shift
    assert settled(last, 20 * H4, came).shift == last.shift, "once"


def test_offers_are_told_of_in_order() -> None:
    with pytest.raises(Invalid, match="before the last") as refused:
        offered(offered(Calibration(H4), of(200, 4)), of(100, 4))
    assert refused.value.field == "from_us" and refused.value.hint


def test_nobody_learns_from_what_was_not_offered_or_not_seen() -> None:
    assert offered(Calibration(HOUR_US), of(0, 0, 0)).pending == ()
    unseen = settled(offered(Calibration(HOUR_US), of(0, 4, 4)), HOUR_US, always(None))
    assert unseen.shift == 0.0 and unseen.pending == ()


@PROFILE
@given(gpus=st.integers(1, 10), peak=st.integers(0, 20), other=st.integers(0, 20))
def test_what_came_in_a_pool_that_offered_nothing_makes_no_difference(gpus: int, peak: int, other: int) -> None:
    window = offered(Calibration(HOUR_US), of(0, gpus, 0))
    quiet = settled(window, HOUR_US, lambda pool, _f, _t: peak if pool == NORTH else 0)
    loud = settled(window, HOUR_US, lambda pool, _f, _t: peak if pool == NORTH else other)
    assert quiet.shift == loud.shift != 0.0


def test_each_offered_gpu_counts_the_same() -> None:
    large = settled(offered(Calibration(HOUR_US), of(0, 9, 1)), HOUR_US, lambda pool, _f, _t: 10 if pool == NORTH else 0)
    small = settled(offered(Calibration(HOUR_US), of(0, 9, 1)), HOUR_US, lambda pool, _f, _t: 10 if pool == SOUTH else 0)
    assert large.shift == pytest.approx(STEP * 2 * (0.9 - 0.1) / math.sqrt(2))
    assert small.shift == pytest.approx(STEP * 2 * (0.1 - 0.1) / math.sqrt(2))


@PROFILE
@given(
    shift=st.floats(SHIFT_MIN, SHIFT_MAX),
    gpus=st.lists(st.integers(0, 1_000_000), min_size=1, max_size=50),
    data=st.data(),
    horizon=st.integers(1, 200 * HOUR_US),
)
def test_the_shift_stays_within_its_bounds(shift: float, gpus: list[int], data: st.DataObject, horizon: int) -> None:
    count = len(gpus)
    reclaimed = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    risk = np.array(data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))
    after = moved(np.float64(shift), np.array(gpus, np.int64), reclaimed & (np.array(gpus) > 0), risk, horizon)
    assert SHIFT_MIN <= after <= SHIFT_MAX
    if not any(gpus):
        assert after == shift


# --------------------------------------------------------------------------------------------------- what it comes to


@pytest.mark.parametrize("bias", [-15, 0, 40])
def test_on_windows_that_are_alike_the_risk_comes_true_whatever_the_forecast_was_off(bias: int) -> None:
    rng = np.random.default_rng(12)
    calibration, broken = Calibration(HOUR_US), []
    for hour in range(6_000):
        peak = calibrated_quantile(WindowMax(SURE.samples + bias), 0.1, calibration.shift, 300)
        assert peak is not None
        came = int(rng.integers(1, SAMPLES + 1))
        calibration = offered(calibration, of(hour * HOUR_US, 300 - peak, capacity=300))
        calibration = settled(calibration, (hour + 1) * HOUR_US, always(came))
        broken.append(came > peak)
    assert np.mean(broken[2_000:]) == pytest.approx(0.1, abs=0.015)


def swinging() -> Mapping[PoolId, Series]:
    """Demand that swings and always comes back to 560 of 640 GPUs: the lower it is, the surer it is to rise."""
    rng, gpus = np.random.default_rng(21), [560.0]
    for _ in range(24 * 240 - 1):
        gpus.append(560 + 0.9 * (gpus[-1] - 560) + rng.normal(0, 40))
    return {NORTH: hourly(np.clip(gpus, 0, 900).astype(np.int64).tolist(), capacity=640)}


def test_coverage_over_all_windows_looks_right_where_offers_fail_and_calibration_holds() -> None:
    course, rng = Course(until_us=240 * 24 * HOUR_US), np.random.default_rng(1)
    (verdict,) = judge(swinging(), {"w": FORECASTS["window_max_quantile"]}, [H4], course, rng=rng).verdicts
    assert verdict.coverage == pytest.approx(0.9, abs=0.01), "nine of ten windows are covered, as promised"
    assert verdict.plain.low > 0.13, "but of those in which something was offered, far fewer"
    assert verdict.calibrated.reclaimed < 0.11 and verdict.calibrated.offered > 1_000


@pytest.mark.parametrize("risks", [{NORTH: 0.1, SOUTH: 0.3}, {SOUTH: 0.1}])
def test_the_running_system_and_the_back_test_come_to_the_same_shift(risks: dict[PoolId, float]) -> None:
    past = two_pools(20)
    gap = replace(past[SOUTH], gaps=((12 * 24 * HOUR_US, 12 * 24 * HOUR_US + 3 * HOUR_US),))
    past = {NORTH: past[NORTH], SOUTH: gap}
    method, instants = FORECASTS["window_max_quantile"], HOUR_US * np.arange(24 * 8, 24 * 18, dtype=np.int64)
    lessons = Lessons(past, risks, method.learn(past, H4, 0))
    half = len(instants) // 2
    live = carried_on(carried_on(Calibration(H4), lessons, instants[:half]), lessons, instants[half:])

    chosen = {pool: past[pool] for pool in past if pool in risks}
    peaks = np.stack([window_peaks(series, instants, H4) for series in chosen.values()], axis=1)
    capacity = ints(*[series.capacity for series in chosen.values()])
    risk = np.array([[risks[pool] for pool in chosen]])
    gpus, shifts = rolled(looked_ahead(chosen, method, instants, H4), capacity, peaks, risk, H4, HOUR_US)
    assert live.shift == pytest.approx(shifts[0, -1]) and live.shift != 0.0
    assert live.pending[-1].gpus.tolist() == gpus[0, -1].tolist()


def test_without_a_pool_or_an_hour_a_calibration_stays_as_it_is() -> None:
    past = two_pools(3)
    model = FORECASTS["window_max_quantile"].learn(past, H4, 0)
    before = Calibration(H4, 0.5)
    assert carried_on(before, Lessons(past, {}, model), ints(HOUR_US)) is before
    assert carried_on(before, Lessons(past, {NORTH: 0.1}, model), ints()) is before


def test_a_calibration_is_made_of_the_full_hours_of_the_trailing_weeks_that_are_on_record() -> None:
    past = {NORTH: hourly([1] * 24 * 60, begin_us=HOUR_US // 2)}
    assert hours_until(past, 10 * HOUR_US + 5).tolist() == [HOUR_US * hour for hour in range(1, 11)]
    weeks = hours_until(past, 50 * 24 * HOUR_US)
    assert len(weeks) == 28 * 24 + 1 and weeks[-1] == 50 * 24 * HOUR_US
    assert len(hours_until({}, 50 * 24 * HOUR_US)) == 28 * 24 + 1, "nothing is known of any of them"
    assert not len(hours_until(past, HOUR_US // 2 + 1)), "the first full hour is yet to come"


def test_what_a_round_lends_at_a_risk_is_less_after_offers_were_reclaimed_and_more_after_they_were_kept() -> None:
    pool = Pool(NORTH, "H100", lending_risk=0.1)
    view = PoolView(pool, pool.price_micro, 0, 0, {H4: SURE, 24 * HOUR_US: UNKNOWN})
    guarded = pool.terms[LeaseClass.GUARDED]

    def lent(shift: float) -> tuple[int | None, int]:
        told = replace(view, shifts={H4: shift, HOUR_US: 9.0})
        return risk_limit(told, capacity=200), risk_bound(told, guarded, H4, price_micro=pool.price_micro, capacity=200)

    usual, careful, bold = lent(0.0), lent(0.7), lent(-0.7)
    assert usual[0] == 20 and careful[0] == 7 and bold[0] == 36, "as calibrated_quantile says"
    assert careful[1] < usual[1] < bold[1]
    assert peak_at_risk(view, H4, 0.1, capacity=200) == 180
    assert peak_at_risk(view, 24 * HOUR_US, 0.1, capacity=200) is None and peak_at_risk(view, 1, 0.1, capacity=200) is None
    assert risk_limit(replace(view, pool=replace(pool, lending_risk=None)), capacity=200) is None
    assert risk_limit(replace(view, pool=replace(pool, lending_horizon_us=24 * HOUR_US)), capacity=200) == 0, "unknown"


def test_a_pool_that_is_gone_teaches_nothing_more() -> None:
    past = two_pools(5)
    model = FORECASTS["window_max_quantile"].learn(past, HOUR_US, 0)
    at = 4 * 24 * HOUR_US
    waiting = carried_on(Calibration(HOUR_US), Lessons(past, {NORTH: 0.5}, model), ints(at))
    assert waiting.pending
    after = carried_on(waiting, Lessons({SOUTH: past[SOUTH]}, {SOUTH: 0.5}, model), ints(at + HOUR_US))
    assert after.shift == 0.0


# -------------------------------------------------------------------------------------------------- the feedback of GFS


@pytest.mark.parametrize(
    ("eta", "failed", "succeeded", "waited_h", "after"),
    [
        (1.0, 16, 84, 9, 1.0 * 0.1 / 0.16),  # over one and a half times the risk: less
        (1.0, 14, 86, 9, 1.0),  # in between: as before
        (1.0, 30, 70, 0, 1.0 * 0.1 / 0.3),
        (1.0, 5, 95, 2, 1.0),  # 1.5 - 0.5
        (1.0, 2, 98, 2, 1.3),
        (1.0, 0, 100, 2, ETA_MAX),
        (1.0, 0, 0, 2, ETA_MAX),  # nothing ended: nobody failed
        (1.0, 0, 100, 1, 1.0),  # an hour is not yet long
        (1.4, 0, 100, 2, ETA_MAX),
        (0.06, 100, 0, 2, ETA_MIN),
    ],
)
def test_the_factor_follows_what_failed_of_late(eta: float, failed: int, succeeded: int, waited_h: int, after: float) -> None:
    assert next_eta(eta, Ends(failed, succeeded), risk=0.1, waited_us=waited_h * HOUR_US) == pytest.approx(after)


@pytest.mark.parametrize("risk", [0.0, 1.0, -1.0])
def test_a_risk_that_is_none_is_refused(risk: float) -> None:
    with pytest.raises(Invalid) as refused:
        next_eta(1.0, Ends(1, 1), risk=risk, waited_us=0)
    assert refused.value.field == "risk" and refused.value.hint


def test_ends_of_the_last_four_hours_count() -> None:
    ended, failed = ints(0, 1, 2, H4, H4 + 1, H4 + 2), np.array([True, True, False, True, False, True])
    assert recent_ends(ended, failed, H4 + 1) == Ends(failed=1, succeeded=2)
    assert recent_ends(ints(), np.zeros(0, np.bool_), 5).failed_share == 0.0
