"""Every row of FORECASTS keeps the same promises; the simple methods are what their pages say."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from demands import DAY_US, NORTH, SOUTH, busy_days, history_of, hourly, peak_of, two_pools, value_at
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.forecast import FORECASTS, SAMPLES, History, Series, WindowMax
from sublet.core.forecast.hourly_marginals import HourlyMarginals
from sublet.core.forecast.last_week_peak import LastWeekPeak, whole_periods
from sublet.core.forecast.method import WEEK_US, as_it_grows, begin_us
from sublet.core.forecast.seasonal_naive import SeasonalNaive
from sublet.core.forecast.trailing import TRAILING_US, WINDOWS_MIN, Grid, grids
from sublet.core.forecast.window import UNKNOWN, rank_of
from sublet.core.forecast.window_max_quantile import WindowMaxQuantile
from sublet.core.units import HOUR_US, MINUTE_US

settings.register_profile("core", deadline=None, derandomize=True, max_examples=150)
PROFILE = settings.get_profile("core")

every_method = pytest.mark.parametrize("name", FORECASTS)
QUARTER = 15 * MINUTE_US
HORIZONS = [QUARTER, HOUR_US, 90 * MINUTE_US, 4 * HOUR_US, 24 * HOUR_US]
NOW = 15 * DAY_US + 12_345
FLEET = two_pools(18)


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def empty(pool: Series) -> Series:
    return replace(pool, history=History(ints(), ints()))


# ------------------------------------------------------------------------------------------------- every row of the dict


@every_method
@pytest.mark.parametrize("horizon", HORIZONS)
def test_samples_are_sorted_not_below_the_demand_now_and_the_same_one_by_one(name: str, horizon: int) -> None:
    model = FORECASTS[name].learn(FLEET, horizon, NOW)
    instants = NOW + ints(0, 1, HOUR_US // 3, HOUR_US, 2 * HOUR_US, 30 * HOUR_US)
    for series in FLEET.values():
        ahead = model.at(series, instants)
        assert ahead.samples.shape == (len(instants), SAMPLES) and ahead.samples.dtype == np.int64
        assert ahead.known.all(), "two weeks are enough for everybody"
        assert (np.diff(ahead.samples, axis=1) >= 0).all()
        assert (ahead.samples[:, 0] >= [value_at(series.history, int(at)) for at in instants]).all()
        for row, instant in enumerate(instants.tolist()):
            alone = model.at(series, ints(instant))
            assert alone.row(0).samples.tolist() == ahead.row(row).samples.tolist()


@every_method
@pytest.mark.parametrize("horizon", [QUARTER, 4 * HOUR_US])
def test_learning_twice_is_learning_the_same(name: str, horizon: int) -> None:
    once, again = (FORECASTS[name].learn(FLEET, horizon, NOW).at(FLEET[NORTH], ints(NOW)) for _ in range(2))
    assert once.samples.tolist() == again.samples.tolist()


def changed_after(series: Series, instant: int, *, seed: int) -> Series:
    """The same demand up to an instant, and another world after it."""
    at, gpus = series.history.at_us, series.history.gpus
    before = at <= instant
    rng = np.random.default_rng(seed)
    later = np.unique(instant + rng.integers(1, 3 * DAY_US, 40))
    history = History(np.append(at[before], later), np.append(gpus[before], rng.integers(0, 500, len(later))))
    return replace(series, history=history, gaps=((instant + DAY_US, instant + DAY_US + HOUR_US),))


@every_method
@pytest.mark.parametrize("horizon", [QUARTER, HOUR_US, 24 * HOUR_US])
@settings(PROFILE, max_examples=3)
@given(seed=st.integers(0, 10_000), offset=st.integers(0, 20 * HOUR_US))
def test_no_sample_moves_when_the_future_does(name: str, horizon: int, seed: int, offset: int) -> None:
    now = NOW + offset
    other = {pool: changed_after(series, now, seed=seed) for pool, series in FLEET.items()}
    learnt_us = now - 3 * HOUR_US
    instants = now - ints(26 * HOUR_US, 3 * HOUR_US, 1, 0)
    if FORECASTS[name].renew_us(0) is not None:
        instants = instants[1:]  # a model says nothing of the time before it was learnt
    for pool, series in FLEET.items():
        seen = FORECASTS[name].learn(FLEET, horizon, learnt_us).at(series, instants)
        blind = FORECASTS[name].learn(other, horizon, learnt_us).at(other[pool], instants)
        assert seen.samples.tolist() == blind.samples.tolist() and seen.known.tolist() == blind.known.tolist()
        assert seen.known.all()


@every_method
@pytest.mark.parametrize("horizon", [QUARTER, HOUR_US, 24 * HOUR_US])
def test_nothing_is_learnt_from_what_comes_later(name: str, horizon: int) -> None:
    other = {pool: changed_after(series, NOW, seed=3) for pool, series in FLEET.items()}
    for pool, series in FLEET.items():
        seen = FORECASTS[name].learn(FLEET, horizon, NOW).at(series, ints(NOW))
        blind = FORECASTS[name].learn(other, horizon, NOW).at(series, ints(NOW))
        assert seen.samples.tolist() == blind.samples.tolist(), pool


@every_method
@pytest.mark.parametrize("horizon", [QUARTER, 4 * HOUR_US])
def test_what_lies_in_a_gap_is_never_learnt_from(name: str, horizon: int) -> None:
    gap = (9 * DAY_US, 9 * DAY_US + 7 * HOUR_US)
    at = FLEET[NORTH].history.at_us
    outcomes = []
    for wild in (0, 10_000):
        gpus = np.where((at >= gap[0]) & (at < gap[1] - HOUR_US), wild, FLEET[NORTH].history.gpus)
        history = history_of([*zip(at.tolist(), gpus.tolist(), strict=True)])
        north = replace(FLEET[NORTH], history=history, gaps=(gap,))
        fleet = {**FLEET, NORTH: north}
        ahead = FORECASTS[name].learn(fleet, horizon, NOW).at(north, ints(NOW, NOW + HOUR_US))
        assert ahead.known.all() and ahead.samples.max() < 10_000
        outcomes.append(ahead.samples.tolist())
    assert outcomes[0] == outcomes[1]


@every_method
@pytest.mark.parametrize("horizon", [QUARTER, 4 * HOUR_US])
def test_too_little_on_record_is_unknown_and_promises_nothing(name: str, horizon: int) -> None:
    nothing, begun = empty(FLEET[NORTH]), Series(NORTH, history_of([(NOW - 60, 5)]), 8)
    lost = replace(FLEET[NORTH], gaps=((NOW - 10, NOW + 10),))
    for fleet, series in (({}, nothing), ({NORTH: nothing}, nothing), ({NORTH: begun}, begun), (FLEET, lost)):
        ahead = FORECASTS[name].learn(fleet, horizon, NOW).at(series, ints(NOW - 120, NOW))
        assert not ahead.known[1] and not ahead.samples[1].any()
        assert ahead.row(1).quantile(0.9) is None and ahead.row(1).exceeds(10**9) == 1.0
    assert not FORECASTS[name].learn(FLEET, horizon, NOW).at(FLEET[NORTH], ints()).known.size


@pytest.mark.parametrize("name", [name for name in FORECASTS if name != "statistical"])  # whose fit is a search, not a formula
@pytest.mark.parametrize("horizon", [HOUR_US, 24 * HOUR_US])
def test_a_pool_four_times_as_large_has_four_times_the_demand_ahead(name: str, horizon: int) -> None:
    larger = {
        pool: replace(series, history=History(series.history.at_us, 4 * series.history.gpus), capacity=4 * series.capacity)
        for pool, series in FLEET.items()
    }
    instants = NOW + ints(0, 5 * HOUR_US)
    small = FORECASTS[name].learn(FLEET, horizon, NOW).at(FLEET[NORTH], instants).samples
    large = FORECASTS[name].learn(larger, horizon, NOW).at(larger[NORTH], instants).samples
    assert ((large <= 4 * small) & (large > 4 * (small - 1))).all(), "the same share of the pool, rounded up to whole GPUs"


@every_method
def test_renewal_is_by_growth_or_not_at_all(name: str) -> None:
    spans = [0, DAY_US, 14 * DAY_US, 400 * DAY_US]
    lasts = [FORECASTS[name].renew_us(span) for span in spans]
    assert lasts in ([None] * 4, [DAY_US, DAY_US, 14 * DAY_US // 8, WEEK_US])


# -------------------------------------------------------------------------------------------------------- one by one


@st.composite
def records(draw: st.DrawFn, *, span_h: int) -> Series:
    """Demand that changes at a few hours."""
    at = sorted(draw(st.sets(st.integers(0, span_h), min_size=1, max_size=25)))
    return Series(NORTH, history_of([(hour * HOUR_US, draw(st.integers(0, 50))) for hour in at]), 50)


@PROFILE
@given(series=records(span_h=400), now=st.integers(0, 500), horizon=st.integers(1, 400))
def test_last_week_peak_is_the_larger_of_now_and_the_same_window_whole_weeks_ago(
    series: Series, now: int, horizon: int
) -> None:
    now_us, horizon_us = now * HOUR_US, horizon * HOUR_US
    (found,) = (LastWeekPeak().learn({}, horizon_us, now_us).at(series, ints(now_us)).row(0),)
    back = now_us - (WEEK_US if horizon <= 168 else 2 * WEEK_US if horizon <= 336 else 3 * WEEK_US)
    peak, level = peak_of(series.history, back, back + horizon_us), value_at(series.history, now_us)
    assert set(found.samples.tolist()) == (set() if peak is None or level is None else {max(peak, level)})


def windows_of(series: Series, now_us: int, horizon_us: int) -> tuple[Iterator[int], int]:
    """The beginnings of the past windows that count at an instant, and their number."""
    (grid,) = grids(ints(now_us), int(series.history.at_us[0]), horizon_us)
    starts = [start for start in grid.starts.tolist() if grid.since_us[0] <= start <= now_us - horizon_us]
    return iter(starts), len(starts)


def drawn(values: list[int]) -> list[int]:
    """SAMPLES quantiles of values."""
    held = sorted(values)
    return [held[-(-(i + 1) * len(held) // SAMPLES) - 1] for i in range(SAMPLES)]


@settings(PROFILE, max_examples=60)
@given(series=records(span_h=60), later=st.integers(0, 30), horizon=st.sampled_from([HOUR_US // 2, HOUR_US, 5 * HOUR_US]))
def test_window_max_quantile_adds_past_rises_to_the_demand_now(series: Series, later: int, horizon: int) -> None:
    now = int(series.history.at_us[-1]) + later * HOUR_US + 777
    found = WindowMaxQuantile().learn({}, horizon, now).at(series, ints(now)).row(0)
    if now - series.history.at_us[0] < horizon:
        assert not len(found.samples)
        return
    starts, count = windows_of(series, now, horizon)
    rises = []
    for start in starts:
        peak, level = peak_of(series.history, start, start + horizon), value_at(series.history, start)
        assert peak is not None and level is not None
        rises.append(peak - level)
    if count < WINDOWS_MIN:
        assert not len(found.samples)
        return
    now_level = value_at(series.history, now)
    assert now_level is not None
    assert found.samples.tolist() == [now_level + rise for rise in drawn(rises)]


@settings(PROFILE, max_examples=40)
@given(seed=st.integers(0, 99), hours=st.integers(26, 120), horizon=st.sampled_from([HOUR_US, 5 * HOUR_US]))
def test_seasonal_naive_adds_past_errors_to_the_window_of_a_period_ago(seed: int, hours: int, horizon: int) -> None:
    series = busy_days(5, seed=seed)
    now = hours * HOUR_US + 99
    found = SeasonalNaive(DAY_US).learn({}, horizon, now).at(series, ints(now)).row(0)
    errors = []
    starts, _ = windows_of(series, now, horizon)
    for start in starts:
        guess = peak_of(series.history, start - DAY_US, start - DAY_US + horizon)
        came = peak_of(series.history, start, start + horizon)
        if guess is not None and came is not None:
            errors.append(came - guess)
    if len(errors) < WINDOWS_MIN:
        assert not len(found.samples)
        return
    guess, level = peak_of(series.history, now - DAY_US, now - DAY_US + horizon), value_at(series.history, now)
    assert guess is not None and level is not None
    assert found.samples.tolist() == [max(level, guess + error) for error in drawn(errors)]


def test_hours_apart_see_less_than_the_window_and_the_same_within_an_hour() -> None:
    instants = NOW + HOUR_US * np.arange(48, dtype=np.int64)
    for horizon in (QUARTER, HOUR_US):
        apart = HourlyMarginals().learn({}, horizon, NOW).at(FLEET[NORTH], instants).samples
        whole = WindowMaxQuantile().learn({}, horizon, NOW).at(FLEET[NORTH], instants).samples
        assert apart.tolist() == whole.tolist()
    apart = HourlyMarginals().learn({}, 8 * HOUR_US, NOW).at(FLEET[NORTH], instants).samples
    whole = WindowMaxQuantile().learn({}, 8 * HOUR_US, NOW).at(FLEET[NORTH], instants).samples
    assert (apart <= whole).all() and (apart < whole).mean() > 0.5, "the largest of quantiles is no quantile of the largest"


def test_a_new_installation_knows_an_hour_ahead_after_about_one_and_a_half() -> None:
    steady = Series(NORTH, history_of([(0, 3)]), 8)
    for horizon in (HOUR_US, 4 * HOUR_US, 8 * HOUR_US, 24 * HOUR_US):
        instants = ints(int(1.2 * horizon), int(1.5 * horizon))
        assert WindowMaxQuantile().learn({}, horizon, 0).at(steady, instants).known.tolist() == [False, True]


def test_only_four_weeks_back_count() -> None:
    hours = np.arange(24 * 60)
    series = hourly(np.where(hours < 24 * 30, hours % 2 * 1000, hours % 24), capacity=2_000)
    now = ints(int(hours[-1]) * HOUR_US)
    for method in (WindowMaxQuantile(), SeasonalNaive(DAY_US), HourlyMarginals()):
        assert method.learn({}, 4 * HOUR_US, int(now[0])).at(series, now).samples.max() < 100


@PROFILE
@given(
    first=st.integers(0, 10 * DAY_US),
    offsets=st.lists(st.integers(0, 40 * DAY_US), min_size=1, max_size=6, unique=True),
    horizon=st.integers(1, 3 * DAY_US),
)
def test_past_windows_end_with_each_instant_and_are_neither_many_nor_too_old(
    first: int, offsets: list[int], horizon: int
) -> None:
    instants = first + np.array(sorted(offsets), np.int64)
    seen: list[Grid] = list(grids(instants, first, horizon))
    rows = sorted(row for grid in seen for row in grid.rows.tolist())
    assert rows == [i for i, at in enumerate(instants.tolist()) if at - first >= horizon]
    for grid in seen:
        for instant, since in zip(grid.instants.tolist(), grid.since_us.tolist(), strict=True):
            mine = grid.starts[(grid.starts >= since) & (grid.starts <= instant - horizon)]
            assert mine[-1] == instant - horizon, "the last window is never missed"
            assert since == max(first, instant - TRAILING_US) and len(set(np.diff(mine).tolist())) <= 1
            assert len(mine) <= 4_097 and len(mine) <= 32 * (TRAILING_US // horizon + 1) + 1


def test_whole_periods_are_no_shorter_than_the_horizon() -> None:
    assert [whole_periods(10, horizon) for horizon in (1, 10, 11, 30)] == [10, 10, 20, 30]
    assert [as_it_grows(days * DAY_US) / DAY_US for days in (0, 8, 16, 56, 300)] == [1, 1, 2, 7, 7]
    assert begin_us(FLEET) == 0 and begin_us({SOUTH: empty(FLEET[SOUTH])}) is None


# ------------------------------------------------------------------------------------------------------------ the values


@PROFILE
@given(samples=st.lists(st.integers(0, 30), min_size=1, max_size=60), q=st.floats(0, 1), gpus=st.integers(-1, 31))
def test_quantile_and_exceedance_agree(samples: list[int], q: float, gpus: int) -> None:
    known = WindowMax(np.array(sorted(samples), np.int64))
    assert known.exceeds(gpus) == sum(s > gpus for s in samples) / len(samples)
    bound = known.quantile(q)
    assert bound in samples
    assert known.exceeds(bound) <= 1 - q + 1e-9
    smaller = [s for s in samples if s < bound]
    if smaller:
        assert 1 - known.exceeds(max(smaller)) < q + 1e-9, "no smaller sample would do"


def test_unknown_exceeds_everything_and_no_history_has_no_demand() -> None:
    assert (UNKNOWN.exceeds(10**6), UNKNOWN.quantile(0.5)) == (1.0, None)
    assert (empty(FLEET[NORTH]).history.now(), history_of([(0, 1), (5, 7)]).now()) == (0, 7)


@pytest.mark.parametrize(
    ("q", "rank"), [(0.0, 0), (0.005, 0), (0.0051, 1), (0.9, 179), (0.995, 198), (0.9951, 199), (1.0, 199)]
)
def test_a_level_is_never_rounded_down(q: float, rank: int) -> None:
    assert rank_of(q, SAMPLES) == rank
