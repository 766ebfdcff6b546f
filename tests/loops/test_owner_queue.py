"""The owner's own queue: leases end for what waits there, and our books follow what runs there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House

from sublet.app import owner as owning
from sublet.core.errors import Conflict
from sublet.core.ids import LeaseId, NodeId
from sublet.core.lease import Cause, State
from sublet.core.owner import JobState, OwnerJob
from sublet.core.topology import Within
from sublet.core.units import SECOND_US
from sublet.core.usage import UsageKind
from sublet.engines.protocol import OwnerWork
from sublet.store import jobs, usage
from sublet.store.usage import attempts_of

ONE, TWO = NodeId("node-00000"), NodeId("node-00001")


@pytest.fixture
def house(tmp_path: Path, db_url: str) -> Iterator[House]:
    made = House(tmp_path, db_url, nodes=2)
    made.engine.queue = []
    yield made
    assert made.findings() == []
    made.close()


def waiting(house: House, name: str = "11", *, gpus: int = 8, nodes: int = 1, able: bool = True) -> OwnerWork:
    work = OwnerWork(name, "train", gpus, nodes, house.now, able=able)
    queue(house, work)
    return work


def queue(house: House, *work: OwnerWork) -> None:
    """These jobs replace those of the same name."""
    assert house.engine.queue is not None
    names = {one.id for one in work}
    house.engine.queue = [*(one for one in house.engine.queue if one.id not in names), *work]


def running(house: House, name: str, *held: tuple[NodeId, int]) -> None:
    gpus = sum(count for _, count in held)
    queue(house, OwnerWork(name, "train", gpus, len(held), house.now, started_us=house.now, held=held))


def job(house: House) -> OwnerJob:
    (only,) = all_jobs(house)
    return only


def all_jobs(house: House) -> list[OwnerJob]:
    with house.database.read() as tx:
        return jobs.page(tx)


def active(house: House, gpus: int) -> LeaseId:
    lease = house.ask(gpus)
    house.wait(1)
    house.wait(1)
    assert house.state(lease) is State.ACTIVE
    return lease


def test_leases_end_for_a_job_that_waits_there(house: House) -> None:
    leased = [active(house, 8), active(house, 8)]
    house.wait(200)
    waiting(house)
    house.wait(1)
    states = [house.state(lease) for lease in leased]
    assert sorted(states) == [State.ACTIVE, State.NOTICED]
    victim = leased[states.index(State.NOTICED)]
    assert house.lease(victim).cause is Cause.RECLAIMED
    house.wait(1)
    assert sorted(house.state(lease) for lease in leased) == [State.ACTIVE, State.NOTICED]  # once is enough
    assert job(house).state is JobState.WAITING and job(house).gpus == 8


def test_free_gpus_are_kept_for_it_and_it_is_never_started_by_us(house: House) -> None:
    waiting(house, gpus=16, nodes=2)
    house.wait(1)
    lease = house.ask(1)
    house.wait(30)
    assert job(house).state is JobState.WAITING
    assert house.state(lease) is State.QUEUED
    assert list(house.engine.observe()) == []


def test_our_books_follow_where_it_runs(house: House) -> None:
    waiting(house, gpus=2)
    house.wait(1)
    running(house, "11", (TWO, 2))
    house.wait(1)
    assert job(house).state is JobState.RUNNING
    assert job(house).placement == ((TWO, 0b11),)
    queue(house, OwnerWork("11", "train", 2, 1, house.now, started_us=house.now, ended_us=house.now, exit_code=3, held=()))
    house.wait(1)
    assert job(house).state is JobState.ENDED and job(house).exit_code == 3
    assert house.state(active(house, 8)) is State.ACTIVE


def test_a_job_that_vanishes_is_over(house: House) -> None:
    waiting(house, "11")
    running(house, "12", (ONE, 1))
    house.wait(1)
    house.engine.queue = []
    house.wait(1)
    assert {one.state for one in all_jobs(house)} == {JobState.ENDED}


def test_nothing_ends_for_a_job_that_lacks_more_than_gpus(house: House) -> None:
    leased = [active(house, 8), active(house, 8)]
    house.wait(200)
    waiting(house, able=False)
    house.wait(1)
    assert [house.state(lease) for lease in leased] == [State.ACTIVE, State.ACTIVE]
    waiting(house, able=True)
    house.wait(1)
    assert State.NOTICED in [house.state(lease) for lease in leased]


@pytest.mark.parametrize(("rack_nodes", "nodes", "within"), [(2, 2, Within.RACK), (2, 3, Within.SITE), (0, 2, Within.SITE)])
def test_a_job_of_his_queue_is_kept_within_a_rack_where_one_could_hold_it(
    tmp_path: Path, db_url: str, rack_nodes: int, nodes: int, within: Within
) -> None:
    """Where none could, or racks are not known here, leases end for it anywhere: his own scheduler knows his racks."""
    house = House(tmp_path, db_url, nodes=4, rack_nodes=rack_nodes)
    house.engine.queue = [OwnerWork("11", "train", 8 * nodes, nodes, house.now, within=Within.RACK)]
    house.tick(2)
    assert job(house).within is within and len({node for node, _ in job(house).placement}) == nodes
    house.close()


def test_a_lease_that_lost_the_race_for_its_gpus_gives_way_and_comes_again(house: House) -> None:
    house.engine._start_us = 3_600 * SECOND_US  # its start hangs: somebody else has the GPUs
    lease = house.ask(8)
    house.wait(1)
    assert house.state(lease) is State.STARTING
    (node, _), *_ = house.lease(lease).placement
    running(house, "11", (node, 8))
    house.wait(1)
    house.wait(1)
    house.wait(1)
    assert job(house).state is JobState.RUNNING and job(house).placement == ((node, 0xFF),)
    assert house.lease(lease).reclaims == 1 and house.state(lease) is State.QUEUED


def test_no_other_lease_ends_while_its_gpus_are_handed_over(house: House) -> None:
    other, lease = active(house, 8), active(house, 8)
    house.engine._unclean.add(house.lease(lease).run)  # keeps the hand-over from ending well: the node stays down
    (node, _), *_ = house.lease(lease).placement
    house.engine.finish(house.lease(lease).run)
    running(house, "11", (node, 8))
    house.wait(1)
    house.wait(1)
    assert house.state(other) is State.ACTIVE
    assert job(house).state is JobState.RUNNING


def test_a_lease_that_the_scheduler_takes_is_booked_as_reclaimed(house: House) -> None:
    lease = active(house, 8)
    house.wait(100)
    run = house.lease(lease).run
    house.engine.take(run, by_us=house.now + 20 * SECOND_US)
    house.wait(1)
    assert house.state(lease) is State.NOTICED and house.lease(lease).cause is Cause.RECLAIMED
    assert house.lease(lease).deadline_us == house.now - 1 * SECOND_US + 20 * SECOND_US
    house.wait(30)
    house.wait(1)
    assert house.state(lease) is State.QUEUED and house.lease(lease).reclaims == 1


def test_a_lease_that_the_scheduler_took_between_two_looks_is_booked_the_same(house: House) -> None:
    house.set_pool(backoff_us=0)
    lease = active(house, 8)
    house.wait(100)
    run = house.lease(lease).run
    house.engine.take(run, by_us=house.now)
    house.wait(5)
    assert house.lease(lease).reclaims == 1
    with house.database.read() as tx:
        (attempt,) = attempts_of(tx, [lease])
    assert attempt.cause is Cause.RECLAIMED


def test_it_is_cancelled_where_it_is_queued(house: House) -> None:
    waiting(house)
    house.wait(1)
    with house.database.write() as tx, pytest.raises(Conflict, match="your own scheduler") as refusal:
        owning.cancel(tx, job(house).id, now_us=house.now)
    assert refusal.value.hint == "cancel it there: scancel 11"


def test_the_tenant_is_not_billed_from_the_schedulers_notice_on(house: House) -> None:
    lease = active(house, 8)
    house.wait(100)
    before = house.now
    house.engine.take(house.lease(lease).run, by_us=before + 20 * SECOND_US)
    house.wait(60)
    house.wait(1)
    with house.database.read() as tx:
        intervals = usage.of_lease(tx, lease)
    assert max(one.to_us for one in intervals if one.kind is UsageKind.BILLED) == before
    grace = [one for one in intervals if one.kind is UsageKind.GRACE]
    assert sum(one.to_us - one.from_us for one in grace) == 20 * SECOND_US
