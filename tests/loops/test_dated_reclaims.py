"""Reclaims that become a schedule, and tenants that were evicted often, in the running system and on both stores."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from house import ADA, BELL, POOL, House

from sublet.app import owner as owning
from sublet.app.world import read_view
from sublet.core.lease import Cause, State
from sublet.core.owner import JobState
from sublet.core.round import decide
from sublet.core.site import Site
from sublet.core.terms import CostSheet
from sublet.core.units import SECOND_US
from sublet.store import plans, sites, usage

KW = CostSheet(busy_w=1_000, idle_w=0, pue_permille=1_000)


@pytest.fixture
def house(tmp_path: Path, db_url: str) -> Iterator[House]:
    made = House(tmp_path, db_url)
    made.set_pool(forecast="last_week_peak", cost=KW)
    yield made
    assert made.findings() == []
    made.close()


def bound(house: House, **bounds: int | None) -> None:
    with house.database.write() as tx:
        sites.put(tx, replace(Site("local"), **bounds))  # type: ignore[arg-type]


def test_a_reclaim_over_the_ramp_is_dated_and_each_lease_is_told_in_its_turn(house: House) -> None:
    bound(house, ramp_kw_per_min=4)
    first, second = house.ask(4), house.ask(4, tenant=BELL)
    house.tick(2)
    house.wait(300)
    job = house.submit(8)
    house.tick()
    states = {house.state(first): first, house.state(second): second}
    assert states.keys() == {State.NOTICED, State.ACTIVE}
    waits = house.lease(states[State.ACTIVE])
    assert waits.notice_at_us == house.now + 60 * SECOND_US
    (dated,) = house.told("lease.dated")
    assert dated.lease == waits.id and dated.data["notice_at_us"] == waits.notice_at_us
    (planned,) = house.told("reclaim.planned")
    assert planned.data["leases"] == 2
    assert planned.data["loss_micro"] >= planned.data["bound_micro"] > 0
    assert planned.data["last_deadline_us"] == house.now + 180 * SECOND_US
    house.tick(3)
    assert house.state(waits.id) is State.ACTIVE and len(house.told("reclaim.planned")) == 1, "nothing is chosen anew"
    house.reopen()
    house.wait(61)
    told = house.lease(waits.id)
    assert (told.state, told.cause) == (State.NOTICED, Cause.RECLAIMED)
    house.wait(121, ticks=5)
    assert house.job(job).state is JobState.RUNNING
    assert house.lease(waits.id).notice_at_us is None, "its next attempt is not dated"


def test_a_dated_lease_goes_on_when_the_job_is_cancelled(house: House) -> None:
    bound(house, ramp_kw_per_min=4)
    leases = [house.ask(4), house.ask(4, tenant=BELL)]
    house.tick(2)
    house.wait(300)
    job = house.submit(8)
    house.tick()
    with house.database.write() as tx:
        owning.cancel(tx, job, now_us=house.now)
    house.wait(61, ticks=3)
    assert sorted(house.state(lease) for lease in leases) == [State.ACTIVE, State.NOTICED]
    (undated,) = house.told("lease.undated")
    assert undated.lease is not None and house.lease(undated.lease).notice_at_us is None


def test_what_a_site_bears_is_news_for_its_pools_at_once(house: House) -> None:
    """Also for pools that rest; a lease is granted only once the site can give it back in time."""
    bound(house, ramp_kw_per_min=1)
    lease = house.ask(8)
    house.tick(3)
    assert house.state(lease) is State.QUEUED
    bound(house, ramp_kw_per_min=None)
    house.wait(1)
    assert house.state(lease) is State.ACTIVE


def test_a_tenant_over_its_evictions_is_taken_last_but_is_taken(house: House) -> None:
    house.set_pool(evictions_per_tenant=1, backoff_us=SECOND_US)
    often, seldom = house.ask(4), house.ask(4, tenant=BELL, bid_micro=6_000_000)
    house.tick(2)
    house.wait(300)
    house.engine.checkpoint(house.lease(often).run)
    house.wait(1)
    job = house.submit(4)
    house.tick()
    assert (house.state(often), house.state(seldom)) == (State.NOTICED, State.ACTIVE)
    house.wait(121, ticks=4)
    with house.database.read() as tx:
        assert usage.evictions(tx, {POOL: 0}) == {ADA: {POOL: 1}}
        assert usage.evictions(tx, {POOL: house.now}) == {}
    house.engine.finish(house.job(job).run)
    house.wait(70, ticks=4)
    assert house.state(often) is State.ACTIVE, "its second attempt, with hardly anything to lose"
    house.wait(200)
    house.submit(4)
    house.tick()
    assert (house.state(often), house.state(seldom)) == (State.ACTIVE, State.NOTICED)
    house.submit(4)
    house.tick()
    assert house.state(often) is State.NOTICED, "the owner never waits for a tenant's budget"
    with house.database.read() as tx:
        assert usage.evictions(tx, {POOL: 0}) == {ADA: {POOL: 2}, BELL: {POOL: 1}}


def test_a_plan_reads_back_as_it_was_stored(house: House) -> None:
    bound(house, ramp_kw_per_min=4)
    house.ask(4)
    house.ask(4, tenant=BELL)
    house.tick(2)
    house.wait(300)
    house.submit(8)
    with house.database.write() as tx:
        plan = decide(read_view(tx, house.plane.forecaster, now_us=house.now), now=house.now)
        number = plans.insert_one(tx, plan)
        assert plans.pending(tx) == [(number, plan)]
        plans.mark_applied(tx, number, at_us=house.now)
    assert len(plan.notices) == len(plan.dated) == 1
