"""The owner's queue on a real cluster: leases end for what waits, and our books follow."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_house import SlurmHouse

from slurm_cluster import Cluster
from sublet.app import nodes as noding
from sublet.core.ids import NodeId
from sublet.core.lease import Cause, State
from sublet.core.owner import JobState
from sublet.core.topology import Within
from sublet.engines.slurm.site import Cluster as Site
from sublet.store import nodes


@pytest.fixture
def house(eight_nodes: Cluster, on: Callable[..., Site], sqlite_template: Path, tmp_path: Path) -> Iterator[SlurmHouse]:
    database = tmp_path / "sublet.db"
    database.write_bytes(sqlite_template.read_bytes())
    eight_nodes.preempts(on=False)
    made = SlurmHouse(eight_nodes, on(eight_nodes, rest=True), f"sqlite:///{database}", tmp_path / "data")
    yield made
    eight_nodes.cancel_all()
    made.release_all()
    assert made.findings() == []
    made.close()


def test_leases_end_for_the_owner_s_gang_and_it_starts_when_they_have_gone(house: SlurmHouse) -> None:
    leased = [house.ask(8) for _ in range(8)]
    house.until_active(*leased)
    job = house.cluster.submit("sleep 2", "--gres=gpu:8", "-N3")
    took = house.until(lambda: house.cluster.state(job) == "RUNNING", said="the owner's job to run")
    assert took < 3 + 60, "notice and hand-over"
    reclaimed = [one for one in leased if house.lease(one).reclaims or house.lease(one).cause is Cause.RECLAIMED]
    assert len(reclaimed) == 3, "no more than it needs"
    house.until(lambda: any(one.state is JobState.RUNNING for one in house.jobs()), said="our books to follow")
    (known,) = house.jobs()
    assert known.gpus == 24 and {node for node, _ in known.placement} == set(_nodes_of(house, job))
    house.until(lambda: house.jobs()[0].state is JobState.ENDED, said="its end")
    house.until_active(*leased)


def test_a_gang_that_wants_one_switch_gets_its_room_in_one_rack(house: SlurmHouse) -> None:
    """`--switches=1` is a rack here; neighbours stand in two."""
    house.tick()
    names = sorted(house.cluster.nodes())
    with house.database.write() as tx:
        noding.set_locations(
            tx, {NodeId(n): ("p", f"r{i % 2}") for i, n in enumerate(names)}, now_us=house.plane.clock.now_us()
        )
    leased = [house.ask(8) for _ in range(8)]
    house.until_active(*leased)
    job = house.cluster.submit("sleep 2", "--gres=gpu:8", "-N3", "--switches=1")
    house.until(lambda: house.cluster.state(job) == "RUNNING", said="the owner's job to run")
    racks = {names.index(node) % 2 for node in _nodes_of(house, job)}
    assert len(racks) == 1, "only there room was made"
    (known,) = house.jobs()
    assert known.within is Within.RACK


def test_gpus_that_the_owner_uses_are_never_offered(house: SlurmHouse) -> None:
    job = house.cluster.submit("sleep 60", "--gres=gpu:8", "-N7")
    house.until(lambda: house.jobs() and house.jobs()[0].state is JobState.RUNNING, said="the books to know it")
    first = house.ask(8)
    house.until_active(first)
    second = house.ask(1)
    house.tick()
    house.tick()
    assert house.lease(second).state is State.QUEUED
    free = set(house.cluster.nodes()) - set(_nodes_of(house, job))
    assert {node for node, _ in house.lease(first).placement} == free


def test_a_held_job_a_date_and_a_job_without_gpus_end_no_lease(house: SlurmHouse) -> None:
    leased = [house.ask(8) for _ in range(8)]
    house.until_active(*leased)
    house.cluster.submit("sleep 60", "--gres=gpu:8", "--hold")
    house.cluster.submit("sleep 60", "--gres=gpu:8", "--begin=now+1hour")
    house.cluster.submit("sleep 60", "-n1", "--mem=10M")
    for _ in range(20):
        house.tick()
        time.sleep(0.1)
    assert {house.lease(one).state for one in leased} == {State.ACTIVE}
    assert house.jobs() == []


def test_an_array_is_served_task_by_task(house: SlurmHouse) -> None:
    leased = [house.ask(8) for _ in range(8)]
    house.until_active(*leased)
    array = house.cluster.submit("sleep 1", "--gres=gpu:4", "--array=1-6%2")
    house.until(lambda: not house.cluster.run("squeue", "-h", "-j", str(array), check=False), said="all tasks to end")
    assert len([one for one in leased if house.lease(one).reclaims]) <= 2


def test_a_drained_node_is_unhealthy_and_not_offered_until_it_is_resumed(house: SlurmHouse) -> None:
    def down() -> set[str]:
        with house.database.read() as tx:
            return {node.id for node in nodes.everything(tx) if node.down}

    house.cluster.run("scontrol", "update", "nodename=node3", "state=drain", "reason=broken fan")
    house.until(lambda: down() == {"node3"}, said="the node to be down")
    leased = [house.ask(8) for _ in range(7)]
    house.until_active(*leased)
    assert "node3" not in {node for one in leased for node, _ in house.lease(one).placement}
    house.cluster.run("scontrol", "update", "nodename=node3", "state=resume")
    house.until(lambda: not down(), said="the node to be back")


def test_a_lease_that_slurm_itself_preempts_is_reclaimed_in_our_books(house: SlurmHouse) -> None:
    leased = [house.ask(8) for _ in range(8)]
    house.until_active(*leased)
    house.cluster.preempts(on=True)
    job = house.cluster.submit("sleep 5", "--gres=gpu:8")
    began = time.time_ns() // 1_000
    house.cluster.until(lambda: house.cluster.state(job) == "RUNNING", within_s=60)  # nobody turns our loops meanwhile
    house.until(lambda: any(house.attempts(one) for one in leased), said="the attempt to be closed")
    ((victim, attempt),) = [(one, done) for one in leased for done in house.attempts(one)]
    assert attempt.cause is Cause.RECLAIMED
    assert attempt.noticed_us is not None and began <= attempt.noticed_us <= attempt.stopped_us
    assert attempt.exit_code == 85, "it heard of it, and saved"
    house.until(lambda: house.lease(victim).reclaims == 1, said="to be queued again")


def _nodes_of(house: SlurmHouse, job: int) -> list[str]:
    said = house.cluster.run("squeue", "-h", "-t", "all", "-j", str(job), "-o", "%N")
    return house.cluster.run("scontrol", "show", "hostnames", said).split()
