"""What every engine owes the control plane: the sentences of engines/protocol.py, one by one."""

import pytest
from engine_rigs import SECOND, Rig

from sublet.core.errors import Invalid, NotFound
from sublet.core.ids import NodeId, RunId
from sublet.engines.protocol import NoticeOrder, Phase, StartOrder, StopOrder

SLACK = 2 * SECOND  # a loaded machine is late, but never early


def test_a_run_starts_and_ends_with_its_code_and_its_real_times(rig: Rig) -> None:
    before = rig.now()
    run = rig.start("exits with 7")
    seen = rig.until(run, Phase.EXITED)
    assert seen.exit_code == 7
    assert seen.started_us is not None and seen.exited_us is not None
    assert before <= seen.started_us <= seen.exited_us <= rig.now()
    assert 40_000 <= seen.exited_us - seen.started_us <= SLACK


def test_the_end_is_told_as_it_was_although_nobody_watched(rig: Rig) -> None:
    run = rig.start("exits with 7")
    first = rig.until(run, Phase.EXITED)
    for _ in range(20):
        rig.step()
    assert rig.seen(run) == first


def test_starting_again_changes_nothing(rig: Rig) -> None:
    run = rig.start("goes on")
    rig.start("goes on")
    first = rig.until(run, Phase.RUNNING)
    rig.start("goes on")
    for _ in range(10):
        rig.step()
    assert rig.seen(run) == first


def test_an_exited_run_is_never_started_again(rig: Rig) -> None:
    run = rig.start("exits with 7")
    rig.until(run, Phase.EXITED)
    rig.start("exits with 7")
    assert rig.seen(run).phase is Phase.EXITED
    rig.engine.clean([run])
    before = rig.seen(run)
    rig.start("exits with 7")
    rig.step()
    assert rig.seen(run) == before and before.phase is Phase.CLEAN


def test_a_noticed_run_may_save_and_say_so_with_85(rig: Rig) -> None:
    run = rig.start("saves on notice")
    rig.until(run, Phase.RUNNING)
    assert rig.seen(run).checkpoint_us is None
    deadline = rig.now() + 30 * SECOND
    rig.engine.notify([NoticeOrder(run, deadline, "reclaimed")])
    seen = rig.until(run, Phase.EXITED)
    assert seen.exit_code == 85
    assert seen.exited_us is not None and seen.exited_us < deadline
    assert seen.started_us is not None and seen.checkpoint_us is not None
    assert seen.started_us <= seen.checkpoint_us <= seen.exited_us


def test_the_deadline_of_a_notice_is_enforced_without_further_orders(rig: Rig) -> None:
    run = rig.start("ignores signals")
    rig.until(run, Phase.RUNNING)
    deadline = rig.now() + 200_000
    rig.engine.notify([NoticeOrder(run, deadline, "reclaimed")])
    assert rig.seen(run).phase is Phase.RUNNING
    seen = rig.until(run, Phase.EXITED)
    assert seen.exit_code == -9 and seen.evidence["ended_by"] == "notice"
    assert seen.exited_us is not None and deadline <= seen.exited_us <= deadline + SLACK


def test_an_earlier_deadline_replaces_a_later_one_and_never_the_other_way(rig: Rig) -> None:
    run = rig.start("ignores signals")
    rig.until(run, Phase.RUNNING)
    now = rig.now()
    for late in (60, 0, 90):
        rig.engine.notify([NoticeOrder(run, now + late * SECOND + 200_000, "reclaimed")])
    seen = rig.until(run, Phase.EXITED)
    assert seen.exited_us is not None and seen.exited_us <= now + 200_000 + SLACK


def test_a_stop_ends_a_run_that_obeys_at_once(rig: Rig) -> None:
    run = rig.start("goes on")
    rig.until(run, Phase.RUNNING)
    asked = rig.now()
    rig.engine.stop([StopOrder(run, 60 * SECOND)])
    seen = rig.until(run, Phase.EXITED)
    assert seen.exited_us is not None and asked <= seen.exited_us <= asked + SLACK
    assert seen.exit_code == -15 or rig.name == "sandbox"  # a sandbox tells of signals in the shell's way
    assert seen.exit_code in {-15, 143}


