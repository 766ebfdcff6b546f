"""Models that learn: what an hour shows, trees as values, paths of a fit, and what both fall back on."""

import math
import sys
from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from demands import DAY_US, NORTH, SOUTH, busy_days, hourly, peak_of, two_pools, value_at

from sublet.core.errors import Unavailable
from sublet.core.forecast import FORECASTS, History, Series
from sublet.core.forecast.boosted import LEVELS, Boosted, Trees
from sublet.core.forecast.forest import planted
from sublet.core.forecast.hours import HORIZON_MAX_US, Hours, hours_of, rises, rows
from sublet.core.forecast.statistical import Path, Paths, Statistical
from sublet.core.forecast.window_max_quantile import Rises
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US, MINUTE_US

NOW = 16 * DAY_US + 999
FLEET = two_pools(20)
NAN = float("nan")


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


# ------------------------------------------------------------------------------------------------- what an hour shows


def test_hours_end_with_the_instant_and_hold_shares_of_the_capacity() -> None:
    series = replace(FLEET[NORTH], gaps=((3 * DAY_US, 3 * DAY_US + HOUR_US),))
    hours = hours_of(series, last_us=5 * DAY_US + 7, horizon_us=4 * HOUR_US)
    assert len(hours.ends_us) == 120 and hours.ends_us[-1] == 5 * DAY_US + 7
    for i, end in enumerate(hours.ends_us.tolist()):
        in_gap = series.gaps[0][0] <= end < series.gaps[0][1]
        level, peak = value_at(series.history, end), peak_of(series.history, end - HOUR_US + 1, end + 1)
        assert level is not None and peak is not None
        assert math.isnan(hours.level[i]) if in_gap else hours.level[i] == level / 64
        touches = end >= series.gaps[0][0] and end - HOUR_US + 1 < series.gaps[0][1]
        assert math.isnan(hours.peak[i]) if touches else hours.peak[i] == peak / 64


def test_before_the_record_there_are_no_hours() -> None:
    none = Series(NORTH, History(ints(), ints()), 8)
    assert not len(hours_of(none, last_us=DAY_US, horizon_us=HOUR_US).ends_us)
    assert not len(hours_of(hourly([3]), last_us=HOUR_US - 1, horizon_us=HOUR_US).ends_us)
    assert len(hours_of(FLEET[NORTH], last_us=9 * DAY_US, horizon_us=HOUR_US, from_us=8 * DAY_US).ends_us) == 24


