"""Crashes at every joint: no lease is lost, and none runs twice."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_rigs import Rig
from slurm_house import SlurmHouse

from conftest import engine_on
from or_skip import or_skip
from slurm_cluster import Cluster
from small_disk import NoDisk, SmallDisk, small_disk
from sublet.core.errors import Unavailable
from sublet.core.ids import RunId
from sublet.core.lease import Cause, State
from sublet.core.owner import JobState
from sublet.engines.protocol import Phase
from sublet.engines.slurm.engine import ALIVE_EVERY_S, JOB_RECORD, SlurmEngine
from sublet.engines.slurm.net import ALIVE
from sublet.engines.slurm.site import Cluster as Site
from sublet.engines.slurm.site import mark_of
from sublet.engines.slurm.tools import Tools
from sublet.engines.slurm.transport import Submission

ONCE = 'echo "$SLURM_JOB_ID" >>"$SUBLET_CHECKPOINT_DIR/ran"; exec sleep 60'


def rig_on(site: Site, engine: SlurmEngine | None = None) -> Rig:
    now = lambda: time.time_ns() // 1_000  # noqa: E731
    return Rig("slurm", engine or engine_on(site), now, lambda: time.sleep(0.02), site.shared)


def ran(site: Site) -> list[str]:
    """The Slurm jobs in which the workload of `ONCE` really ran."""
    return (site.shared / "volumes" / "lease" / "ran").read_text().split()


def jobs_of(made: Cluster, site: Site, run: str) -> list[str]:
    said = made.run("squeue", "-h", "-t", "all", "-o", "%i %T %k")
    return [line.split()[1] for line in said.splitlines() if line.split()[-1] == mark_of(site, run)]


def test_a_fresh_engine_takes_over_what_runs(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node)
    first = rig_on(site)
    run = first.start(ONCE)
    first.until(run, Phase.RUNNING)
    second = rig_on(site)
    assert second.seen(run) == first.seen(run)
    second.start(ONCE)
    assert len(jobs_of(one_node, site, run)) == 1
    second.end_all()
    assert len(ran(site)) == 1


def test_a_crash_between_queueing_a_job_and_writing_that_down_queues_no_second(
    one_node: Cluster, on: Callable[..., Site]
) -> None:
    site = on(one_node)
    first = rig_on(site)
    run = first.start(ONCE)
    (site.shared / "runs" / run / JOB_RECORD).unlink()
    second = rig_on(site)
    second.start(ONCE)
    second.until(run, Phase.RUNNING)
    assert len(jobs_of(one_node, site, run)) == 1
    second.end_all()


def test_an_answer_that_got_lost_queues_no_second_job(
    one_node: Cluster, on: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = on(one_node)
    rig = rig_on(site)
    honest = Tools.submit

    def loses_the_answer(self: Tools, job: Submission) -> int:
        honest(self, job)
        raise Unavailable("sbatch did not answer")

    monkeypatch.setattr(Tools, "submit", loses_the_answer)
    with pytest.raises(Unavailable):
        rig.start(ONCE)
    monkeypatch.setattr(Tools, "submit", honest)
    run = rig.start(ONCE)
    rig.until(run, Phase.RUNNING)
    assert len(jobs_of(one_node, site, run)) == 1
    rig.end_all()


def test_of_two_jobs_of_one_run_one_runs(one_node: Cluster, on: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    site = on(one_node)
    rig = rig_on(site)
    honest = Tools.submit
    monkeypatch.setattr(Tools, "submit", lambda self, job: (honest(self, job), honest(self, job))[1])
    run = rig.start(ONCE)
    rig.until(run, Phase.RUNNING)
    one_node.until(lambda: jobs_of(one_node, site, run).count("RUNNING") == 1 and "PENDING" not in jobs_of(one_node, site, run))
    rig.end_all()
    assert len(ran(site)) == 1


def test_a_job_that_somebody_requeues_does_not_run_again(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node)
    rig = rig_on(site)
    run = rig.start(ONCE)
    rig.until(run, Phase.RUNNING)
    number = (site.shared / "runs" / run / "taken").readlink().name
    one_node.run("scontrol", "update", f"jobid={number}", "requeue=1")
    one_node.run("scontrol", "requeue", number)
    one_node.until(lambda: one_node.state(int(number)) in {"COMPLETED", "CANCELLED"}, within_s=40)
    assert rig.seen(run).phase is Phase.EXITED
    rig.end_all()
    assert len(ran(site)) == 1


def test_a_job_that_an_operator_cancels_ends_as_such(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node)
    rig = rig_on(site)
    run = rig.start("exec sleep 60")
    rig.until(run, Phase.RUNNING)
    one_node.run("scancel", (site.shared / "runs" / run / "taken").readlink().name)
    rig.until(run, Phase.EXITED)
    one_node.until(lambda: "CANCELLED" in rig.seen(run).evidence.get("slurm", ""), within_s=40)  # Slurm says so a little later
    rig.end_all()


def test_a_job_that_an_operator_cancels_before_it_began_ends_as_such(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node, held=True)
    rig = rig_on(site)
    run = rig.start(ONCE)
    rig.until(run, Phase.STARTING)
    one_node.run("scancel", str(json.loads((site.shared / "runs" / run / JOB_RECORD).read_text())["job"]))
    assert rig.until(run, Phase.EXITED).exit_code == -signal.SIGTERM
    rig.end_all()


def test_no_python_on_the_node_is_said(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node, python="/opt/no/such/python3")
    rig = rig_on(site)
    run = rig.start("true")
    seen = rig.until(run, Phase.EXITED)
    assert seen.started_us is None and seen.exit_code == 127 and "/opt/no/such/python3" in seen.evidence["error"]
    rig.end_all()


def test_a_hanging_slurmrestd_is_passed_by(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node, rest=True, timeout_s=1.0)
    rig = rig_on(site)
    run = rig.start(ONCE)
    rig.until(run, Phase.RUNNING)
    daemon = one_node.processes["slurmrestd"].pid
    os.kill(daemon, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for _ in range(40):
            assert rig.seen(run).phase is Phase.RUNNING
            rig.step()
        assert time.monotonic() - began < 4, "one wait of a second, then the tools"
    finally:
        os.kill(daemon, signal.SIGCONT)
    rig.end_all()


Settle = Callable[..., SlurmHouse]


@pytest.fixture
def settle(eight_nodes: Cluster, on: Callable[..., Site], sqlite_template: Path, tmp_path: Path) -> Iterator[Settle]:
    """A house whose database lies where a test wants it."""
    made: list[SlurmHouse] = []

    def settled(folder: Path = tmp_path, **site: Any) -> SlurmHouse:
        database = folder / "sublet.db"
        database.write_bytes(sqlite_template.read_bytes())
        eight_nodes.preempts(on=False)
        made.append(
            SlurmHouse(eight_nodes, on(eight_nodes, **{"timeout_s": 2.0, **site}), f"sqlite:///{database}", tmp_path / "data")
        )
        return made[-1]

    yield settled
    eight_nodes.cancel_all()
    for one in made:
        one.release_all()
        assert one.findings() == []
        one.close()


@pytest.fixture
def house(settle: Settle) -> SlurmHouse:
    return settle()


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    made = small_disk(Path(tempfile.gettempdir()) / f"sublet-slurm-disk-{os.getpid()}", mib=24)
    with or_skip(made, NoDisk) as found:
        yield found


def test_while_the_disk_is_full_sublet_is_silent_so_that_slurm_s_own_net_opens(disk: SmallDisk, settle: Settle) -> None:
    house = settle(disk.path)
    lease = house.ask(8)
    house.until_active(lease)
    alive = house.site.shared / ALIVE
    house.until(alive.exists, said="a sign of life")
    with house.database.driver() as (execute, _):
        execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.fill()
    house.cluster.submit("sleep 60", "--gres=gpu:8")
    house.until(lambda: "owner_queue" in house.plane.loops.failing, said="the failure to be said")
    assert "free some space" in house.plane.loops.failing["owner_queue"]
    before = alive.stat().st_mtime_ns
    end = time.monotonic() + 2 * ALIVE_EVERY_S
    while time.monotonic() < end:
        house.tick()
        time.sleep(0.1)
    assert alive.stat().st_mtime_ns == before, "it looks on and can decide nothing"
    disk.free()
    began = time.monotonic()
    house.until(lambda: house.jobs() and house.jobs()[0].state is JobState.RUNNING, said="the books to follow")
    print(f"disk full: the books were right {time.monotonic() - began:.1f} s after there was room again")
    house.until(lambda: alive.stat().st_mtime_ns > before, said="another sign of life")
    assert (house.lease(lease).state, house.lease(lease).attempt) == (State.ACTIVE, 1)


def test_a_hanging_slurmrestd_keeps_no_owner_waiting(settle: Settle) -> None:
    house = settle(rest=True, timeout_s=10.0)
    leased = [house.ask(8) for _ in range(8)]
    house.until_active(*leased)
    daemon = house.cluster.processes["slurmrestd"].pid
    os.kill(daemon, signal.SIGSTOP)
    try:
        job = house.cluster.submit("sleep 60", "--gres=gpu:8", "-N2")
        noticed = house.until(lambda: any(house.lease(one).state is State.NOTICED for one in leased), said="a notice")
        took = noticed + house.until(lambda: house.cluster.state(job) == "RUNNING", said="the owner's job to run")
        print(f"slurmrestd hangs: notice {noticed:.1f} s after the owner's submission, his job after {took:.1f} s")
    finally:
        os.kill(daemon, signal.SIGCONT)
    assert sum(house.lease(one).state is State.ACTIVE for one in leased) == 6


def test_leases_live_through_the_death_of_slurmctld(house: SlurmHouse) -> None:
    leased = [house.ask(4) for _ in range(4)]
    house.until_active(*leased)
    time.sleep(5)  # slurmctld saves its state every few seconds
    house.cluster.kill("slurmctld")
    house.tick()
    house.until(lambda: "observe" in house.plane.loops.failing, said="the failure to be said")
    assert "is slurmctld up?" in house.plane.loops.failing["observe"]
    house.cluster.start("slurmctld")
    back = house.until(lambda: not house.plane.loops.failing, said="it to be over")
    print(f"slurmctld killed: everything was seen again {back:.1f} s after it was back")
    house.reopen()
    for _ in range(20):
        house.tick()
        time.sleep(0.1)
    assert {house.lease(one).state for one in leased} == {State.ACTIVE}
    assert {house.lease(one).attempt for one in leased} == {1}


def test_a_lease_that_was_given_a_node_which_had_just_died_begins_elsewhere(house: SlurmHouse) -> None:
    """Slurm takes a while to notice, and its job would then wait for that node for ever while others are free."""
    house.tick()
    dead = min(house.cluster.nodes())
    house.cluster.kill(dead)
    leased = [house.ask(8) for _ in range(2)]
    house.until_active(*leased)
    (late,) = [one for one in leased if house.lease(one).attempt == 2]
    (lost,) = house.attempts(late)
    assert (lost.started_us, lost.cause, lost.exit_code) == (None, Cause.FAILED, None)
    assert dead not in {node for one in leased for node, _ in house.lease(one).placement}
    house.cluster.start(dead)
    house.cluster.until_responding()


def test_a_lease_whose_node_is_lost_comes_again_elsewhere_and_its_old_run_is_ended(house: SlurmHouse) -> None:
    lease = house.ask(4, run='echo "$SUBLET_ATTEMPT" >>"$SUBLET_CHECKPOINT_DIR/ran"; exec sleep 300')
    house.until_active(lease)
    ((node, _),) = house.lease(lease).placement
    old = house.lease(lease).run
    house.cluster.kill(str(node))
    again = house.until(lambda: house.lease(lease).attempt == 2, within_s=90, said="the next attempt")
    print(f"slurmd killed: its lease was granted elsewhere after {again:.1f} s, 9 of them until Slurm calls a node lost")
    house.until_active(lease)
    assert node not in {name for name, _ in house.lease(lease).placement}
    record = house.site.shared / "runs" / RunId(old) / "exit.json"
    assert record.exists(), "the agent of the lost run has ended it"
    assert (house.site.shared / "volumes" / lease / "ran").read_text().split() == ["1", "2"]
    house.cluster.start(str(node))
    house.cluster.until_responding()
