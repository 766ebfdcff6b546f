"""Two engines over one directory: that of the leader, and one made to stand ready, which takes over or comes back too late."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_rigs import Rig

from conftest import engine_on
from slurm_cluster import Cluster
from sublet.core.errors import Unavailable
from sublet.core.ids import RunId
from sublet.engines.local import records
from sublet.engines.local.rundir import RunDir
from sublet.engines.protocol import NoticeOrder, Phase, StopOrder
from sublet.engines.slurm.preparation import draft
from sublet.engines.slurm.site import Cluster as Site
from sublet.engines.slurm.site import mark_of

SAVES = 'trap "exit 85" TERM; echo "$SUBLET_RUN_ID" >>"$SUBLET_CHECKPOINT_DIR/ran"; sleep 60 & wait $!'


def rig_on(site: Site) -> Rig:
    return Rig("slurm", engine_on(site), lambda: time.time_ns() // 1_000, lambda: time.sleep(0.02), site.shared)


def jobs_of(made: Cluster, site: Site, run: str) -> int:
    said = made.run("squeue", "-h", "-t", "all", "-o", "%k")
    return said.split().count(mark_of(site, run))


def ran(site: Site) -> list[str]:
    return (site.shared / "volumes" / "lease" / "ran").read_text().split()


def test_an_engine_that_stood_ready_sees_what_was_started_since_it_was_made(one_node: Cluster, on: Callable[..., Site]) -> None:
    """A leader ends just when a replica starts: what it began in between would be lost, and begun again elsewhere."""
    site = on(one_node)
    leads, stands_ready = rig_on(site), rig_on(site)
    run = leads.start(SAVES)
    leads.until(run, Phase.RUNNING)
    assert stands_ready.seen(run) == leads.seen(run)
    stands_ready.start(SAVES)
    assert jobs_of(one_node, site, run) == 1
    stands_ready.end_all()
    assert ran(site) == [run]


def test_a_run_that_another_made_after_our_look_is_taken_as_it_is(one_node: Cluster, on: Callable[..., Site]) -> None:
    """A leader that was paused in the middle of an order carries it out when it wakes up, and another leads by then."""
    site = on(one_node)
    woke, leads = rig_on(site), rig_on(site)
    assert not leads.engine.observe()
    run = woke.start(SAVES)
    woke.until(run, Phase.RUNNING)
    leads.start(SAVES)
    assert jobs_of(one_node, site, run) == 1
    assert leads.until(run, Phase.RUNNING).started_us == woke.seen(run).started_us
    leads.end_all()
    assert ran(site) == [run]


def test_orders_reach_a_run_that_another_made_after_our_look(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node)
    woke, leads = rig_on(site), rig_on(site)
    assert not leads.engine.observe()
    run = woke.start(SAVES)
    woke.until(run, Phase.RUNNING)
    leads.engine.notify([NoticeOrder(run, leads.now() + 20_000_000, "reclaimed", "TERM")])
    assert woke.until(run, Phase.EXITED).exit_code == 85
    leads.engine.stop([StopOrder(run, 0)])
    assert leads.until_handed_over(run).phase is Phase.CLEAN


def test_a_late_start_of_what_was_ended_before_it_began_begins_nothing(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node)
    woke, leads = rig_on(site), rig_on(site)
    assert not woke.engine.observe()
    leads.engine.stop([StopOrder(RunId("lease.1"), 0)])
    run = woke.start(SAVES)
    assert woke.seen(run).phase is Phase.EXITED and jobs_of(one_node, site, run) == 0
    leads.engine.clean([run])


def test_who_stands_ready_disturbs_no_leader_and_who_takes_over_clears_up(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node)
    leads = rig_on(site)
    half_made = site.shared / "runs" / ".new-lease.1-0a0b0c0d"
    half_made.mkdir()
    takes_over = rig_on(site)
    assert half_made.exists(), "it is the leader's, who is just making it"
    assert leads.engine.observe() == {} and not half_made.exists()
    half_made.mkdir()
    assert takes_over.engine.observe() == {} and not half_made.exists()


def test_a_start_that_failed_half_way_is_tried_again(
    one_node: Cluster, on: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = on(one_node)
    rig = rig_on(site)
    honest = records.sync_directory

    def no_space(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(records, "sync_directory", no_space)
    with pytest.raises(Unavailable, match="is full"):
        rig.start(SAVES)
    assert list((site.shared / "runs").iterdir()) == []
    monkeypatch.setattr(records, "sync_directory", honest)
    run = rig.start(SAVES)
    rig.until(run, Phase.RUNNING)
    rig.end_all()


def test_of_two_who_make_one_run_the_first_makes_it(tmp_path: Path) -> None:
    final = RunDir(tmp_path / "lease.1")
    with draft(final) as slow:
        (slow.path / "by").write_text("the slow one")
        with draft(final) as quick:
            (quick.path / "by").write_text("the quick one")
    assert (final.path / "by").read_text() == "the quick one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["lease.1"]


def test_a_draft_that_cannot_be_completed_goes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"), draft(RunDir(tmp_path / "lease.1")):
        raise ValueError("half way")
    assert list(tmp_path.iterdir()) == []
