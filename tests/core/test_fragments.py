"""Useless GPU of a node against plain sums, and against a normal distribution cut into slices; compiled and as Python."""

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.kernels import fragments as kernels

PROFILE = settings(deadline=None, derandomize=True, max_examples=150)
both = pytest.mark.parametrize("run", ["compiled", "plain"])

Request = tuple[int, int, int]
"""Milli-CPU, milli-GPU of each GPU, GPUs."""


def kernel(name: str, run: str) -> Callable[..., Any]:
    found = getattr(kernels, name)
    chosen: Callable[..., Any] = found if run == "compiled" else found.py_func
    return chosen


def fragments(run: str, cpu: int, gpus: Sequence[int], popular: Sequence[tuple[Request, float]]) -> float:
    classes = np.array([request for request, _ in popular], np.int64).reshape(-1, 3)
    shares = np.array([share for _, share in popular], np.float64)
    return float(kernel("fragments", run)(cpu, np.array(gpus, np.int64), classes, shares))


def plain_fragments(cpu: int, gpus: Sequence[int], popular: Sequence[tuple[Request, float]]) -> float:
    """The sum as the paper writes it: what a class cannot use of the node, all of it or GPU by GPU."""
    total = 0.0
    for (need_cpu, milli, number), share in popular:
        usable = [free for free in gpus if milli > 0 and free >= milli]
        fits = need_cpu <= cpu and milli > 0 and len(usable) >= number
        total += share * (sum(gpus) - sum(usable) if fits else sum(gpus))
    return total


requests = st.one_of(
    st.tuples(st.integers(0, 20), st.sampled_from([100, 250, 500, 750]), st.just(1)),
    st.tuples(st.integers(0, 20), st.just(1_000), st.integers(1, 4)),
    st.tuples(st.integers(0, 20), st.just(0), st.just(0)),
)


@both
@PROFILE
@given(
    cpu=st.integers(0, 20),
    gpus=st.lists(st.sampled_from([0, 100, 250, 300, 500, 750, 900, 1_000]), min_size=1, max_size=8),
    popular=st.lists(st.tuples(requests, st.floats(0.0, 1.0)), max_size=9),
)
def test_fragments_are_what_each_class_cannot_use_weighted_by_its_share(
    cpu: int, gpus: list[int], popular: list[tuple[Request, float]], run: str
) -> None:
    assert fragments(run, cpu, gpus, popular) == pytest.approx(plain_fragments(cpu, gpus, popular))


@both
def test_fragments_of_a_node_worked_out_by_hand(run: str) -> None:
    half, whole, pair, cpu_only = (1, 500, 1), (4, 1_000, 1), (4, 1_000, 2), (1, 0, 0)
    gpus = [1_000, 600, 300]
    assert fragments(run, 8, gpus, [(half, 1.0)]) == 300, "only the last GPU has too little"
    assert fragments(run, 8, gpus, [(whole, 1.0)]) == 900, "two GPUs are begun"
    assert fragments(run, 8, gpus, [(pair, 1.0)]) == 1_900, "two whole GPUs are not to be had"
    assert fragments(run, 3, gpus, [(whole, 1.0)]) == 1_900, "the CPU does not do"
    assert fragments(run, 8, gpus, [(cpu_only, 1.0)]) == 1_900, "a pod without GPUs uses none of them"
    assert fragments(run, 8, gpus, [(half, 0.5), (whole, 0.25), (pair, 0.25)]) == 150 + 225 + 475
    assert fragments(run, 8, [0, 0], [(half, 1.0)]) == 0, "what is not free is no fragment"
    assert fragments(run, 8, gpus, []) == 0


def shortfall(mean: float, deviation: float, stock: float) -> float:
    """How much a normal demand exceeds a stock on average, by slices of equal probability."""
    slices = 4_000
    demand = NormalDist(mean, deviation)
    return sum(max(0.0, demand.inv_cdf((i + 0.5) / slices) - stock) for i in range(slices)) / slices


@both
@settings(PROFILE, max_examples=40)
@given(
    cpu=st.integers(0, 100_000),
    gpu=st.integers(1, 8_000),
    need=st.floats(1_000.0, 15_000.0),
    spread=st.floats(100.0, 8_000.0),
)
def test_stranded_is_the_mean_shortfall_of_cpu_in_gpus(cpu: int, gpu: int, need: float, spread: float, run: str) -> None:
    found = kernel("stranded", run)(cpu, gpu, need, spread)
    deviation = spread * (gpu / 1_000) ** 0.5
    expected = shortfall(need * gpu / 1_000, deviation, cpu) / need * 1_000
    assert found == pytest.approx(expected, abs=0.001 * deviation / need * 1_000)


@both
def test_stranded_without_spread_is_the_plain_shortfall(run: str) -> None:
    stranded = kernel("stranded", run)
    assert stranded(40_000, 8_000, 10_000.0, 0.0) == 4_000, "CPU for four of eight GPUs"
    assert stranded(90_000, 8_000, 10_000.0, 0.0) == 0
    assert stranded(0, 0, 10_000.0, 5_000.0) == 0, "no GPU is free"
    assert stranded(0, 8_000, 0.0, 0.0) == 0, "nothing is known of the need"


@both
@PROFILE
@given(cpu=st.integers(0, 90_000), more=st.integers(1, 20_000), gpu=st.integers(100, 7_000))
def test_cpu_saves_gpus_and_free_gpus_want_cpu(cpu: int, more: int, gpu: int, run: str) -> None:
    stranded = kernel("stranded", run)
    here = stranded(cpu, gpu, 11_000.0, 5_000.0)
    assert stranded(cpu + more, gpu, 11_000.0, 5_000.0) <= here + 1e-9
    assert stranded(cpu, gpu + 100, 11_000.0, 5_000.0) >= here - 1e-9
