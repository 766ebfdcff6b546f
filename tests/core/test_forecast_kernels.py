"""Compiled loops against plain ones that are too simple to be wrong; each runs compiled and as Python."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from demands import history_of, peak_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.forecast import kernels
from sublet.core.forecast.kernels import MANY, NO_DEMAND

settings.register_profile("core", deadline=None, derandomize=True, max_examples=150)
PROFILE = settings.get_profile("core")

Kernel = Callable[..., Any]
both = pytest.mark.parametrize("run", ["compiled", "plain"])


def kernel(name: str, run: str) -> Kernel:
    found = getattr(kernels, name)
    chosen: Kernel = found if run == "compiled" else found.py_func
    return chosen


def ints(values: Any) -> Any:
    return np.array(values, np.int64)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[int, int]]:
    at = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=12)))
    return [(instant, draw(st.integers(0, 9))) for instant in at]


@both
@PROFILE
@given(levels=steps(), starts=st.lists(st.integers(-5, 70), min_size=1, max_size=20), lengths=st.data())
def test_peaks_are_the_largest_values_of_each_interval(
    levels: list[tuple[int, int]], starts: list[int], lengths: st.DataObject, run: str
) -> None:
    starts = sorted(starts)
    ends: list[int] = []
    for start in starts:
        ends.append(max([start + lengths.draw(st.integers(1, 20)), *ends[-1:]]))
    history = history_of(levels)
    found = kernel("peaks", run)(history.at_us, history.gpus, ints(starts), ints(ends))
    expected = [peak_of(history, start, end) for start, end in zip(starts, ends, strict=True)]
    assert found.tolist() == [NO_DEMAND if peak is None else peak for peak in expected]


def test_of_no_record_there_is_no_peak() -> None:
    empty = ints([])
    assert kernels.peaks(empty, empty, ints([1, 2]), ints([2, 3])).tolist() == [NO_DEMAND, NO_DEMAND]


@both
@PROFILE
@given(
    values=st.lists(st.integers(-9, 9), max_size=3 * MANY),
    bounds=st.lists(st.tuples(st.integers(0, 3 * MANY), st.integers(0, 3 * MANY)), min_size=1, max_size=8),
    levels=st.integers(1, 7),
)
def test_trailing_quantiles_are_those_of_each_slice_sorted(
    values: list[int], bounds: list[tuple[int, int]], levels: int, run: str
) -> None:
    first = sorted(min(a, len(values)) for a, _ in bounds)
    last = sorted(min(b, len(values)) for _, b in bounds)
    found = kernel("trailing_quantiles", run)(ints(values), ints(first), ints(last), levels)
    for row, low, high in zip(found.tolist(), first, last, strict=True):
        held = sorted(values[low:high])
        expected = [held[-(-(j + 1) * len(held) // levels) - 1] for j in range(levels)] if held else [0] * levels
        assert row == expected


@both
def test_trees_send_rows_left_right_and_blanks_where_they_belong(run: str) -> None:
    nodes = ints([[0, 1, 2], [-1, -1, -1], [1, 3, 4], [-1, -1, -1], [-1, -1, -1]])
    threshold = np.array([0.5, 1.0, -2.0, 10.0, 100.0])
    rows = np.array([[0.5, 9.0], [0.6, -2.0], [0.6, -1.0], [np.nan, 0.0], [0.6, np.nan]])

    def said(blank: list[int]) -> list[float]:
        values = kernel("forest_values", run)(ints([0]), nodes, threshold, ints(blank), rows)
        return [float(value) for value in values]

    right, left, as_zero = 0, 1, 2
    assert said([right, 0, right, 0, 0]) == [1.0, 10.0, 100.0, 100.0, 100.0]
    assert said([left, 0, left, 0, 0]) == [1.0, 10.0, 100.0, 1.0, 10.0]
    assert said([as_zero, 0, as_zero, 0, 0]) == [1.0, 10.0, 100.0, 1.0, 100.0], "0 is below 0.5 and above -2"


@both
def test_trees_add_up(run: str) -> None:
    nodes, threshold = ints([[-1, -1, -1], [-1, -1, -1]]), np.array([1.5, 2.0])
    found = kernel("forest_values", run)(ints([0, 1]), nodes, threshold, ints([0, 0]), np.zeros((3, 1)))
    assert found.tolist() == [3.5, 3.5, 3.5]
