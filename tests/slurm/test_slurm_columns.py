"""What `squeue` prints in columns is read as what slurmrestd tells in JSON."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from slurm_cluster import HOST, Cluster
from sublet.engines.slurm import columns
from sublet.engines.slurm.jobs import WAITING, Job
from sublet.engines.slurm.rest import Rest
from sublet.engines.slurm.site import Cluster as Site
from sublet.engines.slurm.tools import Tools
from sublet.engines.slurm.versions import PARSERS

PLAIN = {
    "id": "7",
    "array": "7",
    "task": "N/A",
    "name": "train",
    "comment": "(null)",
    "partition": "owner",
    "state": "RUNNING",
    "reason": "None",
    "nodes": "1",
    "list": "node3",
    "by_job": "N/A",
    "by_node": "gres:gpu:h100:2",
    "by_task": "N/A",
    "by_socket": "N/A",
    "tasks": "1",
    "sharing": "OK",
    "submitted": "1795664389",
    "starts": "1795664391",
    "ends": "1827200391",
    "status": "0",
    "restarts": "0",
    "preempted": "N/A",
    "switches": "0",
}


def job(**said: str) -> Job:
    (found,) = columns.read_all(printed(**said), {}).values()
    return found


def printed(**said: str) -> str:
    return "\x1f".join({**PLAIN, **said}.values()) + "\x1f\x1e\n"


def test_no_name_stops_a_look() -> None:
    whole, split = printed(id="8", name="a\x1fb"), printed(id="9", name="a\x1f\x1e\nb")
    found = columns.read_all(printed() + whole + split + printed(id="10"), {})
    assert [(one.id, one.name) for one in found.values()] == [(7, "train"), (8, "a\x1fb"), (10, "train")]
    again = columns.read_all(printed() + whole, found)
    assert all(one is found[text] for text, one in again.items()) and len(again) == 2


def test_jobs_of_any_shape_are_read_alike(eight_nodes: Cluster, on: Callable[..., Site]) -> None:
    site = on(eight_nodes, rest=True, user="root")
    eight_nodes.submit("sleep 60", "--gres=gpu:2", "-J", "a|b, c" + "x" * 40, "--comment=any:thing")
    eight_nodes.submit("sleep 60", "--gpus=3", "-N2", "-n2", "-J", "uneven")
    eight_nodes.submit("sleep 60", "--gpus-per-task=1", "-n2", "-J", "two\nlines")
    eight_nodes.submit("sleep 60", "--gres=gpu:8", "--exclusive")
    eight_nodes.submit("sleep 60", "--mem=10M")
    eight_nodes.submit("sleep 60", "--gres=gpu:8", "-N6", "--array=1-100%3")
    eight_nodes.submit("sleep 60", "--gres=gpu:8", "-N8", "--array=" + ",".join(str(n) for n in range(1, 90, 3)))
    eight_nodes.submit("sleep 60", "--gres=gpu:1", "--hold")
    eight_nodes.submit("sleep 60", "--gres=gpu:1", "--begin=now+1hour")
    failed = eight_nodes.submit("exit 3", "--mem=10M")
    killed = eight_nodes.submit("kill -9 $$", "--mem=10M")
    eight_nodes.until(lambda: {eight_nodes.state(failed), eight_nodes.state(killed)} == {"FAILED"})
    rest, tools = Rest(site, PARSERS["22.05"]), Tools(timeout_s=10)

    def both() -> tuple[dict[int, Job], dict[int, Job]]:
        return {one.id: _comparable(one) for one in rest.jobs()}, {one.id: _comparable(one) for one in tools.jobs()}

    assert rest.address("node3") == tools.address("node3") == HOST
    try:
        eight_nodes.until(lambda: len(set(both()[0].items()) ^ set(both()[1].items())) == 0, within_s=10)
        told, read = both()
    finally:
        eight_nodes.cancel_all()
    assert len(told) >= 11 and told == read
    assert {one.name for one in read.values()} >= {"a|b, c" + "x" * 40, "two\nlines"}
    (uneven,) = [one for one in read.values() if one.name == "uneven"]
    assert sorted(count for _, count in uneven.held) == [1, 2]


def _comparable(one: Job) -> Job:
    """Without what JSON does not tell of a job that is over, and what a column does not of one that waits."""
    held = one.held if one.state in {"RUNNING", "COMPLETING"} else ()
    return replace(one, held=held, sure=True, end_s=0 if one.state in WAITING else one.end_s)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("None", "None"),
        ("Resources", "Resources"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", "Resources"),
        ("ReqNodeNotAvail, UnavailableNodes:node2", "ReqNodeNotAvail"),
        ("JobHeldUser", "JobHeldUser"),
    ],
)
def test_a_reason_is_its_code(said: str, read: str) -> None:
    assert job(reason=said).reason == read


def test_what_is_not_sure_is_spread_evenly_and_said_to_be_so() -> None:
    uneven = job(nodes="2", list="node[3-4]", by_job="gres:gpu:5", by_node="N/A")
    assert (uneven.held, uneven.sure) == ((("node3", 3), ("node4", 2)), False)
    assert job(nodes="2", list="node[3-4]").sure and job(nodes="2", list="node[3-4]").gpus == 4
    said = (
        "JobId=8 X=1 Nodes=node9 CPU_IDs=1 Mem=1 GRES=gpu:1(IDX:0) \n"
        "JobId=7 Name=a   Nodes=node3 CPU_IDs=6 Mem=9 GRES=gpu:h100:1(IDX:1)"
        "   Nodes=node[4-5] CPU_IDs= Mem=0 GRES=gpu:h100:2(IDX:0-1) MinCPUs=1\n"
    )
    assert columns.read_details(said, 7) == (("node3", 1), ("node4", 2), ("node5", 2))


@pytest.mark.parametrize(
    ("task", "read"),
    [
        ("N/A", (0, None, "", 0)),
        ("12", (7, 12, "", 0)),
        ("3-100:2%4", (7, None, "3-100:2%4", 4)),
        ("1,5,9", (7, None, "1,5,9", 0)),
    ],
)
def test_tasks_of_arrays(task: str, read: tuple[int, int | None, str, int]) -> None:
    one = job(task=task)
    assert (one.array, one.task, one.tasks, one.tasks_at_once) == read
