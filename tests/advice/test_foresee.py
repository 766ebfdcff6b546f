"""What a replay is told of the future: the forecasts of each hour, with a calibration that has run before the market opens."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from sublet.advice.study.foresee import Asked, foreseen, hours_of
from sublet.app.calibrating import risks_of
from sublet.core.forecast import FORECASTS, History, Series
from sublet.core.forecast.rolling import looked_ahead, rolled
from sublet.core.forecast.series import window_peaks
from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, MINUTE_US

DAY_US = 24 * HOUR_US
H4 = 4 * HOUR_US
NORTH, SOUTH = PoolId("north"), PoolId("south")
GPUS = {NORTH: 64, SOUTH: 16}
POOLS = {name: Pool(name, "H100", lending_risk=0.1) for name in GPUS}
OPEN_US, UNTIL_US = 10 * DAY_US, 13 * DAY_US
METHOD = "window_max_quantile"


def series_of(pool: PoolId, *, days: int = 14, seed: int) -> Series:
    rng, hours = np.random.default_rng(seed), np.arange(24 * days)
    share = 0.55 + 0.3 * np.sin(2 * np.pi * (hours % 24 - 8) / 24) + 0.1 * rng.standard_normal(len(hours))
    gpus = np.clip(GPUS[pool] * share, 0, 1.1 * GPUS[pool]).astype(np.int64)
    return Series(pool, History(HOUR_US * hours.astype(np.int64), gpus), GPUS[pool])


PAST = {pool: series_of(pool, seed=seed) for seed, pool in enumerate(GPUS)}


def asked(
    *,
    past: Mapping[PoolId, Series] = PAST,
    pools: Mapping[PoolId, Pool] = POOLS,
    open_us: int = OPEN_US,
    until_us: int = UNTIL_US,
) -> Asked:
    return Asked(past, pools, hours_of(open_us, until_us), (10 * MINUTE_US,))


def shifts_of(question: Asked, *, calibrated: bool = True, pool: PoolId = NORTH, horizon_us: int = H4) -> list[float]:
    found = foreseen(question, METHOD, calibrated=calibrated, progress=lambda _share: None)[pool]
    return [found.at(int(hour), 0).shifts[horizon_us] for hour in question.hours_us]


def rolled_from(first_us: int, past: Mapping[PoolId, Series] = PAST) -> list[float]:
    """The shifts of the studied hours, calibration having begun at an instant."""
    instants = np.arange(first_us, UNTIL_US - 1, HOUR_US, dtype=np.int64)
    ahead = looked_ahead(past, FORECASTS[METHOD], instants, H4)
    peaks = np.stack([window_peaks(series, instants, H4) for series in past.values()], axis=1)
    capacity = np.array([GPUS[pool] for pool in past], np.int64)
    risks = np.array([[risks_of(POOLS[pool])[H4] for pool in past]])
    shifts: list[float] = rolled(ahead, capacity, peaks, risks, H4, HOUR_US)[1][0].tolist()
    return shifts[-len(hours_of(OPEN_US, UNTIL_US)) :]


def test_calibration_has_run_over_the_later_half_of_the_record_before_the_market_opens() -> None:
    shifts = shifts_of(asked())
    assert shifts == rolled_from(OPEN_US // 2 - 1)
    assert shifts[0] != 0.0 and len(set(shifts)) > 10
    assert set(shifts_of(asked(), calibrated=False)) == {0.0}


def test_a_market_that_opens_with_the_record_has_nothing_to_have_learnt_from() -> None:
    question = asked(open_us=0, until_us=2 * DAY_US)
    assert shifts_of(question)[0] == 0.0


def test_of_a_long_record_the_last_four_weeks_teach() -> None:
    past = {pool: series_of(pool, days=70, seed=seed) for seed, pool in enumerate(GPUS)}
    question = asked(past=past, open_us=65 * DAY_US, until_us=65 * DAY_US + 3 * HOUR_US)
    early = {pool: replace(series, gaps=((3 * DAY_US, 8 * DAY_US),)) for pool, series in past.items()}
    assert shifts_of(question) == shifts_of(replace(question, past=early)), "what the first weeks brought is not looked at"
    late = {pool: replace(series, gaps=((38 * DAY_US, 64 * DAY_US),)) for pool, series in past.items()}
    assert shifts_of(question) != shifts_of(replace(question, past=late))


def test_the_studied_hours_are_told_the_same_forecasts_with_and_without_a_lead_in() -> None:
    question, told = asked(), list[float]()
    plain = foreseen(question, METHOD, calibrated=False, progress=told.append)
    found = foreseen(question, METHOD, calibrated=True, progress=lambda _share: None)
    assert told[-1] == 1.0 and told == sorted(told)
    for pool in GPUS:
        for hour in question.hours_us.tolist():
            ours, theirs = found[pool].at(hour, 3).forecasts, plain[pool].at(hour, 3).forecasts
            assert {at: one.samples.tolist() for at, one in ours.items()} == {
                at: one.samples.tolist() for at, one in theirs.items()
            }
            assert {H4, 10 * MINUTE_US} < ours.keys()
    assert found[NORTH].at(OPEN_US - 1, 3).forecasts == {}


def test_nothing_is_known_too_early() -> None:
    at = PAST[NORTH].history.at_us
    cut = OPEN_US + DAY_US
    other = {
        pool: replace(series, history=History(at, np.where(at >= cut, 0, series.history.gpus))) for pool, series in PAST.items()
    }
    seen, blind = (shifts_of(asked(past=past)) for past in (PAST, other))
    assert seen[: 24 + 1] == blind[: 24 + 1] and seen[-1] != blind[-1]


def test_the_risk_that_is_lent_at_counts_and_a_pool_that_lends_at_none_teaches_nothing() -> None:
    free = Pool(SOUTH, "H100", classes=(LeaseClass.SPOT,), terms=POOLS[SOUTH].terms)
    assert risks_of(POOLS[NORTH])[H4] == 0.1 and not risks_of(free)
    shifts = shifts_of(asked(pools={**POOLS, SOUTH: free}))
    assert shifts == rolled_from(OPEN_US // 2 - 1, {NORTH: PAST[NORTH]}) != rolled_from(OPEN_US // 2 - 1)
    nobody = asked(pools={pool: replace(POOLS[pool], classes=(LeaseClass.SPOT,), lending_risk=None) for pool in GPUS})
    assert set(shifts_of(nobody)) == {0.0}


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_period_without_an_hour_and_a_fleet_without_a_record_are_told_nothing(calibrated: bool) -> None:  # noqa: FBT001
    none = foreseen(asked(open_us=5, until_us=9), METHOD, calibrated=calibrated, progress=lambda _share: None)
    assert none[NORTH].at(9, 0).forecasts == {}
    blank = {
        pool: replace(series, history=History(np.empty(0, np.int64), np.empty(0, np.int64))) for pool, series in PAST.items()
    }
    found = foreseen(asked(past=blank), METHOD, calibrated=calibrated, progress=lambda _share: None)
    assert found[NORTH].at(OPEN_US, 0).forecasts == {}
