"""What only the Slurm engine does: gangs over nodes, Slurm's GPUs, the hand-over on the node, the owner's queue."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_rigs import SECOND, Rig

from conftest import engine_on, running
from slurm_cluster import Cluster, Layout
from sublet.core.errors import Unavailable
from sublet.core.ids import NodeId, RunId
from sublet.core.workload import Workload
from sublet.engines.protocol import NoticeOrder, Phase, StartOrder, StopOrder
from sublet.engines.slurm import epilog
from sublet.engines.slurm.check import Grade, points
from sublet.engines.slurm.site import Cluster as Site


@pytest.fixture
def gangs(eight_nodes: Cluster, on: Callable[..., Site]) -> Iterator[Rig]:
    site = on(eight_nodes, rest=True)
    made = Rig("slurm", engine_on(site), lambda: time.time_ns() // 1_000, lambda: time.sleep(0.02), site.shared)
    yield made
    made.end_all()


def gang(rig: Rig, run: str, script: str, *nodes: tuple[str, int], volume: str | None = None) -> RunId:
    placement = tuple((NodeId(node), mask) for node, mask in nodes)
    rig.engine.start([StartOrder(RunId(run), "task", placement, Workload(script), volume=volume)])
    return RunId(run)


def test_a_gang_runs_on_its_nodes_with_ranks_hosts_and_gpus(gangs: Rig) -> None:
    says = 'echo "$SUBLET_NODE_RANK/$SUBLET_NUM_NODES $SLURMD_NODENAME $SUBLET_GPU_IDS" $SUBLET_NODE_IPS'
    run = gang(gangs, "gang.1", says, ("node2", 0b111), ("node5", 0b111))
    seen = gangs.until(run, Phase.EXITED)
    assert seen.exit_code == 0
    assert sorted(gangs.printed(run).split("\n")[:2]) == ["0/2 node2 0,1,2 node2 node5", "1/2 node5 0,1,2 node2 node5"]


def test_a_gang_hears_its_notice_on_every_node_and_may_save(gangs: Rig) -> None:
    saves = "trap 'touch \"$SUBLET_CHECKPOINT_DIR/$SUBLET_NODE_RANK\"; exit 85' TERM; while :; do sleep 0.05; done"
    run = gang(gangs, "gang.1", saves, ("node1", 1), ("node2", 1), volume="gang")
    gangs.until(run, Phase.RUNNING)
    time.sleep(1)  # srun needs a moment to reach its nodes
    gangs.engine.notify([NoticeOrder(run, gangs.now() + 20 * SECOND, "reclaimed")])
    seen = gangs.until(run, Phase.EXITED)
    assert seen.exit_code == 85
    assert gangs.state is not None
    assert {path.name for path in (gangs.state / "volumes" / "gang").iterdir()} == {"0", "1"}


def test_the_deadline_ends_a_gang_that_hears_nothing(gangs: Rig) -> None:
    run = gang(gangs, "gang.1", "trap '' TERM; while :; do sleep 0.05; done", ("node1", 1), ("node2", 1))
    gangs.until(run, Phase.RUNNING)
    time.sleep(1)
    deadline = gangs.now() + SECOND
    gangs.engine.notify([NoticeOrder(run, deadline, "reclaimed")])
    seen = gangs.until(run, Phase.EXITED)
    assert seen.exited_us is not None and deadline <= seen.exited_us <= deadline + 3 * SECOND
    assert seen.evidence["ended_by"] == "notice"


def test_two_runs_on_one_node_have_other_gpus(gangs: Rig) -> None:
    says = 'echo "$CUDA_VISIBLE_DEVICES"; sleep 2'
    first = gang(gangs, "one.1", says, ("node3", 0b1111))
    second = gang(gangs, "two.1", says, ("node3", 0b11110000))
    for run in (first, second):
        gangs.until(run, Phase.EXITED)
    assert sorted(gangs.printed(run).split() for run in (first, second)) == [["0,1,2,3"], ["4,5,6,7"]]


def test_logs_are_read_from_an_offset(gangs: Rig) -> None:
    run = gang(gangs, "talks.1", "printf 0123456789", ("node3", 1))
    gangs.until(run, Phase.EXITED)
    assert b"".join(gangs.engine.logs(run, offset=4)) == b"456789"


def test_what_slips_out_of_the_job_is_ended_by_its_agent(gangs: Rig, tmp_path: Path) -> None:
    escapes = f"setsid sh -c 'while :; do date +%s.%N >{tmp_path}/alive; sleep 0.1; done' & sleep 1"
    run = gang(gangs, "sly.1", escapes, ("node3", 1))
    seen = gangs.until(run, Phase.EXITED)
    assert "outlived" in seen.evidence
    time.sleep(0.5)
    assert time.time() - float((tmp_path / "alive").read_text()) > 0.4
    gangs.until_handed_over(run)
    assert gangs.seen(run).phase is Phase.CLEAN


def test_the_owner_s_jobs_are_told_with_their_shape(gangs: Rig, eight_nodes: Cluster) -> None:
    runs = eight_nodes.submit("sleep 60", "--gres=gpu:3", "-N2", "-w", "node6,node7", "--job-name=train")
    waits = eight_nodes.submit("sleep 60", "--gpus=60", "--job-name=large")
    whole = eight_nodes.submit("sleep 60", "--exclusive", "-w", "node8", "--mem=10M")
    eight_nodes.until(lambda: eight_nodes.state(runs) == eight_nodes.state(whole) == "RUNNING")
    time.sleep(0.3)
    gangs.engine.observe()
    work = {one.id: one for one in gangs.engine.owner_work() or ()}
    assert work[str(runs)].held == ((NodeId("node6"), 3), (NodeId("node7"), 3)) and work[str(runs)].name == "train"
    assert work[str(whole)].held == ((NodeId("node8"), 8),), "a job that shares its node with nobody has all its GPUs"
    assert work[str(waits)].started_us is None and (work[str(waits)].gpus, work[str(waits)].nodes) == (64, 8)
    eight_nodes.cancel_all()
    eight_nodes.until(lambda: eight_nodes.state(runs) == "CANCELLED")


@pytest.fixture(scope="module")
def with_epilog() -> Iterator[Cluster]:
    yield from running(Layout(nodes=1, gpus=4, epilog="@home@/epilog"))


def test_the_epilog_s_word_is_needed_where_it_is_promised(
    with_epilog: Cluster, on: Callable[..., Site], tmp_path: Path
) -> None:
    site = on(with_epilog, epilog=True)
    script = with_epilog.home / "epilog"
    script.write_text(epilog.script(site))
    script.chmod(0o755)
    rig = Rig("slurm", engine_on(site), lambda: time.time_ns() // 1_000, lambda: time.sleep(0.02), site.shared)
    run = rig.start("sleep 0.1")
    rig.until(run, Phase.EXITED)
    rig.until_handed_over(run)
    seen = rig.seen(run)
    assert seen.phase is Phase.CLEAN, "what the job itself consisted of may still be on its way out"
    assert re.match(r"node1: (no process left|[1-9] leftover processes ended)", seen.evidence["epilog"])
    script.write_text("#!/bin/sh\nexit 0\n")
    silent = rig.start("sleep 0.1", "other.1")
    rig.until(silent, Phase.EXITED)
    rig.until_handed_over(silent)
    assert rig.seen(silent).phase is Phase.DIRTY and "left no word" in rig.seen(silent).evidence["problem"]


def test_a_stop_with_grace_lets_a_gang_save(gangs: Rig) -> None:
    run = gang(gangs, "gang.1", "trap 'exit 7' TERM; while :; do sleep 0.05; done", ("node1", 1), ("node2", 1))
    gangs.until(run, Phase.RUNNING)
    time.sleep(1)
    gangs.engine.stop([StopOrder(run, 20 * SECOND)])
    assert gangs.until(run, Phase.EXITED).exit_code == 7


@pytest.fixture(scope="module")
def with_accounting() -> Iterator[Cluster]:
    yield from running(Layout(nodes=1, gpus=8, accounting=True))


def test_each_tenant_has_an_account_and_its_limit_in_slurm(with_accounting: Cluster, on: Callable[..., Site]) -> None:
    made = with_accounting
    made.run("sacctmgr", "-i", "add", "account", "lease-acme", "GrpTRES=gres/gpu=4")
    made.run("sacctmgr", "-i", "add", "user", "root", "account=lease-acme")
    site = on(made, account="lease-{tenant}")
    (point,) = [point for point in points(site, user="root", probe=False) if point.name == "account"]
    assert point.grade is Grade.FINE and "lease-acme" in point.said
    rig = Rig("slurm", engine_on(site), lambda: time.time_ns() // 1_000, lambda: time.sleep(0.02), site.shared)
    within = rig.start("exec sleep 60", "within.1", mask=0b1111, tenant="acme")
    beyond = rig.start("exec sleep 60", "beyond.1", mask=0b10000, tenant="acme")
    rig.until(within, Phase.RUNNING)
    made.until(lambda: "AssocGrpGRES" in made.run("squeue", "-h", "-t", "pending", "-o", "%r"))
    assert rig.seen(beyond).phase is Phase.STARTING
    assert set(made.run("squeue", "-h", "-o", "%a").split()) == {"lease-acme"}
    rig.end_all()
    with pytest.raises(Unavailable, match="account"):
        rig.start("true", "stranger.1", tenant="nobody")
