"""A block that waits moves to another pool of its kind when its own can no longer hold it, and is delivered there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from house import ADA, POOL, START_US, House
from sqlalchemy import update

from sublet.app import blocks as dealing
from sublet.app.loops import Loops
from sublet.app.mirror import Mirror
from sublet.app.registry import add_pool
from sublet.app.tasks import LeaseRequest
from sublet.core.blocks.order import OrderState
from sublet.core.ids import OrderId, PoolId
from sublet.core.lease import Lease, LeaseClass, State
from sublet.core.plan import Plan
from sublet.core.terms import BlockSale, Promise
from sublet.core.units import HOUR_US
from sublet.core.workload import Workload
from sublet.store import blocks, ledger, plans, schema

ANNEX = PoolId("annex")


class Estate(House):
    """Four nodes in two pools of one kind, each of which sells blocks on two."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url, nodes=4)
        sells = {"classes": (LeaseClass.SPOT,), "blocks": BlockSale(limit=2), "promise": Promise(gpus=0)}
        self.set_pool(reserve_quantile=0.0, **sells)
        with self.database.write() as tx:
            add_pool(tx, replace(self.pool(), id=ANNEX), now_us=self.now)
            far = schema.nodes.c.id >= "node-00002"
            tx.execute(update(schema.nodes).where(far).values(pool=ANNEX))
        self.tick(2)

    @property
    def loops(self) -> Loops:
        return self.plane.loops

    @property
    def mirror(self) -> Mirror:
        return self.plane.mirror

    def buy(self, hour: int, hours: int = 2) -> OrderId:
        asked = LeaseRequest(
            Workload(run="true"),
            name="train",
            pool=POOL,
            nodes=2,
            lease_class=LeaseClass.BLOCK,
            start_us=START_US + hour * HOUR_US,
            term_us=hours * HOUR_US,
            bid_micro=2_000_000,
        )
        with self.database.write() as tx:
            return dealing.place(tx, self.plane.forecaster, asked, tenant=ADA, now_us=self.now).id

    def needs_it_himself(self) -> None:
        """The owner sells no block of the pool any more; what he sold stands."""
        self.set_pool(blocks=BlockSale(limit=0))


@pytest.fixture
def estate(tmp_path: Path, db_url: str) -> Iterator[Estate]:
    made = Estate(tmp_path, db_url)
    yield made
    assert made.findings() == []
    made.close()


def bought(estate: Estate, hour: int) -> tuple[OrderId, Lease]:
    order = estate.buy(hour)
    estate.wait(600)
    with estate.database.read() as tx:
        found = blocks.get(tx, order)
    assert found.state is OrderState.WON
    return order, estate.lease(found.lease)


def test_a_block_moves_within_the_hour_and_is_delivered_where_it_lies(estate: Estate) -> None:
    order, block = bought(estate, 6)
    with estate.database.read() as tx:
        held = ledger.held_for(tx, [block.id])
    estate.wait(3_700, ticks=3)
    assert estate.lease(block.id).pool == POOL, "nothing moves for nothing"
    estate.needs_it_himself()
    estate.wait(3_700, ticks=3)
    moved = estate.lease(block.id)
    assert (moved.pool, moved.state) == (ANNEX, State.QUEUED)
    same = replace(block, pool=ANNEX, version=moved.version, reason=moved.reason)
    assert moved == same, "nothing that was sold has changed"
    with estate.database.read() as tx:
        assert blocks.get(tx, order).pool == ANNEX and ledger.held_for(tx, [block.id]) == held
    (told,) = estate.told("block.moved")
    assert (told.lease, told.data["from"], told.data["to"]) == (block.id, POOL, ANNEX)
    assert block.id not in estate.mirror.pools[POOL].standing.leases, "the state in memory has it once"
    anew = Mirror()
    with estate.database.read() as tx:
        anew.catch_up(tx)
    assert {name: [*kept.standing.blocks] for name, kept in anew.pools.items()} == {ANNEX: [block.id], POOL: []}
    estate.wait(max(0, (block.not_before_us - estate.now) / 1e6 - 100), ticks=3)
    for _ in range(20):
        estate.wait(10)
    active = estate.lease(block.id)
    assert active.state is State.ACTIVE
    assert {node for node, _ in active.placement} == {"node-00002", "node-00003"}
    estate.wait(2 * 3_600, ticks=4)
    assert estate.lease(block.id).state is State.ENDED and estate.account().debits_micro > 0


def test_what_moved_meanwhile_stays(estate: Estate) -> None:
    """The tenant offers the rest of its block while a better pool is sought; the owner changes his mind; a plan is stale."""
    order, block = bought(estate, 6)
    balancer = estate.loops._balancer
    estate.needs_it_himself()
    balancer.seek(now_us=estate.now)
    estate.set_pool(blocks=BlockSale(limit=2))
    assert not balancer.propose(now_us=estate.now), "the reason is gone"
    estate.needs_it_himself()
    balancer.seek(now_us=estate.now)
    with estate.database.write() as tx:
        dealing.sell(tx, order, from_us=None, ask_micro=1_000_000, tenant=ADA, now_us=estate.now)
    assert not balancer.propose(now_us=estate.now), "its rest is for sale"
    with estate.database.write() as tx:
        resting = blocks.resting_sell(tx, block.id)
        assert resting is not None
        dealing.cancel(tx, resting.id, tenant=ADA, now_us=estate.now)
    balancer.seek(now_us=estate.now)
    assert balancer.propose(now_us=estate.now)
    with estate.database.write() as tx:
        ((number, plan),) = plans.pending(tx)
        plans.mark_applied(tx, number, at_us=estate.now)
        stale = replace(plan.shifts[0], version=plan.shifts[0].version + 1)
        plans.insert_one(tx, Plan(estate.now, shifts=(stale,)))
    estate.tick()
    assert estate.lease(block.id) == block and estate.told("block.moved") == []
