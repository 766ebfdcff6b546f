"""Forecasts of the largest demand inside a window, against the slow way of finding it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.forecast import FORECASTS, History, WindowMax
from sublet.core.forecast.last_week_peak import WEEK_US, last_week_peak
from sublet.core.forecast.window import UNKNOWN, binned, window_maxima
from sublet.core.forecast.window_max_quantile import WINDOWS_MIN, window_max_quantile
from sublet.core.units import HOUR_US

settings.register_profile("core", deadline=None, derandomize=True, max_examples=150)
PROFILE = settings.get_profile("core")


@st.composite
def histories(draw: st.DrawFn, *, span: int = 400) -> History:
    """Demand that changes at a few rising instants."""
    at = sorted(draw(st.sets(st.integers(0, span), min_size=1, max_size=25)))
    gpus = draw(st.lists(st.integers(0, 50), min_size=len(at), max_size=len(at)))
    return History(np.array(at, np.int64), np.array(gpus, np.int64))


def demand(history: History, at: int) -> int:
    return int(history.gpus[np.flatnonzero(history.at_us <= at)[-1]])


@PROFILE
@given(history=histories(), length=st.integers(1, 200), bin_us=st.integers(1, 40))
def test_bins_know_their_first_value_and_miss_no_peak(history: History, length: int, bin_us: int) -> None:
    from_us = int(history.at_us[0])
    first, peak = binned(history, from_us=from_us, to_us=from_us + length, bin_us=bin_us)
    starts = range(from_us, from_us + length, bin_us)
    assert list(first) == [demand(history, at) for at in starts]
    assert list(peak) == [max(demand(history, at) for at in range(s, min(s + bin_us, from_us + length))) for s in starts]


@PROFILE
@given(peak=st.lists(st.integers(0, 9), min_size=1, max_size=40), data=st.data())
def test_window_maxima_are_those_of_every_run(peak: list[int], data: st.DataObject) -> None:
    width = data.draw(st.integers(1, len(peak)))
    expected = [max(peak[i : i + width]) for i in range(len(peak) - width + 1)]
    assert list(window_maxima(np.array(peak, np.int64), width)) == expected


@PROFILE
@given(history=histories(span=2 * WEEK_US // HOUR_US), now=st.integers(0, 400), horizon=st.integers(1, 48))
def test_last_week_peak_is_the_larger_of_now_and_the_same_window_a_week_ago(history: History, now: int, horizon: int) -> None:
    history = History(history.at_us * HOUR_US, history.gpus)
    now_us, horizon_us = int(history.at_us[-1]) + now * HOUR_US, horizon * HOUR_US
    found = last_week_peak(history, now_us, horizon_us)
    if now_us - WEEK_US < history.at_us[0]:
        assert not len(found.samples)
        return
    hours = range(now_us - WEEK_US, now_us - WEEK_US + horizon_us, HOUR_US)
    assert list(found.samples) == [max(history.now(), *(demand(history, at) for at in hours))]


@PROFILE
@given(history=histories(span=120), later=st.integers(0, 60), horizon=st.integers(32, 70))
def test_the_quantile_method_adds_past_rises_to_the_demand_now(history: History, later: int, horizon: int) -> None:
    now = int(history.at_us[-1]) + later
    from_us, width = int(history.at_us[0]), -(-horizon // (horizon // 32))
    bin_us = horizon // 32
    found = window_max_quantile(history, now, horizon)
    if now - from_us < bin_us * (width + WINDOWS_MIN):
        assert not len(found.samples)
        return
    rises = []
    for start in range(from_us, now, bin_us):
        end = start + width * bin_us
        if end - bin_us < now:
            seen = [demand(history, at) for at in range(start, min(end, now))]
            rises.append(max(seen) - seen[0])
    assert list(found.samples) == sorted(history.now() + rise for rise in rises)


def test_a_long_history_is_looked_at_in_few_bins_and_only_four_weeks_back() -> None:
    hours = np.arange(0, 24 * 365, dtype=np.int64)
    history = History(hours * HOUR_US, np.where(hours < 24 * 200, 1000, hours % 24))
    found = window_max_quantile(history, int(hours[-1]) * HOUR_US, HOUR_US)
    assert len(found.samples) < 4_096
    assert found.samples[-1] < 1000, "what lies months back does not count"


@pytest.mark.parametrize("method", FORECASTS)
def test_a_short_history_is_unknown_and_promises_nothing(method: str) -> None:
    empty = History(np.empty(0, np.int64), np.empty(0, np.int64))
    begun = History(np.array([100], np.int64), np.array([5], np.int64))
    for history in (empty, begun):
        found = FORECASTS[method](history, 200, HOUR_US)
        assert found.exceeds(10**9) == 1.0
        assert found.quantile(0.9) is None
    assert (empty.now(), begun.now()) == (0, 5)


@pytest.mark.parametrize("method", FORECASTS)
def test_every_method_sees_at_least_the_demand_now(method: str) -> None:
    hours = np.arange(0, 24 * 15, dtype=np.int64)
    history = History(hours * HOUR_US, 10 + hours % 24)
    found = FORECASTS[method](history, int(hours[-1]) * HOUR_US, 4 * HOUR_US)
    assert found.samples[0] >= history.now()
    assert (np.diff(found.samples) >= 0).all()


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


def test_unknown_exceeds_everything() -> None:
    assert (UNKNOWN.exceeds(10**6), UNKNOWN.quantile(0.5)) == (1.0, None)
