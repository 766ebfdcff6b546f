"""Parts of a study on their own: gaps, an outlook without reserve, the folder, and work on several processes."""

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.advice.study import tasks
from sublet.advice.study.known import known_figures
from sublet.advice.study.report import report_of
from sublet.advice.study.result import Study, bounds_of
from sublet.advice.study.saved import Folder
from sublet.advice.study.tables import TABLES
from sublet.advice.study.tasks import Task, run_all
from sublet.advice.study.variants import Unreserved, variants
from sublet.core.errors import Conflict, Unavailable
from sublet.core.forecast import WindowMax
from sublet.core.units import HOUR_US
from sublet.sim.opening import Opening
from sublet.sim.outcome import Outcome
from sublet.sim.outlook import Blind, Known
from sublet.sim.policies import OURS
from sublet.sim.scene import Scene
from sublet.traces import Gap


def figures_with(found: Study, *gaps: tuple[float, float]) -> Any:
    """Our policy's figures if the log had known nothing of these hours since the opening."""
    opens = found.question.open_us
    holes = [Gap(round(opens + a * HOUR_US), round(opens + b * HOUR_US)) for a, b in gaps]
    bounds = bounds_of(found.idle)
    rng = np.random.default_rng(0)
    return known_figures(found.outcomes[OURS], holes, bounds_us=bounds, rng=rng, alone=found.outcomes["nothing_leased"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 100), min_size=2, max_size=6, unique=True).map(sorted))
def test_what_is_outside_of_gaps_adds_up_to_the_known_time(found: Study, edges: list[float]) -> None:
    gaps = list(zip(edges[::2], edges[1::2], strict=False))
    whole, known = figures_with(found), figures_with(found, *gaps)
    gone_h = sum(min(b, 1e9) - max(a, 0) for a, b in gaps if b > 0)
    assert known.fleet_gpu_h == pytest.approx(whole.fleet_gpu_h - 48 * gone_h, abs=0.1)
    states = [f"{state}_gpu_h" for state in ("owner", "leased", "idle", "reserve", "handover")]
    assert sum(getattr(known, state) for state in states) == pytest.approx(known.fleet_gpu_h, abs=1e-3)
    assert all(-1e-6 <= getattr(known, state) <= getattr(whole, state) + 1e-6 for state in states)
    left = known.leased_gpu_h / whole.leased_gpu_h
    assert known.revenue == pytest.approx(whole.revenue * left, rel=0.06) and known.delays == whole.delays


def test_a_gap_before_the_opening_changes_nothing(found: Study) -> None:
    assert figures_with(found, (-20, -1)) == figures_with(found)


def test_offers_that_reach_into_a_gap_are_not_judged(found: Study) -> None:
    whole, known = (
        {one.hours: one.offered for one in figures.windows} for figures in (figures_with(found), figures_with(found, (40, 41)))
    )
    assert known[1] < whole[1] and whole[24] - known[24] > whole[1] - known[1]


def test_an_outlook_without_reserve_keeps_all_other_horizons() -> None:
    made = {minutes * 60_000_000: WindowMax(np.array([minutes], np.int64)) for minutes in (3, 60, 240)}

    class Told:
        def at(self, now_us: int, demand: int) -> Known:
            return Known(made, {60: float(now_us + demand)})

    known = Unreserved(Told(), 3 * 60_000_000).at(1, 2)
    assert known.forecasts.keys() == made.keys() - {3 * 60_000_000} and known.shifts == {60: 3.0}


def test_each_variant_turns_one_thing(found: Study) -> None:
    assert len({(one.assumption, one.value) for one in variants()}) == len(variants()) >= 10
    scene = scene_of(found)
    for one in variants():
        turned = one.change(scene)
        assert turned.pool != scene.pool or turned.habits != scene.habits, one
        assert (turned.jobs, turned.nodes, turned.standing) == (scene.jobs, scene.nodes, scene.standing)


def scene_of(found: Study) -> Scene:
    from sublet.advice.study.run import scene_of as made

    return made(found.question, found.question.layouts[1])


def test_replays_are_the_same_on_processes_and_told_of(found: Study) -> None:
    scene = replace(scene_of(found), until_us=found.question.open_us + 12 * HOUR_US)
    work = [Task(name, scene, Blind()) for name in ("first", "second", "third")]
    told: list[float] = []
    alone, spread = run_all(work, lambda _: None, workers=1), run_all(work, told.append, workers=2)
    assert [one.policy for one in spread] == ["first", "second", "third"] == [one.policy for one in alone]
    for one, other in zip(alone, spread, strict=True):
        assert one.states_us == other.states_us and np.array_equal(one.delays_us, other.delays_us)
    assert told == sorted(told) and told[-1] == 3


@dataclass(frozen=True)
class Deadly(Blind):
    """An outlook that kills whoever asks it."""

    def at(self, now_us: int, demand: int) -> Known:
        del now_us, demand
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_process_that_is_killed_is_an_error_with_a_way_out(found: Study) -> None:
    work = [Task("killed", scene_of(found), Deadly()), Task("other", scene_of(found), Blind())]
    with pytest.raises(Unavailable) as refused:
        run_all(work, lambda _: None, workers=2)
    assert refused.value.field == "workers" and "memory" in str(refused.value.hint)


@dataclass(frozen=True)
class Sleepy(Blind):
    """An outlook that never answers."""

    asked: Path

    def at(self, now_us: int, demand: int) -> Known:
        del now_us, demand
        self.asked.touch()
        time.sleep(600)
        raise AssertionError


def test_an_interrupt_ends_processes_that_are_at_work(found: Study, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    before = set(multiprocessing.active_children())

    def interrupt() -> None:
        give_up = time.monotonic() + 60
        while not asked.exists() and time.monotonic() < give_up:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_all([Task(name, scene_of(found), Sleepy(asked)) for name in ("one", "two")], lambda _: None, workers=2)
    left = set(multiprocessing.active_children()) - before
    for child in left:
        child.join(5)
    alive = [child for child in left if child.is_alive()]
    for child in alive:
        child.kill()
    assert asked.exists() and not alive


def test_one_task_needs_no_process(found: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> list[Outcome]:
        raise AssertionError

    monkeypatch.setattr(tasks, "_on_processes", never)
    scene = replace(scene_of(found), until_us=found.question.open_us + HOUR_US)
    (outcome,) = run_all([Task("one", scene, Blind())], lambda _: None)
    assert isinstance(outcome.opening, Opening)


class TestFolder:
    def test_it_is_made_at_once_and_given_up_when_empty(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path / "a" / "b")
        assert folder.path.is_dir()
        folder.give_up()
        assert not folder.path.exists()

    def test_one_that_was_there_stays(self, tmp_path: Path) -> None:
        Folder(tmp_path).give_up()
        assert tmp_path.exists()

    def test_a_hidden_file_counts(self, tmp_path: Path) -> None:
        (tmp_path / ".notes").write_text("mine")
        with pytest.raises(Conflict, match="is not empty"):
            Folder(tmp_path)

    def test_a_full_disk_leaves_the_old_report_whole(
        self, found: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        report = report_of(found)
        Folder(tmp_path).save(report, found, lambda _: None)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert len(before) == 2 + len(TABLES)
        write = Path.write_text

        def full(path: Path, text: str, **more: Any) -> int:
            write(path, text[: len(text) // 2], **more)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(Unavailable, match="No space left"):
            Folder(tmp_path, force=True).save(report, found, lambda _: None)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
