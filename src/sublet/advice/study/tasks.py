"""Replays on as many processes as there are cores: each policy on each pool is one task."""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import SimpleQueue
from threading import Thread, current_thread, main_thread

from sublet.core.errors import Unavailable
from sublet.sim.feedback import Feedback
from sublet.sim.opening import Opening
from sublet.sim.outcome import Outcome, outcome_of
from sublet.sim.outlook import Outlook
from sublet.sim.policies import FORECAST_RISK
from sublet.sim.replay import Replay
from sublet.sim.scene import Scene

Progress = Callable[[float], None]
"""Told how many tasks are done by now, parts of them included."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One replay. `name` is what the outcome is called: a policy, or a variant of one."""

    name: str
    scene: Scene
    outlook: Outlook
    feedback: bool = False
    opening: Opening | None = None  # of another replay of the same jobs: what came before need not be replayed again


def run_all(tasks: Sequence[Task], progress: Progress, *, workers: int | None = None) -> list[Outcome]:
    """The outcomes in the order of the tasks; which process ran which changes nothing."""
    count = min(len(tasks), workers or os.cpu_count() or 1)
    if count <= 1:
        done: list[Outcome] = []
        for number, task in enumerate(tasks):
            done.append(run_one(task, lambda share, number=number: progress(number + share)))  # type: ignore[misc]
        return done
    return _on_processes(tasks, progress, count)


def run_one(task: Task, progress: Progress) -> Outcome:
    """Replay one task here."""
    feedback = Feedback(FORECAST_RISK) if task.feedback else None
    replay = Replay(task.scene, task.outlook, feedback)
    with _without_collector():
        replay.run(progress, opening=task.opening)
    return outcome_of(task.name, replay)


@contextmanager
def _without_collector() -> Iterator[None]:
    """A replay makes millions of values and no cycles: the collector would look through all of them for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


_told: "SimpleQueue[tuple[int, float] | None] | None" = None


def _begin(told: "SimpleQueue[tuple[int, float] | None]") -> None:
    global _told  # noqa: PLW0603 (a worker process has one queue, from its start to its end)
    _told = told
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker process has this to watch"
    parent.join()
    os._exit(1)


def _work(number: int, task: Task) -> Outcome:
    last = 0.0

    def tell(share: float) -> None:
        nonlocal last
        if _told is not None and share - last >= 0.01:
            last = share
            _told.put((number, share))

    return run_one(task, tell)


def _on_processes(tasks: Sequence[Task], progress: Progress, count: int) -> list[Outcome]:
    context = multiprocessing.get_context("spawn")  # a fork would carry threads of other libraries along
    told: SimpleQueue[tuple[int, float] | None] = context.SimpleQueue()
    shares = [0.0] * len(tasks)

    def listen() -> None:
        while (news := told.get()) is not None:
            shares[news[0]] = max(shares[news[0]], news[1])
            progress(sum(shares))

    listener = Thread(target=listen, daemon=True)
    listener.start()
    largest_first = sorted(range(len(tasks)), key=lambda i: -len(tasks[i].scene.jobs))
    futures: dict[int, Future[Outcome]] = {}

    def done(number: int, future: "Future[Outcome]") -> None:
        if not future.cancelled() and future.exception() is None:
            told.put((number, 1.0))

    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(told,))
    try:
        with _deaf_to_interrupts():
            for number in largest_first:
                futures[number] = pool.submit(_work, number, tasks[number])
                futures[number].add_done_callback(partial(done, number))
        outcomes = [futures[number].result() for number in range(len(tasks))]
    except BrokenProcessPool as error:
        hint = "memory may have run out: give fewer --workers"
        raise Unavailable("a process of the replay was ended from outside", field="workers", hint=hint) from error
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()  # none of them has anything to save
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    told.put(None)
    listener.join()
    return outcomes


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C: whoever started them does, and ends them."""
    if current_thread() is not main_thread():
        yield
        return
    was = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, was)
