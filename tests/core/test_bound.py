"""The clairvoyant bound against its definition, on every small case that hypothesis can think of."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.bench.exactness import by_definition
from sublet.core.bound import idle_of, leasable, leasable_curve
from sublet.core.forecast import History

STEPS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=12)


def history(steps: list[tuple[int, int]]) -> tuple[History, int]:
    """(demand, end) of steps given as (length, GPUs), from 0 on."""
    lengths = np.array([length for length, _ in steps], np.int64)
    at = np.concatenate([[0], np.cumsum(lengths)])
    return History(at[:-1], np.array([gpus for _, gpus in steps], np.int64)), int(at[-1])


def at_each_instant(at_us: list[int], gpus: list[int]) -> list[int]:
    return [g for g, (a, b) in zip(gpus, pairwise(at_us), strict=True) for _ in range(b - a)]


@settings(deadline=None, derandomize=True, max_examples=400)
@given(steps=STEPS, capacity=st.integers(0, 6), length=st.integers(1, 30))
def test_the_bound_is_the_opening_of_the_idle_curve(steps: list[tuple[int, int]], capacity: int, length: int) -> None:
    demand, end = history(steps)
    idle = idle_of(demand, capacity, from_us=0, until_us=end)
    expected = by_definition([max(0, capacity - gpus) for lasts, gpus in steps for _ in range(lasts)], length)
    assert at_each_instant(idle.at_us.tolist(), leasable_curve(idle, length).tolist()) == expected
    assert leasable(idle, [length])[length] == sum(expected)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(steps=STEPS, capacity=st.integers(0, 6), gap=st.tuples(st.integers(0, 20), st.integers(1, 9)), length=st.integers(1, 9))
def test_no_lease_lies_in_a_gap_or_across_it(
    steps: list[tuple[int, int]], capacity: int, gap: tuple[int, int], length: int
) -> None:
    demand, end = history(steps)
    begin, close = gap[0], gap[0] + gap[1]
    idle = idle_of(demand, capacity, from_us=0, until_us=end, gaps=[(begin, close)])
    curve = [max(0, capacity - gpus) for lasts, gpus in steps for _ in range(lasts)]
    seen = [0 if begin <= t < close else gpus for t, gpus in enumerate(curve)]
    assert leasable(idle, [length])[length] == sum(by_definition(seen, length))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(steps=STEPS, capacity=st.integers(0, 6))
def test_longer_leases_never_have_more_and_short_ones_all_of_it(steps: list[tuple[int, int]], capacity: int) -> None:
    demand, end = history(steps)
    idle = idle_of(demand, capacity, from_us=0, until_us=end)
    found = leasable(idle, range(1, end + 2))
    assert found[1] == idle.gpu_us
    assert found[end + 1] == 0
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_week_of_nights_has_no_daylong_lease() -> None:
    """Idle is not leasable: a pool that is free every night has half of its time for short leases and none for a day."""
    hour = 3_600_000_000
    demand = History(np.arange(14, dtype=np.int64) * 12 * hour, np.array([8, 0] * 7, np.int64))
    idle = idle_of(demand, 8, from_us=0, until_us=14 * 12 * hour)
    assert leasable(idle, [12 * hour, 24 * hour]) == {12 * hour: 7 * 12 * 8 * hour, 24 * hour: 0}


def test_before_the_record_nobody_asks() -> None:
    demand = History(np.array([50], np.int64), np.array([3], np.int64))
    idle = idle_of(demand, 4, from_us=0, until_us=100)
    assert (idle.at_us.tolist(), idle.gpus.tolist()) == ([0, 50, 100], [4, 1])
