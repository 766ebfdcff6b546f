"""Forecasts of the running system, from the recorded demand of a real store to the shifts that a round is told."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from sublet.app import learning
from sublet.app.calibrating import risks_of
from sublet.app.demand_record import KEPT_US, NO_HISTORY, joined
from sublet.app.forecasting import Forecaster, horizons
from sublet.app.learning import FALLBACK, RETRY_US, Job, Models, in_background
from sublet.app.requests import shop
from sublet.app.world import read_view
from sublet.core.errors import Unavailable
from sublet.core.forecast import FORECASTS, Model, Series, WindowMax
from sublet.core.forecast.hourly_calibration import hours_until
from sublet.core.forecast.method import Past
from sublet.core.forecast.rolling import looked_ahead, rolled
from sublet.core.forecast.series import window_peaks
from sublet.core.forecast.trailing import TRAILING_US
from sublet.core.forecast.window import Ints
from sublet.core.ids import NodeId, PoolId, TenantId
from sublet.core.lease import LeaseClass
from sublet.core.ledger import tenant_accounts
from sublet.core.occupancy import Level
from sublet.core.pricing.floor import acceptable_risk, floor
from sublet.core.supply import peak_at_risk, risk_bound, risk_limit
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, MINUTE_US
from sublet.core.view import PoolView
from sublet.store import ledger, nodes, pools, spans, tenants
from sublet.store.database import Database, Tx
from sublet.store.nodes import NodeRow
from sublet.store.tenants import Tenant

DAY_US = 24 * HOUR_US
START_US = 20_000 * DAY_US
NORTH, SOUTH, ADA = PoolId("north"), PoolId("south"), TenantId("ada")
GPUS = {NORTH: 64, SOUTH: 16}
H4 = 4 * HOUR_US


class Later:
    """Runs what is to be learnt when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> None:
        self.jobs.append(job)

    def now(self) -> None:
        self.jobs.pop(0)()


