"""The money of blocks: held at the purchase, forgone where it is not used, resold, refunded, credited, and in balance."""

from dataclasses import replace

import pytest
from books import HOUR_US, POOL, SECOND_US, T0, World
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.app import moves
from sublet.app.block_deals import give_rest_back
from sublet.app.export import export
from sublet.app.invoicing import draft
from sublet.app.statement import statement
from sublet.core import lifecycle
from sublet.core.blocks.contract import hold_of, lease_of, never_started, rest_micro, shortened
from sublet.core.blocks.order import BlockOrder, Side
from sublet.core.errors import Stale
from sublet.core.ids import LeaseId, OrderId, TenantId
from sublet.core.lease import Cause, Lease
from sublet.core.ledger import GivenBack, Hold, Purpose, Settlement, settling_transfers
from sublet.core.units import charge_micro
from sublet.store import leases, ledger
from sublet.store.database import Database

DAY = T0 + 24 * HOUR_US


def order(name: str = "o1", *, hours: int = 6, side: Side = Side.BUY, start: int = 2) -> BlockOrder:
    return BlockOrder(
        id=OrderId(name),
        tenant=TenantId("acme"),
        pool=POOL.id,
        side=side,
        lease=LeaseId("b1"),
        name="train",
        nodes=2,
        gpus=16,
        start_us=T0 + start * HOUR_US,
        end_us=T0 + (start + hours) * HOUR_US,
        limit_micro=2_000_000,
        placed_us=T0,
        since_us=T0,
    )


@pytest.fixture
def world(database: Database) -> World:
    """A tenant that has bought a block of two nodes for six hours, from the second hour on."""
    made = World(database)
    made.open({"acme": None})
    lease = lease_of(order(), POOL, 1_500_000, at_us=T0)
    made.add(lease)
    with database.write() as tx:
        assert not ledger.hold_all(tx, [Hold(lease.id, 1, lease.tenant, lease.pool, hold_of(lease))], now_us=T0)
    return made


def booked(world: World, purpose: Purpose) -> int:
    with world.db.read() as tx:
        return sum(entry.amount_micro for entry in ledger.every_transfer(tx) if entry.purpose is purpose)


def release(world: World, at: int) -> Lease:
    lease = world.get("b1")
    with world.db.write() as tx:
        moves.save_leases(tx, [(lease, lifecycle.released(lease, at_us=at))])
    world.bill(at=at)
    return lease


def test_a_block_given_back_before_its_start_costs_its_price_less_what_the_owner_pays(world: World) -> None:
    lease = release(world, T0 + HOUR_US)
    full = rest_micro(lease, 0)
    assert (booked(world, Purpose.FORGONE), booked(world, Purpose.RESALE)) == (full, full // 2)
    assert world.owed() == full - full // 2 and world.held() == 0
    world.bill(at=T0 + 2 * HOUR_US)
    assert booked(world, Purpose.FORGONE) == full, "settling again changes nothing"
    assert world.faults() == []


def test_the_statement_the_invoice_and_the_exports_tell_of_it(world: World) -> None:
    lease = release(world, T0 + HOUR_US)
    full = rest_micro(lease, 0)
    (told,) = statement(world.db, from_us=T0, to_us=DAY)
    (pool,) = told.pools
    assert (pool.revenue_micro, pool.refund_micro, pool.credit_micro) == (full, full // 2, 0)
    invoice = draft(world.db, TenantId("acme"), from_us=T0, to_us=DAY)
    assert invoice.totals.block_micro == invoice.totals.due_micro == full - full // 2
    (bill,) = invoice.leases
    assert [line.purpose for line in bill.attempts[0].adjustments] == [Purpose.FORGONE, Purpose.RESALE]
    rows = export(world.db, "focus", from_us=T0, to_us=DAY).splitlines()
    categories = [row.split(",")[7] for row in rows[1:]]
    assert sorted(categories) == ["Adjustment", "Credit"]
    assert '"forgone"' in export(world.db, "beancount", from_us=T0, to_us=DAY)


def test_a_part_that_is_sold_twice_is_booked_twice_and_never_again(world: World) -> None:
    lease = world.get("b1")
    with world.db.write() as tx:
        give_rest_back(tx, order("s1", side=Side.SELL, start=6, hours=2), lease, POOL, 1_000, at_us=T0)
    shorter = world.get("b1")
    with world.db.write() as tx:
        give_rest_back(tx, order("s2", side=Side.SELL, start=4, hours=2), shorter, POOL, 2_000, at_us=T0)
    last = world.get("b1")
    assert booked(world, Purpose.FORGONE) == charge_micro(16 * 4 * HOUR_US, lease.bid_micro)
    assert booked(world, Purpose.RESALE) == 3_000
    assert last.ends_us == T0 + 4 * HOUR_US - POOL.turnround_us and last.term_us == last.ends_us - last.not_before_us
    again = GivenBack("s2", lease.id, 1, lease.tenant, lease.pool, 5, 5)
    with world.db.write() as tx:
        ledger.give_back(tx, again, now_us=T0)
    assert booked(world, Purpose.RESALE) == 3_000
    release(world, T0 + HOUR_US)
    assert booked(world, Purpose.FORGONE) == rest_micro(lease, 0), "all of it is paid in the end, in three parts"
    assert world.held() == 0 and world.faults() == []


def test_more_than_is_held_is_never_taken(world: World) -> None:
    lease = world.get("b1")
    much = GivenBack("s1", lease.id, 1, lease.tenant, lease.pool, hold_of(lease) + 1, 0)
    with pytest.raises(Stale, match="does not cover"), world.db.write() as tx:
        ledger.give_back(tx, much, now_us=T0)
    assert booked(world, Purpose.FORGONE) == 0 and world.faults() == []


def test_a_block_that_is_broken_is_credited_tenfold_and_nothing_is_forgone(world: World) -> None:
    lease = world.get("b1")
    ended = replace(lifecycle.released(lease, at_us=T0 + 3 * HOUR_US), cause=Cause.RECLAIMED)
    with world.db.write() as tx:
        moves.save_leases(tx, [(lease, ended)])
    world.bill(at=T0 + 3 * HOUR_US)
    assert world.owed() == -10 * rest_micro(lease, 0) and world.held() == 0
    assert booked(world, Purpose.FORGONE) == booked(world, Purpose.RESALE) == 0 and world.faults() == []


@settings(deadline=None, derandomize=True, max_examples=100)
@given(left=st.integers(0, 10**9), forgone=st.integers(0, 10**9), resale=st.integers(0, 10**9))
def test_what_is_forgone_comes_out_of_the_hold_and_the_rest_is_given_back(left: int, forgone: int, resale: int) -> None:
    lease = replace(lease_of(order(), POOL, 1_500_000, at_us=T0), cause=Cause.RELEASED, since_us=T0 + SECOND_US)
    entries = settling_transfers(Settlement(never_started(lease), 0, 0, forgone, resale), left_micro=left, at_us=T0)
    taken = {entry.id.split(":")[0]: entry.amount_micro for entry in entries}
    assert taken.get("forgone", 0) == min(forgone, left)
    assert taken.get("forgone", 0) + taken.get("void", 0) == left
    assert taken.get("resale", 0) == resale


def test_shortening_a_block_is_guarded_by_its_version(world: World) -> None:
    lease = world.get("b1")
    with world.db.write() as tx:
        leases.save_all(tx, [(lease, shortened(lease, POOL, T0 + 5 * HOUR_US))])
    with pytest.raises(Stale), world.db.write() as tx:
        leases.save_all(tx, [(lease, shortened(lease, POOL, T0 + 4 * HOUR_US))])
