"""A pool's demand: what is refused, what is asked of it, and what a gap hides."""

import numpy as np
import pytest
from demands import NORTH, history_of, peak_of, value_at
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.errors import Invalid
from sublet.core.forecast import History, Series
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.series import demand_at, peak_between, peaks_in, touched, window_peaks

settings.register_profile("core", deadline=None, derandomize=True, max_examples=150)
PROFILE = settings.get_profile("core")


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("history", "capacity", "gaps", "field", "said"),
    [
        (History(ints(1, 2), ints(3)), 8, (), "history", "2 instants and 1 values"),
        (History(ints(1, 1), ints(3, 4)), 8, (), "history", "goes back in time at step 1"),
        (History(ints(1, 5, 4), ints(3, 4, 5)), 8, (), "history", "goes back in time at step 2"),
        (History(ints(1, 2), ints(3, -4)), 8, (), "history", "-4 GPUs at step 1"),
        (History(ints(1), ints(3)), 0, (), "capacity", "0 GPUs"),
        (History(ints(1), ints(3)), 8, ((5, 5),), "gaps", "empty"),
        (History(ints(1), ints(3)), 8, ((5, 9), (8, 12)), "gaps", "overlap"),
        (History(ints(1), ints(3)), 8, ((5, 9), (1, 2)), "gaps", "overlap"),
    ],
)
def test_what_no_forecast_can_be_made_from_is_refused_with_the_way_out(
    history: History, capacity: int, gaps: tuple[tuple[int, int], ...], field: str, said: str
) -> None:
    with pytest.raises(Invalid, match="pool north") as refused:
        Series(NORTH, history, capacity, gaps)
    assert refused.value.field == field and said in refused.value.message and refused.value.hint


@st.composite
def gapped(draw: st.DrawFn) -> Series:
    at = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=12)))
    history = history_of([(instant, draw(st.integers(0, 9))) for instant in at])
    edges = sorted(draw(st.sets(st.integers(-5, 70), max_size=6)))
    gaps = tuple(zip(edges[::2], edges[1::2], strict=False))
    return Series(NORTH, history, 8, gaps)


def hidden(series: Series, from_us: int, to_us: int) -> bool:
    return any(begin <= at < end for at in range(from_us, to_us) for begin, end in series.gaps)


@PROFILE
@given(series=gapped(), starts=st.lists(st.integers(-6, 72), min_size=1, max_size=15), length=st.integers(1, 20))
def test_values_and_peaks_are_what_a_slow_look_finds(series: Series, starts: list[int], length: int) -> None:
    rising = np.array(sorted(starts), np.int64)

    def expected(from_us: int, to_us: int) -> int:
        peak = None if hidden(series, from_us, to_us) else peak_of(series.history, from_us, to_us)
        return NO_DEMAND if peak is None else peak

    peaks = [expected(start, start + length) for start in rising.tolist()]
    assert peaks_in(series, rising, rising + length).tolist() == peaks
    single = [peak_between(series, start, start + length) for start in rising.tolist()]
    assert [NO_DEMAND if peak is None else peak for peak in single] == peaks
    for start, value in zip(starts, demand_at(series, np.array(starts, np.int64)).tolist(), strict=True):
        known = None if hidden(series, start, start + 1) else value_at(series.history, start)
        assert value == (NO_DEMAND if known is None else known)
    assert touched(series.gaps, rising, rising + length).tolist() == [hidden(series, s, s + length) for s in rising.tolist()]


def test_a_window_begins_after_its_instant_and_ends_before_its_horizon() -> None:
    series = Series(NORTH, history_of([(0, 9), (10, 1), (20, 5)]), 8)
    assert window_peaks(series, ints(9), 11).tolist() == [1], "neither the 9 before nor the 5 at its very end"
    assert window_peaks(series, ints(8), 11).tolist() == [9], "the 9 lasts for one more instant"
    assert window_peaks(series, ints(9), 12).tolist() == [5]
    assert window_peaks(series, ints(19), 1).tolist() == [5], "the shortest window still has an instant in it"
