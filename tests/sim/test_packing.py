"""The packing experiment on fleets small enough to count: nothing is overfull, nobody is refused, the future is not used."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.bench.packing import PUBLISHED, packing
from sublet.core.kernels.fragments import fragments, stranded
from sublet.sim.packing import baseline, descent, learned
from sublet.sim.packing.classes import popular
from sublet.sim.packing.descent import Measure, published
from sublet.sim.packing.fleet import NOWHERE, PLACES, WHOLE, Fleet
from sublet.sim.packing.loads import LOADS, allocated
from sublet.sim.packing.openb import nodes_of, pods_of
from sublet.sim.packing.scores import FGD, OURS, SCORES
from sublet.sim.packing.stream import Trial, Workload, trial_of, workload_of

PROFILE = settings(deadline=None, derandomize=True, max_examples=60)
every_score = pytest.mark.parametrize("score", list(SCORES))

Node = tuple[int, int, int]
"""Milli-CPU, MiB, GPUs."""
Pod = tuple[int, int, int, int]
"""Milli-CPU, MiB, milli-GPU of each GPU, GPUs."""


def fleet_of(nodes: Sequence[Node]) -> Fleet:
    sizes = np.array([gpus for _, _, gpus in nodes])
    gpus = np.where(np.arange(PLACES) < sizes[:, None], WHOLE, 0).astype(np.int64)
    return Fleet(np.array([n[0] for n in nodes], np.int64), np.array([n[1] for n in nodes], np.int64), gpus)


def workload(pods: Sequence[Pod]) -> Workload:
    return workload_of(np.array(pods, np.int64).reshape(-1, 4))


def trial(nodes: Sequence[Node], pods: Sequence[Pod], seed: int = 0) -> Trial:
    """These pods in this order."""
    known = workload(pods)
    return Trial(fleet_of(nodes), known, known.of_pod, np.random.default_rng(seed).random((len(pods), 2)))


def placements(score: str, nodes: Sequence[Node], pods: Sequence[Pod]) -> list[tuple[int, set[int]]]:
    """(row of the node, its GPUs) of each pod."""
    placed = SCORES[score](trial(nodes, pods)).tolist()
    return [(row, {gpu for gpu in range(PLACES) if row != NOWHERE and mask >> gpu & 1}) for row, mask in placed]


def rows(score: str, nodes: Sequence[Node], pods: Sequence[Pod]) -> list[int]:
    return [row for row, _ in placements(score, nodes, pods)]


@every_score
def test_a_pod_that_does_not_fit_fails_and_the_next_has_its_chance(score: str) -> None:
    pods = [(1, 1, WHOLE, 2), (1, 1, WHOLE, 1), (1, 1, WHOLE, 1)]
    assert rows(score, [(9, 9, 1)], pods) == [NOWHERE, 0, NOWHERE]


@every_score
def test_cpu_runs_out_before_gpus(score: str) -> None:
    assert rows(score, [(5, 9, 4)], [(2, 1, WHOLE, 1)] * 3 + [(1, 1, 100, 1)]) == [0, 0, NOWHERE, 0]


@every_score
def test_memory_runs_out_before_gpus(score: str) -> None:
    assert rows(score, [(9, 5, 4)], [(1, 2, WHOLE, 1)] * 3 + [(1, 1, 0, 0)]) == [0, 0, NOWHERE, 0]


@every_score
def test_pods_share_a_gpu_as_long_as_it_is_not_overfull(score: str) -> None:
    found = placements(score, [(9, 9, 1)], [(1, 1, 600, 1), (1, 1, 500, 1), (1, 1, 400, 1), (1, 1, 50, 1)])
    assert found == [(0, {0}), (NOWHERE, set()), (0, {0}), (NOWHERE, set())]


@every_score
def test_whole_gpus_are_none_that_others_have_a_part_of(score: str) -> None:
    found = placements(score, [(9, 9, 3)], [(1, 1, 300, 1), (1, 1, WHOLE, 2), (1, 1, WHOLE, 1), (1, 1, 700, 1)])
    shared, pair, none, rest = found
    assert len(pair[1]) == 2 and not shared[1] & pair[1]
    assert none == (NOWHERE, set()) and rest == shared


@every_score
def test_pods_without_gpus_take_cpu_and_memory_only(score: str) -> None:
    assert placements(score, [(4, 4, 1)], [(3, 3, 0, 0), (2, 1, 0, 0), (1, 1, WHOLE, 1)])[1:] == [(NOWHERE, set()), (0, {0})]


@pytest.mark.parametrize("score", [FGD, OURS])
def test_parts_go_to_begun_gpus_and_leave_whole_ones_whole(score: str) -> None:
    found = placements(score, [(99, 99, 2), (99, 99, 2)], [(1, 1, 500, 1), (1, 1, 500, 1), (1, 1, WHOLE, 2)])
    assert found[0] == found[1]
    assert found[2] == (1 - found[0][0], {0, 1})


def test_best_fit_leaves_the_least() -> None:
    nodes = [(96_000, 99, 8), (104_000, 99, 2), (16_000, 99, 2)]
    assert rows("best_fit", nodes, [(8_000, 1, WHOLE, 1), (12_000, 1, WHOLE, 1)]) == [2, 1]


def test_ours_keeps_cpu_where_the_gpus_are_long_before_it_runs_out() -> None:
    """Pods with 12 CPU a GPU would fill the large node exactly; the small one has CPU to spare, so other pods belong there."""
    nodes = [(96_000, 999, 8), (104_000, 999, 2)]
    pods = [(12_000, 1, WHOLE, 1), (12_000, 1, 0, 0), (12_000, 1, 0, 0), (12_000, 1, 0, 0)]
    assert rows(OURS, nodes, pods)[1:] == [1, 1, 1]
    assert rows(FGD, nodes, pods)[1:] == [0, 0, 0], "FGD sees no difference and takes the first"


@st.composite
def small_trials(draw: st.DrawFn) -> tuple[list[Node], list[Pod]]:
    node = st.tuples(st.integers(4, 24), st.integers(4, 24), st.sampled_from([1, 2, 4, 8]))
    part = st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([110, 230, 470, 650, 810]), st.just(1))
    whole = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(WHOLE), st.sampled_from([1, 1, 1, 2, 4, 8]))
    none = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(0), st.just(0))
    nodes = draw(st.lists(node, min_size=1, max_size=6))
    kinds = draw(st.lists(st.one_of(part, whole, none), min_size=1, max_size=6))
    return nodes, draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=40))


class Room:
    """A node as it is told in words."""

    def __init__(self, node: Node) -> None:
        self.cpu, self.memory, gpus = node
        self.gpus = [WHOLE] * gpus + [0] * (PLACES - gpus)

    def fits(self, pod: Pod) -> bool:
        cpu, memory, milli, gpus = pod
        return cpu <= self.cpu and memory <= self.memory and sum(free >= milli for free in self.gpus if free) >= gpus

    def put(self, pod: Pod, mask: int) -> None:
        self.cpu -= pod[0]
        self.memory -= pod[1]
        for gpu in range(PLACES):
            self.gpus[gpu] -= pod[2] * (mask >> gpu & 1)
        assert self.cpu >= 0 and self.memory >= 0 and min(self.gpus) >= 0


@every_score
@PROFILE
@given(case=small_trials())
def test_nothing_is_overfull_and_whoever_fits_is_placed(case: tuple[list[Node], list[Pod]], score: str) -> None:
    nodes, pods = case
    rooms = [Room(node) for node in nodes]
    for pod, (row, mask) in zip(pods, SCORES[score](trial(nodes, pods)).tolist(), strict=True):
        if row == NOWHERE:
            assert not any(room.fits(pod) for room in rooms)
        else:
            assert mask.bit_count() == pod[3]
            rooms[row].put(pod, mask)


@every_score
@PROFILE
@given(case=small_trials())
def test_the_same_trial_gives_the_same_placements_and_leaves_the_trial_as_it_was(
    case: tuple[list[Node], list[Pod]], score: str
) -> None:
    once = trial(*case)
    first = SCORES[score](once).tolist()
    assert SCORES[score](once).tolist() == first == SCORES[score](trial(*case)).tolist()


@every_score
@PROFILE
@given(case=small_trials(), cut=st.integers(0, 40))
def test_where_a_pod_goes_does_not_depend_on_those_after_it(case: tuple[list[Node], list[Pod]], cut: int, score: str) -> None:
    whole = trial(*case)
    until = Trial(whole.fleet, whole.workload, whole.arrivals[:cut], whole.draws[:cut])
    assert SCORES[score](until).tolist() == SCORES[score](whole).tolist()[:cut]


@PROFILE
@given(case=small_trials(), cut=st.integers(1, 40))
def test_ours_knows_no_pod_before_it_arrives(case: tuple[list[Node], list[Pod]], cut: int) -> None:
    nodes, pods = case
    assert rows(OURS, nodes, pods[:cut]) == rows(OURS, nodes, pods)[:cut]


def measure_at(score: str, known: Trial, seen: int) -> Measure:
    """By what the score judges when so many pods have arrived."""
    if score == FGD:
        return published(popular(known.workload))
    counts = np.bincount(known.arrivals[:seen], minlength=len(known.workload.kinds)).astype(np.int64)
    sizes = np.unique((known.fleet.gpus > 0).sum(axis=1)).astype(np.int64)
    found: Measure = learned.learned(known.workload.kinds, counts, sizes)
    return found


def twin_loss(room: Room, pod: Pod, mask: int, measure: Measure) -> float:
    """What the pod would spoil there, computed from nothing that is remembered."""

    def useless(cpu: int, gpus: list[int]) -> float:
        lost = fragments(cpu, np.array(gpus, np.int64), measure.requests, measure.share)
        return float(lost + stranded(cpu, sum(gpus), measure.need[0], measure.need[1]))

    after = [free - pod[2] * (mask >> gpu & 1) for gpu, free in enumerate(room.gpus)]
    growth = useless(room.cpu - pod[0], after) - useless(room.cpu, room.gpus)
    return -math.floor(measure.grain / (1 + math.exp(growth / 1_000))) if measure.grain else growth


def choices(room: Room, pod: Pod) -> list[int]:
    """The GPUs that the pod may be given there."""
    if not room.fits(pod):
        return []
    if pod[3] == 1 and pod[2] < WHOLE:
        return [1 << gpu for gpu, free in enumerate(room.gpus) if free >= pod[2]]
    free = [gpu for gpu, left in enumerate(room.gpus) if left == WHOLE]
    return [sum(1 << gpu for gpu in free[: pod[3]])]


@pytest.mark.parametrize("score", [FGD, OURS])
@settings(PROFILE, max_examples=25)
@given(case=small_trials())
def test_each_pod_goes_where_it_spoils_the_least(case: tuple[list[Node], list[Pod]], score: str) -> None:
    """What is remembered of nodes is never stale. Ours reads its record again at every one of the first 16 arrivals."""
    nodes, pods = case[0], case[1][:15]
    known = trial(nodes, pods)
    rooms = [Room(node) for node in nodes]
    for i, (pod, (row, mask)) in enumerate(zip(pods, SCORES[score](known).tolist(), strict=True)):
        if row == NOWHERE:
            continue
        measure = measure_at(score, known, i + 1)
        losses = [twin_loss(room, pod, bits, measure) for room in rooms for bits in choices(room, pod)]
        assert twin_loss(rooms[row], pod, mask, measure) == pytest.approx(min(losses), abs=1e-6)
        rooms[row].put(pod, mask)


@settings(PROFILE, max_examples=25)
@given(case=small_trials())
def test_compiled_loops_do_what_they_do_as_python(case: tuple[list[Node], list[Pod]]) -> None:
    known = trial(*case)
    kinds, arrivals, measure = known.workload.kinds, known.arrivals, published(popular(known.workload))
    sizes = np.array([1, 2, 4, 8])

    def same(kernel: Any, *more: Any) -> bool:
        ways = (kernel, kernel.py_func)
        first, second = (way(known.fleet.copied(), kinds, arrivals, *more).tolist() for way in ways)
        return bool(first == second)

    assert same(baseline.random_fit, known.draws)
    assert same(baseline.best_fit)
    assert same(descent.descend, measure)
    assert same(learned.least_stranded, sizes)


def test_the_need_for_cpu_is_that_of_pods_with_gpus_by_gpu() -> None:
    known = workload([(8, 1, WHOLE, 2), (6, 1, 500, 1), (50, 1, 0, 0)])
    need = learned.cpu_need(known.kinds, known.counts)
    mean = (8 + 6) / 2.5
    assert need.tolist() == pytest.approx([mean, (((8 - 2 * mean) ** 2 + (6 - 0.5 * mean) ** 2) / 2.5) ** 0.5])
    assert learned.cpu_need(known.kinds, np.zeros(3, np.int64)).tolist() == [0, 0]


def test_the_popular_requests_are_as_few_as_cover_nearly_all_pods() -> None:
    pods = [(4, 1, 500, 1)] * 30 + [(4, 2, 500, 1)] * 30 + [(8, 1, WHOLE, 1)] * 36 + [(9, 1, WHOLE, 8)] * 4
    found = popular(workload(pods))
    assert found.requests.tolist() == [[4, 500, 1], [8, WHOLE, 1]], "memory makes no difference"
    assert found.share.tolist() == pytest.approx([60 / 96, 36 / 96])


POOL: list[Pod] = [(1, 1, 250, 1)] * 20 + [(2, 1, WHOLE, 1)] * 5 + [(2, 1, 0, 0)] * 3 + [(8, 8, WHOLE, 4)]
NODES: list[Node] = [(40, 99, 8)] * 20


def test_a_stream_is_all_pods_once_then_draws_up_to_the_load() -> None:
    known = workload(POOL)
    made = trial_of(fleet_of(NODES), known, 42)
    asked = known.kinds[made.arrivals, 2] * known.kinds[made.arrivals, 3]
    assert sorted(made.arrivals[: len(POOL)].tolist()) == sorted(known.of_pod.tolist())
    assert made.arrivals[: len(POOL)].tolist() != known.of_pod.tolist(), "shuffled"
    assert 1.3 * 160_000 - 4_000 <= asked.sum() <= 1.3 * 160_000
    assert set(made.arrivals.tolist()) <= set(range(len(known.kinds)))


def test_a_seed_is_a_stream() -> None:
    one, again, other = (trial_of(fleet_of(NODES), workload(POOL), seed) for seed in (1, 1, 2))
    assert one.arrivals.tolist() == again.arrivals.tolist() and one.draws.tolist() == again.draws.tolist()
    assert one.arrivals.tolist() != other.arrivals.tolist()


def test_a_workload_beyond_the_load_arrives_as_it_is() -> None:
    assert len(trial_of(fleet_of([(9, 9, 1)]), workload(POOL), 3).arrivals) == len(POOL)


def test_allocation_is_read_when_so_much_has_arrived() -> None:
    """A hundred GPUs, a pod of one GPU each; from the 95th on every other pod fails."""
    known = trial([(999, 999, 8)] * 12 + [(999, 999, 4)], [(1, 1, WHOLE, 1)] * 130)
    placed = np.array([[0 if i < 94 or i % 2 else NOWHERE, 1] for i in range(130)])
    assert allocated(known, placed) == pytest.approx({90: 90, 95: 94, 100: 97, 110: 102, 130: 112})


def test_where_a_pod_leaps_over_a_load_what_was_allocated_before_counts() -> None:
    known = trial([(99, 99, 8)], [(1, 1, WHOLE, 8), (1, 1, WHOLE, 4)])
    assert allocated(known, np.array([[0, 255], [NOWHERE, NOWHERE]])) == {90: 0, 95: 0, 100: 100, 110: 100, 130: 100}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nodes = [("openb", 40.0, 99.0, 8)] * 40 + [("openb", 64.0, 128.0, 0), ("other", 64.0, 128.0, 8)]
    pl.DataFrame(nodes, schema=["trace", "cpus", "mem_gib", "gpus"], orient="row").write_parquet(tmp_path / "nodes.parquet")
    pods = [(0.47, 2.5, 0.5), (1.0, 4.0, 2.0), (8.0, 32.0, 16.0), (0.0, 3.152, 0.0)] * 4
    pl.DataFrame(pods, schema=["gpus", "cpus", "mem_gib"], orient="row").write_parquet(tmp_path / "jobs_openb.parquet")
    return tmp_path


def test_the_files_are_read_in_whole_units(folder: Path) -> None:
    fleet, pods = nodes_of(folder), pods_of(folder)
    assert len(fleet.cpu) == 40 and fleet.cpu[0] == 40_000 and fleet.memory[0] == 99 * 1_024 and fleet.gpus.sum() == 320_000
    assert pods[:4].tolist() == [
        [2_500, 512, 470, 1],
        [4_000, 2_048, WHOLE, 1],
        [32_000, 16_384, WHOLE, 8],
        [3_152, 0, 0, 0],
    ]


def test_the_table_has_every_cell_and_every_pair(folder: Path) -> None:
    told: list[float] = []
    found = packing(folder, (1, 2), lambda _what, share: told.append(share))
    assert told == sorted(told) and len(told) == 2 * len(SCORES)
    assert found["nodes"] == 40 and found["gpus"] == 320 and found["seeds"] == [1, 2]
    for name, row in found["allocated_percent"].items():
        for load, cell in row.items():
            assert cell["published"] == PUBLISHED[name][int(load)]
            assert cell["difference"] == pytest.approx(cell["measured"] - cell["published"], abs=0.02)
    assert [len(found["ours_less_fgd_points"][str(load)]["by_seed"]) for load in LOADS] == [2] * len(LOADS)
    assert set(found["seconds_a_run"]) == set(SCORES)
    assert not found["met"], "this is not the published cluster"


def test_without_the_files_it_says_so(tmp_path: Path) -> None:
    assert "nodes.parquet" in packing(tmp_path)["not_measured"]
