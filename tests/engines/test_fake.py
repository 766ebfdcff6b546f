"""The fake engine's scripting, and that it is fast enough for simulations."""

import time
from pathlib import Path

import pytest
from engine_rigs import FakeClock

from sublet.core.errors import Invalid
from sublet.core.ids import NodeId, RunId
from sublet.core.workload import Workload
from sublet.engines.fake import Behaviour, FakeEngine
from sublet.engines.protocol import Phase, StartOrder
from sublet.engines.registry import ENGINES, EngineOptions, make_engine

RUN = RunId("lease.1")


def order(run: str = RUN, node: str = "node-00000", mask: int = 1) -> StartOrder:
    return StartOrder(RunId(run), "task", ((NodeId(node), mask),), Workload("exit"), volume="lease")


def test_finish_ends_a_run_once() -> None:
    clock = FakeClock()
    engine = FakeEngine(clock=clock)
    engine.start([order()])
    engine.say(RUN, b"hello")
    engine.checkpoint(RUN)
    marked = clock.now
    clock.now += 5
    engine.finish(RUN, 3)
    engine.finish(RUN, 4)
    seen = engine.observe()[RUN]
    assert (seen.phase, seen.exit_code, seen.exited_us) == (Phase.EXITED, 3, clock.now)
    assert seen.checkpoint_us == marked
    assert list(engine.logs(RUN, offset=1)) == [b"ello"]


def test_a_crashed_node_loses_its_runs_and_no_others() -> None:
    engine = FakeEngine(clock=FakeClock(), nodes=2)
    engine.start([order("a.1"), order("b.1", "node-00001")])
    engine.crash_node(NodeId("node-00000"))
    seen = engine.observe()
    assert seen[RunId("a.1")].phase is Phase.EXITED and seen[RunId("a.1")].exit_code is None
    assert seen[RunId("b.1")].phase is Phase.RUNNING
    assert [node.healthy for node in engine.nodes()] == [False, True]
    engine.repair_node(NodeId("node-00000"))
    assert all(node.healthy for node in engine.nodes())


def test_a_failing_hand_over_is_dirty_until_it_works() -> None:
    engine = FakeEngine(clock=FakeClock())
    engine.start([order()])
    engine.finish(RUN)
    engine.fail_clean(RUN)
    engine.clean([RUN])
    assert engine.observe()[RUN].phase is Phase.DIRTY
    engine.fail_clean(RUN, fail=False)
    engine.clean([RUN])
    assert engine.observe()[RUN].phase is Phase.CLEAN


def test_runs_end_by_themselves_when_the_clock_says_so() -> None:
    clock = FakeClock()
    engine = FakeEngine(clock=clock, start_us=10, behave=lambda _: Behaviour(runs_us=100, exit_code=2))
    begun = clock.now
    engine.start([order()])
    assert engine.observe()[RUN].phase is Phase.STARTING
    clock.now += 1_000
    seen = engine.observe()[RUN]
    assert (seen.started_us, seen.exited_us, seen.exit_code) == (begun + 10, begun + 110, 2)


def test_ten_thousand_runs_take_well_under_a_second() -> None:
    engine = FakeEngine(clock=FakeClock(), nodes=1_250)
    orders = [order(f"l{n}.1", f"node-{n // 8:05d}", 1 << n % 8) for n in range(10_000)]
    begun = time.perf_counter()
    engine.start(orders)
    assert len(engine.observe()) == 10_000
    assert time.perf_counter() - begun < 0.7


def test_engines_are_made_by_name(tmp_path: Path) -> None:
    assert {"fake", "local"} <= ENGINES.keys()
    clock = FakeClock()
    options = EngineOptions(state=tmp_path, slots=3, clock=clock)
    for name in ENGINES.keys() - {"slurm"}:  # which needs a cluster
        engine = make_engine(name, options)
        assert engine.capabilities.name == name and engine.nodes()[0].gpus == 3
    with pytest.raises(Invalid, match="no engine 'mainframe'"):
        make_engine("mainframe", options)
