"""Where a log is complete: windows, cuts, and the silences in between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.units import HOUR_US, MINUTE_US
from sublet.traces import Gap
from sublet.traces.extent import LEAST_US, Extent, extent

DAY_US = 24 * HOUR_US


def log(days: float, *, runs_us: int = HOUR_US, every_us: int = 10 * MINUTE_US) -> tuple[np.ndarray, np.ndarray]:
    submit = np.arange(0, int(days * DAY_US), every_us, dtype=np.int64)
    return submit, submit + runs_us


def test_a_quiet_log_reaches_from_its_first_to_its_last_event() -> None:
    submit, end = log(20)
    assert extent(submit, submit, end) == Extent(0, int(end[-1]))


def test_where_submissions_stop_and_ends_go_on_for_days_the_log_was_cut() -> None:
    submit, end = log(20, runs_us=3 * DAY_US)
    assert extent(submit, submit, end) == Extent(3 * DAY_US, int(submit[-1]))


def test_where_submissions_are_rare_their_absence_says_nothing() -> None:
    submit, end = log(200, runs_us=HOUR_US, every_us=5 * DAY_US)
    assert extent(submit, submit, end) == Extent(0, int(end[-1]))


def test_a_window_that_begins_with_jobs_that_lasted_into_it_begins_with_the_first_end() -> None:
    submit, end = log(40)
    shown = (end > 20 * DAY_US) | (np.arange(len(submit)) % 500 == 0)
    end = np.where(np.arange(len(submit)) % 500 == 0, 41 * DAY_US, end)
    found = extent(submit[shown], submit[shown], end[shown])
    assert found.from_us == end[end > 20 * DAY_US].min()
    assert not found.gaps


@pytest.mark.parametrize(("silent_h", "gaps"), [(5, 0), (7, 1), (48, 1)])
def test_a_silence_is_a_gap_if_it_is_far_longer_than_usual_and_than_six_hours(silent_h: int, gaps: int) -> None:
    submit, end = log(30)
    begin = 10 * DAY_US
    kept = (submit < begin) | (submit >= begin + silent_h * HOUR_US + HOUR_US)
    found = extent(submit[kept], submit[kept], end[kept]).gaps
    assert len(found) == gaps
    if gaps:
        assert found == (Gap(int(end[submit < begin][-1]), int(submit[kept][submit[kept] > begin][0])),)


def test_one_event_in_a_long_silence_does_not_end_it() -> None:
    submit, end = log(30)
    kept = (submit < 10 * DAY_US) | (submit > 14 * DAY_US)
    lonely = np.append(submit[kept], 12 * DAY_US)
    assert len(extent(lonely, lonely, end[kept]).gaps) == 1


def test_an_end_that_is_given_holds() -> None:
    submit, end = log(20)
    assert extent(submit, submit, end, until_us=5 * DAY_US).until_us == 5 * DAY_US


def test_a_handful_of_jobs_has_no_usual_silence() -> None:
    submit = np.array([0, 5, 11], np.int64) * HOUR_US
    assert extent(submit, submit, submit + 10 * DAY_US) == Extent(0, 11 * HOUR_US + 10 * DAY_US)


def test_a_single_instant_is_an_empty_window() -> None:
    one, none = np.array([7], np.int64), np.empty(0, np.int64)
    assert extent(one, none, none) == extent(none, none, one) == Extent(7, 7)


instants = st.lists(st.integers(0, 60 * 24 * 60), max_size=60)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(submit=instants, end=instants.filter(len))
def test_the_window_lies_inside_the_log_and_its_gaps_are_long_rising_and_empty(submit: list[int], end: list[int]) -> None:
    arrays = [np.array(minutes, np.int64) * MINUTE_US for minutes in (submit, submit, end)]
    found = extent(*arrays)
    events = np.concatenate(arrays)
    assert events.min() <= found.from_us <= found.until_us <= events.max()
    last = found.from_us
    for gap in found.gaps:
        assert last <= gap.from_us and gap.to_us <= found.until_us and gap.to_us - gap.from_us > LEAST_US
        last = gap.to_us