class Taught:
    """A method that has to learn, quickly; it may fail at first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.learnt_us = list(failures), list[int]()

    def renew_us(self, span_us: int) -> int:
        del span_us
        return DAY_US

    def learn(self, past: Past, horizon_us: int, now_us: int) -> Model:
        self.learnt_us.append(now_us)
        if self.failures:
            raise self.failures.pop(0)
        return FORECASTS["last_week_peak"].learn(past, horizon_us, now_us)


def days_of(pool: PoolId, days: int, *, seed: int) -> list[Level]:
    """Demand that is low by night and comes back by day, with chance in it; one value an hour."""
    rng, hours = np.random.default_rng(seed), np.arange(24 * days)
    share = 0.55 + 0.3 * np.sin(2 * np.pi * (hours % 24 - 8) / 24) + 0.1 * rng.standard_normal(len(hours))
    gpus = np.clip(GPUS[pool] * share, 0, 1.1 * GPUS[pool]).astype(np.int64)
    return [Level(START_US + HOUR_US * int(hour), int(value)) for hour, value in zip(hours, gpus, strict=True)]


def note(tx: Tx, pool: PoolId, levels: Iterable[Level]) -> None:
    for level in levels:
        spans.note_demand(tx, pool, level)


def recorded(database: Database, *, days: int = 0, **settings: object) -> tuple[Pool, Pool]:
    """Two pools with their nodes and so many days of demand."""
    made = tuple(replace(Pool(name, "H100"), **settings) for name in GPUS)  # type: ignore[arg-type]
    with database.write() as tx:
        for seed, pool in enumerate(made):
            pools.put(tx, pool, now_us=START_US)
            nodes.insert_all(tx, [NodeRow(NodeId(f"{pool.id}-{n}"), pool.id, 8, "H100") for n in range(GPUS[pool.id] // 8)])
            note(tx, pool.id, days_of(pool.id, days, seed=seed))
    return made[0], made[1]


def series_of(days: int) -> Mapping[PoolId, Series]:
    """The same demand as a forecast takes it."""
    found = {}
    for seed, (pool, capacity) in enumerate(GPUS.items()):
        levels = days_of(pool, days, seed=seed)
        found[pool] = Series(pool, joined(NO_HISTORY, levels, 0), capacity)
    return found


def asked(
    forecaster: Forecaster, database: Database, pool: Pool, now_us: int, demand: int | None = None
) -> Mapping[int, WindowMax]:
    with database.read() as tx:
        return forecaster.forecasts(tx, pool, now_us=now_us, demand=demand)


def known(forecasts: Mapping[int, WindowMax]) -> dict[int, list[int]]:
    return {horizon: ahead.samples.tolist() for horizon, ahead in forecasts.items()}


# --------------------------------------------------------------------------------------------------------- the forecasts


def test_the_recorded_demand_becomes_a_forecast_for_every_horizon_that_is_decided_on(database: Database) -> None:
    pool, _ = recorded(database, days=8)
    now = START_US + 8 * DAY_US - 5 * MINUTE_US
    found = asked(Forecaster(), database, pool, now)
    past = series_of(8)
    method = FORECASTS["window_max_quantile"]
    expected = {
        horizon: method.learn(past, horizon, now).at(past[NORTH], np.array([now])).row(0).samples.tolist()
        for horizon in horizons(pool)
    }
    assert known(found) == expected and all(expected.values())
    assert {HOUR_US, H4, 24 * HOUR_US} < found.keys() and PoolView(pool, 0, 0, 0, {}).lead_us in found


def test_the_horizon_of_a_lending_risk_is_looked_at_only_where_there_is_one() -> None:
    free = Pool(NORTH, "H100", lending_horizon_us=7 * HOUR_US)
    bound = replace(free, lending_risk=0.05)
    assert 7 * HOUR_US not in horizons(free) | risks_of(free).keys()
    assert horizons(bound) == horizons(free) | {7 * HOUR_US} and risks_of(bound)[7 * HOUR_US] == 0.05
    strict = replace(bound, lending_horizon_us=H4)
    guarded = acceptable_risk(free.price_micro, floor(free.cost).total_micro, free.terms[LeaseClass.GUARDED], H4)
    assert risks_of(free)[H4] == guarded > 0.05 == risks_of(strict)[H4], "the more careful of two"


def test_a_pool_without_a_record_promises_nothing_and_begins_to_know_with_its_first_hours(database: Database) -> None:
    pool, _ = recorded(database)
    forecaster, now = Forecaster(every_us=MINUTE_US), START_US
    assert not any(known(asked(forecaster, database, pool, now, demand=0)).values())
    with database.write() as tx:
        spans.note_demand(tx, NORTH, Level(START_US, 0))
    after = asked(forecaster, database, pool, START_US + 2 * HOUR_US, demand=0)
    assert after[HOUR_US].quantile(0.9) == 0 and after[24 * HOUR_US].quantile(0.9) is None


def test_what_the_owner_asks_for_now_counts_at_once_and_the_record_is_read_on_later(database: Database) -> None:
    pool, _ = recorded(database, days=3)
    forecaster, now = Forecaster(every_us=MINUTE_US), START_US + 3 * DAY_US
    before = asked(forecaster, database, pool, now)
    assert asked(forecaster, database, pool, now + 1) is before, "nothing changed: nothing is made again"
    risen = asked(forecaster, database, pool, now + 2, demand=63)
    assert risen[HOUR_US].quantile(0.01) == 63
    with database.write() as tx:
        spans.note_demand(tx, NORTH, Level(now + 3, 40))
    assert asked(forecaster, database, pool, now + 4)[HOUR_US] is risen[HOUR_US], "the record is a minute old at most"
    assert asked(forecaster, database, pool, now + MINUTE_US)[HOUR_US].quantile(0.01) == 40


def test_two_pools_are_read_once_and_what_is_too_old_is_let_go(database: Database) -> None:
    north, south = recorded(database, days=2)
    forecaster, late = Forecaster(), START_US + KEPT_US + DAY_US
    asked(forecaster, database, north, START_US + 2 * DAY_US)
    with database.write() as tx:
        spans.note_demand(tx, SOUTH, Level(late - 2 * HOUR_US, 9))
    assert asked(forecaster, database, south, late)[HOUR_US].quantile(0.5) == 9
    assert asked(forecaster, database, north, late)[HOUR_US].quantile(0.5) == days_of(NORTH, 2, seed=0)[-1].gpus


# ------------------------------------------------------------------------------------------------------ what has to learn


def test_a_method_learns_in_the_background_and_the_fallback_answers_until_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught, later, now = Taught(), Later(), START_US + 8 * DAY_US
    monkeypatch.setattr(learning, "FORECASTS", {**FORECASTS, "taught": taught})
    past = series_of(8)
    models = Models(later)
    fallback = FORECASTS[FALLBACK].learn(past, H4, now)
    assert models.of("taught", H4, past, now) == fallback and len(later.jobs) == 1 and not taught.learnt_us
    assert models.looked_back("taught", H4) is None
    assert models.of("taught", HOUR_US, past, now) == FORECASTS[FALLBACK].learn(past, HOUR_US, now)
    assert len(later.jobs) == 1, "one model is learnt at a time"
    later.now()
    assert models.of("taught", H4, past, now + 1) == FORECASTS["last_week_peak"].learn(past, H4, now)
    assert not later.jobs, "it is good for a day"
    old = models.of("taught", H4, past, now + DAY_US)
    assert old == FORECASTS["last_week_peak"].learn(past, H4, now) and len(later.jobs) == 1, "the old one answers meanwhile"
    before = models.looked_back("taught", H4)
    assert before is not None and before.from_us == (*(START_US + DAY_US * np.arange(9)).tolist(), now)
    assert taught.learnt_us == [now, *before.from_us[:-1]], "first the model of today, then those that it would have had"
    later.now()
    assert taught.learnt_us[10:] == [now + DAY_US] and models.looked_back("taught", H4) is before


@pytest.mark.parametrize(
    "failure", [Unavailable("no library", field="forecast", hint="install it"), RuntimeError("out of memory")]
)
def test_a_failure_to_learn_is_logged_and_tried_again_an_hour_later(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught, now, past = Taught(failure), START_US + 8 * DAY_US, series_of(8)
    monkeypatch.setattr(learning, "FORECASTS", {**FORECASTS, "taught": taught})
    models = Models(lambda job: job())
    fallback = FORECASTS[FALLBACK].learn(past, H4, now)
    with capture_logs() as logs:
        assert models.of("taught", H4, past, now) == fallback
        assert models.of("taught", H4, past, now + RETRY_US - 1) == fallback
    assert taught.learnt_us == [now]
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["forecast"]) == ("forecast_not_learnt", "error", "taught")
    assert models.of("taught", H4, past, now + RETRY_US) == FORECASTS["last_week_peak"].learn(past, H4, now)


def test_a_thread_learns_trees_from_the_record_of_all_pools(database: Database) -> None:
    pool, _ = recorded(database, days=9, forecast="boosted")
    now, forecaster = START_US + 9 * DAY_US, Forecaster(run=lambda job: job())
    found = asked(forecaster, database, pool, now)
    past = series_of(9)
    for horizon in (HOUR_US, H4):
        trees = FORECASTS["boosted"].learn(past, horizon, now).at(past[NORTH], np.array([now])).row(0)
        assert found[horizon].samples.tolist() == trees.samples.tolist()
    threads: list[Job] = []
    waiting = Forecaster(run=threads.append)
    rises = FORECASTS[FALLBACK].learn(past, H4, now).at(past[NORTH], np.array([now])).row(0)
    assert asked(waiting, database, pool, now)[H4].samples.tolist() == rises.samples.tolist() and len(threads) == 1
    done = threading.Event()

    def learn() -> None:
        threads[0]()
        done.set()

    in_background(learn)
    assert done.wait(60)


# -------------------------------------------------------------------------------------------------------------- the shifts


def rolled_shift(
    past: Mapping[PoolId, Series],
    risks: Mapping[PoolId, float],
    horizon_us: int,
    instants: Ints,
    method: str = "window_max_quantile",
) -> float:
    """The shift that the back-test comes to at the last of these instants."""
    forecasts = looked_ahead(past, FORECASTS[method], instants, horizon_us)
    peaks = np.stack([window_peaks(series, instants, horizon_us) for series in past.values()], axis=1)
    capacity = np.array([series.capacity for series in past.values()], np.int64)
    risk = np.array([[risks[pool] for pool in past]])
    return float(rolled(forecasts, capacity, peaks, risk, horizon_us, HOUR_US)[1][0, -1])


@pytest.mark.parametrize(("days", "forecast"), [(12, "window_max_quantile"), (31, "window_max_quantile"), (12, "boosted")])
def test_after_a_start_the_shifts_are_those_of_the_back_test_on_the_same_record(
    database: Database, days: int, forecast: str
) -> None:
    """While a method that has to learn has not, the fallback speaks for it."""
    pool, _ = recorded(database, days=days, lending_risk=0.1, forecast=forecast)
    now = START_US + days * DAY_US - 20 * MINUTE_US
    forecaster = Forecaster(run=lambda _job: None)
    assert set(forecaster.shifts(pool).values()) == {0.0}, "nothing has been looked at"
    asked(forecaster, database, pool, now)
    hour = now // HOUR_US * HOUR_US
    instants = np.arange(max(START_US, hour - TRAILING_US), hour + 1, HOUR_US, dtype=np.int64)
    shifts = forecaster.shifts(pool)
    assert shifts.keys() == risks_of(pool).keys() and H4 in shifts
    for horizon, risk in risks_of(pool).items():
        expected = rolled_shift(series_of(days), dict.fromkeys(GPUS, risk), horizon, instants)
        assert shifts[horizon] == pytest.approx(expected) and expected != 0.0


def test_once_learnt_the_shifts_are_those_of_the_models_that_the_method_would_have_had(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORECASTS, "taught", Taught())
    pool, _ = recorded(database, days=12, lending_risk=0.1, forecast="taught")
    now, later = START_US + 12 * DAY_US - 20 * MINUTE_US, Later()
    forecaster = Forecaster(run=later)
    asked(forecaster, database, pool, now)
    instants = hours_until(series_of(12), now)
    for horizon, risk in risks_of(pool).items():
        rises = rolled_shift(series_of(12), dict.fromkeys(GPUS, risk), horizon, instants)
        assert forecaster.shifts(pool)[horizon] == pytest.approx(rises)
    for number in range(len(horizons(pool))):
        later.now()
        asked(forecaster, database, pool, now + (number + 1) * MINUTE_US)
    assert not later.jobs
    for horizon, risk in risks_of(pool).items():
        own = rolled_shift(series_of(12), dict.fromkeys(GPUS, risk), horizon, instants, "taught")
        assert forecaster.shifts(pool)[horizon] == pytest.approx(own)
    made = forecaster.shifts(pool)
    assert made[H4] != pytest.approx(rolled_shift(series_of(12), dict.fromkeys(GPUS, 0.1), H4, instants))
    asked(forecaster, database, pool, now + 10 * MINUTE_US)
    assert forecaster.shifts(pool) == made, "once"


def test_hour_by_hour_and_after_a_pause_they_are_the_same_as_at_once(database: Database) -> None:
    pool, _ = recorded(database, days=12, lending_risk=0.1)
    begin, end = START_US + 9 * DAY_US, START_US + 12 * DAY_US - HOUR_US
    steady, paused, fresh = Forecaster(), Forecaster(), Forecaster()
    for now in range(begin, end + 1, HOUR_US):
        asked(steady, database, pool, now)
    asked(paused, database, pool, begin)
    asked(paused, database, pool, end)
    asked(fresh, database, pool, end)
    assert fresh.shifts(pool) == pytest.approx(steady.shifts(pool)) and any(steady.shifts(pool).values())
    assert fresh.shifts(pool) == pytest.approx(paused.shifts(pool))


def test_reclaimed_windows_raise_the_shift_as_soon_as_they_are_over_and_kept_ones_lower_it(database: Database) -> None:
    pool, _ = recorded(database, lending_risk=0.1)
    with database.write() as tx:
        note(tx, NORTH, [Level(START_US, 20)])
        note(tx, SOUTH, [Level(START_US, 4)])
    forecaster, calm = Forecaster(), START_US + 2 * DAY_US
    asked(forecaster, database, pool, calm)
    before = forecaster.shifts(pool)[H4]
    assert before < 0.0, "all has been kept"
    with database.write() as tx:
        note(tx, NORTH, [Level(calm + HOUR_US, 64)])
        note(tx, SOUTH, [Level(calm + HOUR_US, 16)])
    asked(forecaster, database, pool, calm + HOUR_US)
    seen = [forecaster.shifts(pool)[H4]]
    for hours in range(2, 7):
        asked(forecaster, database, pool, calm + hours * HOUR_US)
        seen.append(forecaster.shifts(pool)[H4])
    assert seen[0] <= before, "no window that the rise came into is over yet"
    assert max(seen) > before


def test_a_round_and_a_shop_are_told_the_shifts_and_a_higher_one_lends_less(database: Database) -> None:
    pool, _ = recorded(database, days=12, lending_risk=0.1)
    now, forecaster = START_US + 12 * DAY_US - HOUR_US, Forecaster()
    with database.write() as tx:
        tenants.insert_one(tx, Tenant(ADA, "Ada", "USD", START_US))
        ledger.open_accounts(tx, tenant_accounts(ADA, "USD"))
    with database.read() as tx:
        seen = read_view(tx, forecaster, now_us=now)
        sold = [shop(tx, forecaster, ADA, now_us=now).view(row) for row in pools.everything(tx)]
    shifts = forecaster.shifts(pool)
    assert shifts[H4] != 0.0
    assert [view.shifts for view in (*seen.pools, *sold)] == [shifts] * 4
    view = replace(seen.pools[0], shifts={})
    peak = peak_at_risk(view, H4, 0.1, capacity=64)
    limit, terms = risk_limit(view, capacity=64), pool.terms[LeaseClass.GUARDED]
    bound = risk_bound(view, terms, H4, price_micro=pool.price_micro, capacity=64)
    assert peak is not None and limit is not None and 0 < limit < 64 and 0 < bound < 64
    careful = replace(view, shifts={H4: 1.0})
    higher, lower = peak_at_risk(careful, H4, 0.1, capacity=64), risk_limit(careful, capacity=64)
    assert higher is not None and lower is not None and higher > peak and lower < limit
    assert risk_bound(careful, terms, H4, price_micro=pool.price_micro, capacity=64) < bound
    other = replace(view, shifts={HOUR_US: 1.0})
    assert risk_limit(other, capacity=64) == limit, "the shift of another horizon has no say"