def slow_row(hours: Hours, i: int, horizon: int) -> list[float]:
    """What one hour shows, one number after the other."""

    def at(values: np.ndarray[tuple[int], np.dtype[np.float64]], index: int) -> float:
        return float(values[index]) if index >= 0 else NAN

    def known(values: np.ndarray[tuple[int], np.dtype[np.float64]], span: int) -> list[float]:
        return [v for v in (at(values, j) for j in range(i - span + 1, i + 1)) if not math.isnan(v)]

    level, rise = at(hours.level, i), rises(hours)
    row = [level, at(hours.peak, i) - level]
    row += [level - at(hours.level, i - lag) for lag in (1, 2, 3, 4, 6, 8, 12, 24, 168)]
    for span in (3, 6, 12, 24, 72, 168):
        row += [max(known(hours.peak, span), default=NAN) - level, min(known(hours.level, span), default=NAN) - level]
    for span in (24, 168):
        values = known(hours.level, span)
        row += [float(np.mean(values)) - level, float(np.std(values))]
    hour = int(hours.ends_us[i]) // HOUR_US
    row += [hour % 24, hour // 24 % 7]
    for days in (1, 2, 3, 7, 14):
        over = days * 24 >= horizon
        row += [at(hours.ahead, i - 24 * days) - level if over else NAN, at(rise, i - 24 * days) if over else NAN]
    past = sorted(v for d in range(-(-horizon // 24), 15) if not math.isnan(v := at(rise, i - 24 * d)))
    return [*row, *([float(np.mean(past)), past[-1], past[-(-4 * len(past) // 5) - 1]] if past else [NAN] * 3)]


@pytest.mark.parametrize("horizon", [1, 4, 30, 168])
def test_rows_are_what_a_slow_look_at_the_hours_finds(horizon: int) -> None:
    series = replace(busy_days(20, seed=5), gaps=((6 * DAY_US, 6 * DAY_US + 9 * HOUR_US), (18 * DAY_US, 18 * DAY_US + HOUR_US)))
    hours = hours_of(series, last_us=19 * DAY_US + 5, horizon_us=horizon * HOUR_US)
    shown = rows(hours, horizon * HOUR_US)
    for i in (0, 1, 30, 150, 155, 300, 433, 455):
        np.testing.assert_allclose(shown[i], slow_row(hours, i, horizon), rtol=1e-9, atol=1e-12, err_msg=str(i))


# --------------------------------------------------------------------------------------------------------------- trees


@pytest.mark.parametrize("blanks", [0.0, 0.2])
def test_a_planted_forest_says_what_the_library_says(blanks: float) -> None:
    rng = np.random.default_rng(4)
    shown = rng.normal(size=(800, 5))
    shown[rng.random(shown.shape) < blanks] = np.nan
    came = np.nan_to_num(shown[:, 0]) + 0.2 * rng.normal(size=800)
    shape = {"objective": "quantile", "alpha": 0.8, "num_leaves": 7, "verbose": -1, "num_threads": 1, "deterministic": True}
    booster = lightgbm.train(shape, lightgbm.Dataset(shown, came, params={"verbose": -1}), 20)
    asked = rng.normal(size=(300, 5))
    asked[rng.random(asked.shape) < 0.3] = np.nan
    forest = planted(booster.dump_model()["tree_info"])
    np.testing.assert_allclose(forest.values(asked), booster.predict(asked), rtol=1e-12, atol=1e-12)


def test_trees_learn_the_morning_from_the_mornings_before() -> None:
    """Demand is 10 at night and 50 by day, on days drawn by chance; a level can tell only at what hour a rise is due."""
    rng = np.random.default_rng(2)
    busy = np.repeat(rng.random(30) < 0.7, 24)
    hours = np.arange(24 * 30)
    series = hourly(np.where(busy & (hours % 24 >= 9) & (hours % 24 < 18), 50, 10))
    now = 25 * DAY_US - 1
    model = Boosted().learn({NORTH: series}, 4 * HOUR_US, now)
    assert isinstance(model, Trees)
    night, eve = model.at(series, ints(now + 2 * HOUR_US, now + 7 * HOUR_US)).samples
    assert night[179] < 15, "between 1 and 5 in the night nothing rises"
    assert eve[179] > 45 and eve[9] < 15, "by 10 in the morning it does, on most days"
    blind = Rises(4 * HOUR_US).at(series, ints(now + 2 * HOUR_US)).samples[0]
    assert blind[179] > 45, "rises alone do not know the hour"


def test_samples_between_learnt_levels_rise_through_them() -> None:
    model = Boosted().learn(FLEET, 4 * HOUR_US, NOW)
    assert isinstance(model, Trees) and len(model.forests) == len(LEVELS)
    samples = model.at(FLEET[NORTH], ints(NOW)).samples[0]
    hours = hours_of(FLEET[NORTH], last_us=NOW, horizon_us=4 * HOUR_US)
    shown = np.append(rows(hours, 4 * HOUR_US)[-1], 0.0)[np.newaxis]
    learnt = np.maximum.accumulate([np.mean([forest.values(shown)[0] for forest in level]) for level in model.forests])
    now = value_at(FLEET[NORTH].history, NOW)
    assert now is not None
    for level, share in zip(LEVELS, learnt.tolist(), strict=True):
        assert samples[round(level * 200) - 1] == now + max(0, math.ceil(share * 64 - 1e-6)), level
    assert samples[-1] >= samples[-2]


@pytest.mark.parametrize(
    ("fleet", "horizon", "now"),
    [
        (FLEET, 10 * MINUTE_US, NOW),
        (FLEET, HORIZON_MAX_US + HOUR_US, NOW),
        ({NORTH: busy_days(3, seed=1)}, HOUR_US, 3 * DAY_US),  # 71 rows, and 168 are needed
        ({NORTH: busy_days(9, seed=1)}, 30 * HOUR_US, 9 * DAY_US),  # 186 rows, and 7 windows are 210
    ],
    ids=["below an hour", "too far ahead", "few hours", "few windows"],
)
def test_what_trees_cannot_learn_past_rises_answer(fleet: dict[PoolId, Series], horizon: int, now: int) -> None:
    assert Boosted().learn(fleet, horizon, now) == Rises(horizon)
    assert isinstance(Boosted().learn(FLEET, HOUR_US, NOW), Trees), "that is not how it always is"


def test_a_pool_without_a_record_is_unknown_to_trees() -> None:
    empty = replace(FLEET[NORTH], history=History(ints(), ints()))
    model = Boosted().learn(FLEET, HOUR_US, NOW)
    assert isinstance(model, Trees) and not model.at(empty, ints(NOW)).known.any()


def test_where_a_leaf_has_to_hold_nearly_everything_trees_say_what_is_usual() -> None:
    """A week ahead, five windows one after the other are most of a month: no tree can split that, and none overfits it."""
    month, week = two_pools(32), 7 * DAY_US
    model = Boosted().learn(month, week, 32 * DAY_US - 1)
    assert isinstance(model, Trees)
    series = month[NORTH]
    early, late = model.at(series, ints(31 * DAY_US, 32 * DAY_US - 1)).samples
    now = [value_at(series.history, at) for at in (31 * DAY_US, 32 * DAY_US - 1)]
    assert now[0] is not None and now[1] is not None
    assert (early - now[0]).tolist() == (late - now[1]).tolist() and late[179] > late[99] > now[1]


def test_a_pool_that_came_later_is_answered_from_what_the_others_taught_after_its_first_day() -> None:
    late = busy_days(20, seed=9, pool=PoolId("late"))
    fresh = replace(late, history=History(late.history.at_us[-60:], late.history.gpus[-60:]))
    begin = int(fresh.history.at_us[0])
    model = Boosted().learn({NORTH: FLEET[NORTH]}, HOUR_US, begin)
    assert model.at(fresh, begin + ints(23 * HOUR_US, 24 * HOUR_US)).known.tolist() == [False, True]


# ---------------------------------------------------------------------------------------------------------------- paths


def test_a_path_rises_to_its_largest_hour_within_the_horizon() -> None:
    path = Path(np.array([5.0, 3.0, 9.0, 4.0, 2.0]), ints())
    assert path.rise(ints(0, 1, 2), 2).tolist() == [4.0, 6.0, 0.0]


def test_a_fit_knows_the_day_and_says_nothing_outside_its_path() -> None:
    hours = np.arange(24 * 30)
    rng = np.random.default_rng(8)
    series = hourly(np.where((hours % 24 >= 9) & (hours % 24 < 18), 50, 10) + rng.integers(0, 3, len(hours)))
    now = 22 * DAY_US - 1
    model = Statistical().learn({NORTH: series, SOUTH: hourly([4] * 80, pool=SOUTH)}, 4 * HOUR_US, now)
    night, eve = model.at(series, now + ints(2 * HOUR_US, 7 * HOUR_US)).samples
    assert night[179] < 20 and 48 <= eve[99] <= 56
    assert isinstance(model, Paths) and set(model.of) == {NORTH, SOUTH}
    week = 7 * DAY_US
    assert model.at(series, now + ints(-1, 0, week, week + HOUR_US)).known.tolist() == [False, True, True, False]
    assert not model.at(replace(series, pool=PoolId("other")), ints(now)).known.any()


@pytest.mark.parametrize(
    ("series", "horizon"),
    [
        (hourly([1] * 70), HOUR_US),  # 23 hours unseen, 47 to fit
        (hourly([1] * 200), 60 * HOUR_US),  # 66 hours unseen
        (replace(hourly([1] * 120), gaps=((70 * HOUR_US, 200 * HOUR_US),)), HOUR_US),  # no error can be seen
        (replace(hourly([1] * 120), gaps=((0, 200 * HOUR_US),)), HOUR_US),
    ],
    ids=["no fit", "no errors", "the end in a gap", "all in a gap"],
)
def test_a_short_record_has_no_path(series: Series, horizon: int) -> None:
    now = 120 * HOUR_US - 1 if len(series.history.at_us) == 120 else int(series.history.at_us[-1]) + HOUR_US - 1
    model = Statistical().learn({NORTH: series}, horizon, now)
    assert isinstance(model, Paths) and model.of == {}


def test_an_hour_in_a_gap_is_as_the_one_before_it() -> None:
    hours = np.arange(24 * 12)
    series = hourly(20 + 10 * (hours % 24 >= 12))
    holed = replace(series, gaps=((100 * HOUR_US, 101 * HOUR_US),))
    now = 12 * DAY_US - 1
    whole, with_hole = (Statistical().learn({NORTH: s}, HOUR_US, now).at(s, ints(now)) for s in (series, holed))
    assert whole.known.all() and with_hole.samples.tolist() == whole.samples.tolist()


def test_below_an_hour_past_rises_answer_for_a_fit_too() -> None:
    assert Statistical().learn(FLEET, 59 * MINUTE_US, NOW) == Rises(59 * MINUTE_US)


def test_without_its_library_the_fit_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    with pytest.raises(Unavailable, match="statsforecast") as refused:
        FORECASTS["statistical"].learn(FLEET, HOUR_US, NOW)
    assert refused.value.field == "forecast" and "pip install 'sublet[study]'" in (refused.value.hint or "")
