"""One rig per engine: the same tests drive all of them.

A workload is named by what it does; the rig turns the name into a shell script for engines that run processes, and into a
scripted behaviour for the fake.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sublet.core.ids import NodeId, RunId
from sublet.core.workload import Workload
from sublet.engines.fake import Behaviour, FakeEngine
from sublet.engines.local.engine import LocalEngine
from sublet.engines.protocol import Engine, Phase, Seen, StartOrder, StopOrder

SECOND = 1_000_000
WAIT_S = 15

SAVES = """trap 'touch "$SUBLET_CHECKPOINT_DIR/.sublet-checkpointed"; exit 85' TERM; while :; do sleep 0.02; done"""
WORKLOADS: dict[str, tuple[str, Behaviour]] = {
    "exits with 7": ("sleep 0.05; exit 7", Behaviour(runs_us=50_000, exit_code=7)),
    "goes on": ("exec sleep 60", Behaviour()),
    "ignores signals": ("trap '' TERM; while :; do sleep 0.05; done", Behaviour(stops_us=None)),
    "saves on notice": (SAVES, Behaviour(notice_us=20_000, saves=True)),
}


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Rig:
    """An engine with what a test needs around it."""

    name: str
    engine: Engine
    now: Callable[[], int]
    step: Callable[[], None]
    state: Path | None = None
    started: list[RunId] = field(default_factory=list)
    start_us: int = 0  # how long its starts may take at most

    @property
    def node(self) -> NodeId:
        return self.engine.nodes()[0].id

    def order(self, what: str, run: str, **options: Any) -> StartOrder:
        """An order for a workload by name, or by its script."""
        script = WORKLOADS[what][0] if what in WORKLOADS else what
        limits = {key: options.pop(key) for key in ("memory_mib", "processes", "max_seconds", "setup") if key in options}
        workload = Workload(script, env=options.pop("workload_env", {}), **limits)
        placement = ((self.node, options.pop("mask", 1)),)
        return StartOrder(RunId(run), "task", placement, workload, **{"volume": run.split(".", maxsplit=1)[0], **options})

    def start(self, what: str, run: str = "lease.1", **options: Any) -> RunId:
        order = self.order(what, run, **options)
        self.engine.start([order])
        self.started.append(order.run)
        return order.run

    def seen(self, run: RunId) -> Seen:
        return self.engine.observe()[run]

    def until(self, run: RunId, phase: Phase) -> Seen:
        """Wait for a phase, letting time pass."""
        give_up = time.monotonic() + WAIT_S
        while time.monotonic() < give_up:
            seen = self.engine.observe().get(run)
            if seen is not None and seen.phase is phase:
                return seen
            self.step()
        pytest.fail(f"{run} is {self.engine.observe().get(run)}, not {phase}; it printed {self.printed(run)!r}")

    def until_printed(self, run: RunId, text: str) -> str:
        give_up = time.monotonic() + WAIT_S
        while time.monotonic() < give_up:
            if text in self.printed(run):
                return self.printed(run)
            self.step()
        pytest.fail(f"{run} printed {self.printed(run)!r}, not {text!r}; it is {self.seen(run)}")

    def result(self, what: str, run: str = "lease.1", **options: Any) -> str:
        """What a short script printed."""
        name = self.start(what, run, **options)
        self.until(name, Phase.EXITED)
        return self.printed(name)

    def printed(self, run: RunId) -> str:
        return b"".join(self.engine.logs(run)).decode(errors="replace")

    def until_handed_over(self, run: RunId) -> Seen:
        """Clean until there is a verdict; an engine may have to wait for others first."""
        give_up = time.monotonic() + WAIT_S
        while self.seen(run).phase is Phase.EXITED and time.monotonic() < give_up:
            self.engine.clean([run])
            self.step()
        return self.seen(run)

    def end_all(self) -> None:
        for run, seen in self.engine.observe().items():
            if seen.phase in {Phase.STARTING, Phase.RUNNING}:
                self.engine.stop([StopOrder(run, 0)])
                self.until(run, Phase.EXITED)
            self.engine.clean([run])


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory that other users can walk to, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="sublet-engine-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def local_rig(name: str, state: Path, **options: Any) -> Rig:
    engine = LocalEngine(state, slots=4, **options)
    return Rig(name, engine, lambda: time.time_ns() // 1_000, lambda: time.sleep(0.003), state)


def plain_rig(state: Path, **options: Any) -> Rig:
    """Processes without a sandbox; nothing but the system is promised readable, so that users of their own are possible."""
    return local_rig("plain", state, **{"use_sandbox": False, "readable": (), **options})


def sandbox_rig(state: Path, **options: Any) -> Rig:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    rig = local_rig("sandbox", state, **options)
    if not rig.engine.capabilities.isolation.startswith("bubblewrap"):
        pytest.skip(rig.engine.capabilities.isolation)
    return rig


def fake_rig() -> Rig:
    clock = FakeClock()
    scripts = dict(WORKLOADS.values())

    def step() -> None:
        clock.now += 10_000

    engine = FakeEngine(clock=clock, gpus=4, start_us=20_000, behave=lambda order: scripts[order.workload.run])
    return Rig("fake", engine, clock, step)


@pytest.fixture(params=["plain", "sandbox"])
def local(request: pytest.FixtureRequest, state: Path) -> Iterator[Rig]:
    """The local engine with and without a sandbox."""
    rig = plain_rig(state) if request.param == "plain" else sandbox_rig(state)
    yield rig
    rig.end_all()


@pytest.fixture(params=["fake", "plain", "sandbox"])
def rig(request: pytest.FixtureRequest, state: Path) -> Iterator[Rig]:
    """Every engine."""
    makers: dict[str, Callable[[Path], Rig]] = {"fake": lambda _: fake_rig(), "plain": plain_rig, "sandbox": sandbox_rig}
    made = makers[request.param](state)
    yield made
    made.end_all()


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