def test_a_stop_kills_what_ignores_it_after_the_grace_and_repeating_it_gives_no_more(rig: Rig) -> None:
    run = rig.start("ignores signals")
    rig.until(run, Phase.RUNNING)
    asked = rig.now()
    for grace in (300_000, 300_000, 60 * SECOND):
        rig.engine.stop([StopOrder(run, grace)])
        rig.step()
    seen = rig.until(run, Phase.EXITED)
    assert seen.exit_code == -9
    assert seen.exited_us is not None and asked + 300_000 <= seen.exited_us <= asked + 300_000 + SLACK


def test_what_was_stopped_before_it_began_never_runs(rig: Rig) -> None:
    run = RunId("lease.1")
    rig.engine.stop([StopOrder(run, 0)])
    rig.start("goes on")
    for _ in range(10):
        rig.step()
    seen = rig.seen(run)
    assert seen.phase is Phase.EXITED
    assert seen.started_us is None and seen.exit_code is None and seen.exited_us is not None
    rig.engine.clean([run])
    assert rig.seen(run).phase is Phase.CLEAN


def test_a_stop_right_behind_the_start_leaves_nothing_running(rig: Rig) -> None:
    run = rig.start("goes on")
    rig.engine.stop([StopOrder(run, 5 * SECOND)])
    seen = rig.until(run, Phase.EXITED)
    assert seen.exit_code in {None, -15, 143}


def test_the_end_of_the_term_needs_no_order(rig: Rig) -> None:
    end = rig.now() + rig.start_us + 600_000
    run = rig.start("ignores signals", kill_at_us=end)
    seen = rig.until(run, Phase.EXITED)
    assert seen.evidence["ended_by"] == "term" and seen.exit_code == -9
    assert seen.exited_us is not None and end <= seen.exited_us <= end + SLACK


def test_a_workload_has_its_own_limit_of_time(rig: Rig) -> None:
    run = rig.start("ignores signals", max_seconds=1)
    seen = rig.until(run, Phase.EXITED)
    assert seen.evidence["ended_by"] == "max_seconds"
    assert seen.started_us is not None and seen.exited_us is not None
    assert SECOND <= seen.exited_us - seen.started_us <= SECOND + SLACK


def test_only_an_exited_run_is_handed_over_and_once_clean_stays_clean(rig: Rig) -> None:
    run = rig.start("goes on")
    rig.until(run, Phase.RUNNING)
    rig.engine.clean([run])
    assert rig.seen(run).phase is Phase.RUNNING
    rig.engine.stop([StopOrder(run, 0)])
    rig.until(run, Phase.EXITED)
    rig.engine.clean([run])
    seen = rig.seen(run)
    assert seen.phase is Phase.CLEAN
    rig.engine.clean([run])
    assert rig.seen(run) == seen


def test_only_finished_runs_are_forgotten(rig: Rig) -> None:
    run = rig.start("goes on")
    rig.until(run, Phase.RUNNING)
    rig.engine.forget([run])
    assert run in rig.engine.observe()
    rig.engine.stop([StopOrder(run, 0)])
    rig.until(run, Phase.EXITED)
    rig.engine.forget([run])
    assert run in rig.engine.observe()
    rig.engine.clean([run])
    rig.engine.forget([run])
    rig.engine.forget([run])
    assert run not in rig.engine.observe()


def test_orders_for_unknown_runs_and_volumes_are_harmless(rig: Rig) -> None:
    stranger = RunId("stranger.1")
    rig.engine.notify([NoticeOrder(stranger, rig.now(), "reclaimed")])
    rig.engine.clean([stranger])
    rig.engine.forget([stranger])
    rig.engine.discard("stranger")
    assert stranger not in rig.engine.observe()
    with pytest.raises(NotFound):
        list(rig.engine.logs(stranger))


def test_one_bad_order_does_not_stop_the_others(rig: Rig) -> None:
    good = rig.order("goes on", "good.1")
    elsewhere = StartOrder(RunId("bad.1"), "task", ((NodeId("elsewhere"), 1),), good.workload)
    too_many = rig.order("goes on", "bad.2", mask=1 << 60)
    with pytest.raises(Invalid):
        rig.engine.start([elsewhere, good, too_many])
    rig.until(good.run, Phase.RUNNING)
    assert set(rig.engine.observe()) == {good.run}


def test_the_nodes_are_told_with_their_slots_and_health(rig: Rig) -> None:
    (node,) = rig.engine.nodes()
    assert node.gpus == 4 and node.healthy and node.gpu_model
    assert rig.engine.capabilities.isolation
