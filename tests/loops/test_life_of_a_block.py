"""Blocks, end to end, on both stores: from an order to the last micro-unit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from house import ADA, BELL, START_US, House

from sublet.app import blocks as dealing
from sublet.app.tasks import LeaseRequest
from sublet.app.world import read_view
from sublet.core.blocks.order import BlockOrder, OrderState, Side
from sublet.core.errors import Conflict, Invalid, OverBudget
from sublet.core.ids import LeaseId, OrderId, TenantId
from sublet.core.lease import Cause, Lease, LeaseClass, State
from sublet.core.ledger import Purpose
from sublet.core.owner import JobState
from sublet.core.terms import BlockSale, Promise
from sublet.core.units import HOUR_US, SECOND_US, charge_micro
from sublet.core.workload import Workload
from sublet.store import blocks, ledger, usage, workloads

NODES = 3
LIMIT = 2_000_000
TURN = 75 * SECOND_US


class Market(House):
    """A house that sells blocks."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url, nodes=NODES)
        self.set_pool(classes=(LeaseClass.SPOT,), blocks=BlockSale(limit=2), promise=Promise(gpus=8), reserve_quantile=0.0)

    def order(
        self, hour: int, hours: int = 2, *, nodes: int = 1, tenant: TenantId = ADA, limit: int | None = LIMIT, **more: Any
    ) -> OrderId:
        asked = LeaseRequest(
            Workload(run="true"),
            name="train",
            nodes=nodes,
            lease_class=LeaseClass.BLOCK,
            start_us=START_US + hour * HOUR_US,
            term_us=hours * HOUR_US,
            bid_micro=limit,
            **more,
        )
        self._ns += 1_000_000_000  # no two orders are of the same age
        with self.database.write() as tx:
            return dealing.place(tx, self.plane.forecaster, asked, tenant=tenant, now_us=self.now).id

    def book(self, order: OrderId) -> BlockOrder:
        with self.database.read() as tx:
            return blocks.get(tx, order)

    def block(self, order: OrderId) -> Lease:
        return self.lease(self.book(order).lease)

    def sell(self, order: OrderId, hour: float | None = None, *, ask: int | None = None) -> BlockOrder:
        start = None if hour is None else START_US + round(hour * HOUR_US)
        with self.database.write() as tx:
            return dealing.sell(tx, order, from_us=start, ask_micro=ask, tenant=None, now_us=self.now)

    def cancel(self, order: OrderId) -> BlockOrder:
        with self.database.write() as tx:
            return dealing.cancel(tx, order, tenant=None, now_us=self.now)

    def until(self, seconds: float, *, step: float = 10.0) -> None:
        """Go on to an instant after the beginning; the last minutes in small steps, so that the loops see them in time."""
        while (left := (START_US - self.now) / 1e6 + seconds) > 0:
            self.wait(min(600.0, left - 300) if left > 300 + step else min(step, left), ticks=1)
        self.tick()

    def booked(self, purpose: Purpose) -> int:
        with self.database.read() as tx:
            return sum(one.amount_micro for one in ledger.every_transfer(tx) if one.purpose is purpose)

    def billed(self, lease: LeaseId) -> int:
        with self.database.read() as tx:
            return sum(one.gpu_us for one in usage.of_lease(tx, lease) if one.kind == "billed")

    def intervals(self, lease: LeaseId) -> int:
        with self.database.read() as tx:
            return len(usage.of_lease(tx, lease))


@pytest.fixture
def house(tmp_path: Path, db_url: str) -> Iterator[Market]:
    made = Market(tmp_path, db_url)
    yield made
    assert made.findings() == []
    made.close()


def price_of(lease: Lease, hours: float) -> int:
    return charge_micro(round(lease.gpus * (hours * HOUR_US - TURN)), lease.bid_micro)


def test_a_block_is_bought_starts_on_its_start_and_costs_what_was_agreed(house: Market) -> None:
    order = house.order(2)
    house.tick()
    won, block = house.book(order), house.block(order)
    assert (won.state, block.state) == (OrderState.WON, State.QUEUED)
    assert won.price_micro == block.bid_micro <= LIMIT
    assert house.account().held_micro >= price_of(block, 2), "all of it is reserved at the purchase"
    house.until(2 * 3_600 - 30)
    assert house.block(order).state is State.QUEUED
    house.until(2 * 3_600 + 20, step=5)
    runs = house.block(order)
    assert runs.state is State.ACTIVE and runs.price_micro == won.price_micro
    assert runs.started_us is not None and 0 <= runs.started_us - won.start_us <= 10 * SECOND_US
    assert sorted(mask for _, mask in runs.placement) == [255]
    house.until(4 * 3_600 + 60)
    ended = house.block(order)
    assert (ended.state, ended.cause) == (State.ENDED, Cause.EXPIRED)
    full = price_of(block, 2)
    assert house.account().held_micro == 0
    rounding = house.intervals(block.id)
    assert -rounding <= full - house.account().debits_micro <= charge_micro(8 * 10 * SECOND_US, block.bid_micro)


def test_spot_leases_leave_in_time_and_come_back_afterwards(house: Market) -> None:
    order = house.order(2, nodes=2)
    house.tick()
    spots = [house.ask(8, tenant=BELL) for _ in range(NODES)]
    house.until(7_200 - 210)
    assert [house.state(one) for one in spots] == [State.ACTIVE] * NODES
    house.until(7_200 - 190, step=2)
    noticed = [house.lease(one) for one in spots if house.state(one) is State.NOTICED]
    assert len(noticed) == 2, "no more end than the block needs"
    assert all(one.cause is Cause.RECLAIMED and house.book(order).lease in one.reason for one in noticed)
    house.until(7_200 + 12, step=2)
    runs = house.block(order)
    assert runs.state is State.ACTIVE and runs.started_us is not None
    assert runs.started_us - house.book(order).start_us <= 6 * SECOND_US, "on its start"
    assert sum(house.state(one) is State.ACTIVE for one in spots) == 1
    house.until(4 * 3_600 + 300)
    assert [house.state(one) for one in spots] == [State.ACTIVE] * NODES


def test_no_more_is_sold_than_the_owner_allows_and_the_best_orders_win(house: Market) -> None:
    low = house.order(3, 4, nodes=1, limit=300_000)
    wide = house.order(3, 2, nodes=2, limit=900_000, tenant=BELL)
    late = house.order(5, 2, nodes=1, limit=400_000)
    house.tick()
    assert house.book(wide).state is OrderState.WON and house.book(late).state is OrderState.WON
    rests = house.book(low)
    assert rests.state is OrderState.RESTING and "higher limit" in rests.reason
    paid = house.book(wide).price_micro
    assert paid == 300_000, "the dearest loser sets the price of the windows that it could not get"
    assert "below the best possible" in house.told("block.auction")[0].reason
    house.until(2.6 * 3_600)
    gone = house.book(low)
    assert gone.state is OrderState.EXPIRED
    with house.database.read() as tx:
        assert workloads.get(tx, gone.lease) is None


def test_an_order_rests_until_there_is_room_for_it_and_can_be_cancelled(house: Market) -> None:
    house.set_pool(blocks=BlockSale(limit=1))
    first, second, third = (
        house.order(3),
        house.order(3, tenant=BELL, limit=LIMIT - 1),
        house.order(3, tenant=BELL, limit=LIMIT - 2),
    )
    house.tick()
    assert house.book(first).state is OrderState.WON and house.book(second).state is OrderState.RESTING
    assert house.cancel(third).state is OrderState.CANCELLED and house.cancel(third).state is OrderState.CANCELLED
    with pytest.raises(Conflict, match="has won"):
        house.cancel(first)
    house.set_pool(blocks=BlockSale(limit=2))
    house.wait(300)
    assert house.book(second).state is OrderState.WON and house.book(third).state is OrderState.CANCELLED


def test_the_owners_jobs_come_first_until_the_start_and_need_force_after_it(house: Market) -> None:
    order = house.order(2, 30, nodes=2)
    house.tick()
    early = house.submit(8)
    house.tick(3)
    assert house.job(early).state is JobState.RUNNING
    house.until(7_200 + 20, step=5)
    assert house.block(order).state is State.ACTIVE
    job = house.submit(8)
    house.wait(30)
    assert house.job(job).state is JobState.WAITING and house.block(order).state is State.ACTIVE
    assert house.told("alarm.promise.at_risk")
    forced = house.submit(8, forced=True)
    house.wait(5)
    noticed = house.block(order)
    assert noticed.state is State.NOTICED and noticed.cause is Cause.RECLAIMED
    assert noticed.deadline_us == noticed.noticed_us + 24 * HOUR_US if noticed.noticed_us else False
    house.until(7_200 + 24 * 3_600 + 300)
    assert house.job(forced).state is JobState.RUNNING
    ended = house.block(order)
    assert (ended.state, ended.cause) == (State.ENDED, Cause.RECLAIMED)
    house.plane.loops.settle()
    credit, refund = house.booked(Purpose.CREDIT), house.booked(Purpose.REFUND)
    assert credit == 10 * price_of(ended, 30)
    assert refund > 0 and house.account().balance_micro == -credit, "what was billed is given back, and the credit on top"


def test_a_block_that_the_owner_does_not_deliver_is_broken_and_credited(house: Market) -> None:
    order = house.order(2, nodes=2)
    house.tick()
    for _ in range(NODES):
        house.submit(8)
    house.until(7_200 - 60)
    assert house.told("alarm.block.at_risk")
    house.until(7_200 + 599)
    assert house.block(order).state is State.QUEUED, "it waits as long as the hand-back promise lasts"
    house.until(7_200 + 640)
    broken = house.block(order)
    assert (broken.state, broken.cause, broken.attempt) == (State.ENDED, Cause.RECLAIMED, 0)
    house.plane.loops.settle()
    assert house.account().held_micro == 0
    assert house.account().balance_micro == -10 * price_of(broken, 2)


def test_what_is_not_needed_is_bought_back_by_the_owner_for_the_published_share(house: Market) -> None:
    order = house.order(3, 4)
    house.tick()
    block = house.block(order)
    sold = house.sell(order)
    assert (sold.side, sold.state) == (Side.SELL, OrderState.WON)
    house.tick()
    assert (house.block(order).state, house.block(order).cause) == (State.ENDED, Cause.RELEASED)
    house.plane.loops.settle()
    full = price_of(block, 4)
    assert house.booked(Purpose.FORGONE) == full and house.booked(Purpose.RESALE) == full // 2
    assert house.account().balance_micro == full - full // 2 and house.account().held_micro == 0
    again = house.order(3, 4, nodes=2, tenant=BELL)
    house.wait(300)
    assert house.book(again).state is OrderState.WON, "its nodes may be sold again"


def test_what_is_left_of_a_running_block_goes_back_at_once(house: Market) -> None:
    order = house.order(2, 4)
    house.tick()
    house.until(7_200 + 1_000)
    house.sell(order)
    given = house.block(order)
    assert given.state is State.STOPPING and given.cause is Cause.RELEASED and given.ends_us is not None
    house.tick(3)
    house.wait(5)
    house.plane.loops.settle()
    assert house.block(order).state is State.ENDED and given.stopped_us is not None
    rest = charge_micro(8 * (given.ends_us - given.stopped_us), given.bid_micro)
    assert house.booked(Purpose.FORGONE) == rest and house.booked(Purpose.RESALE) == rest // 2
    with pytest.raises(Conflict, match="nothing to give back"):
        house.sell(order)


def test_the_last_hours_are_sold_while_the_block_goes_on(house: Market) -> None:
    order = house.order(2, 6)
    house.tick()
    house.until(7_200 + 60)
    block = house.block(order)
    house.sell(order, 4)
    short = house.block(order)
    assert short.ends_us == START_US + 4 * HOUR_US - TURN and short.state is State.ACTIVE
    assert house.booked(Purpose.FORGONE) == charge_micro(8 * 4 * HOUR_US, block.bid_micro)
    house.until(4 * 3_600 + 60)
    ended = house.block(order)
    assert (ended.state, ended.cause) == (State.ENDED, Cause.EXPIRED)
    house.plane.loops.settle()
    used = charge_micro(house.billed(ended.id), block.bid_micro)
    assert abs(house.account().debits_micro - used - house.booked(Purpose.FORGONE)) <= house.intervals(ended.id)
    assert house.booked(Purpose.RESALE) == house.booked(Purpose.FORGONE) // 2


def test_a_rest_is_sold_to_another_tenant_for_what_was_asked(house: Market) -> None:
    house.set_pool(blocks=BlockSale(limit=1))
    order = house.order(3, 4, limit=LIMIT)
    house.tick()
    block = house.block(order)
    offer = house.sell(order, 5, ask=1_500_000)
    assert offer.state is OrderState.RESTING
    with pytest.raises(Conflict, match="for sale already"):
        house.sell(order)
    cheap = house.order(5, 2, tenant=BELL, limit=1_400_000)
    house.wait(300)
    assert house.book(offer.id).state is OrderState.RESTING and house.book(cheap).state is OrderState.RESTING
    dear = house.order(5, 2, tenant=BELL, limit=1_800_000)
    house.wait(300)
    bought, sold = house.book(dear), house.book(offer.id)
    assert bought.state is OrderState.WON and sold.state is OrderState.WON
    assert bought.price_micro == 1_500_000 and sold.price_micro == 1_500_000
    assert house.block(order).ends_us == START_US + 5 * HOUR_US - TURN
    asked = charge_micro(8 * (2 * HOUR_US - TURN), 1_500_000)
    assert house.booked(Purpose.RESALE) == asked
    assert house.booked(Purpose.FORGONE) == charge_micro(8 * 2 * HOUR_US, block.bid_micro)
    house.until(7 * 3_600 + 60)
    house.plane.loops.settle()
    assert house.account(BELL).held_micro == house.account().held_micro == 0
    assert (house.block(order).state, house.block(dear).state) == (State.ENDED, State.ENDED)
    first, second = house.block(order), house.block(dear)
    assert second.started_us is not None and first.stopped_us is not None and second.started_us >= first.stopped_us


def test_a_block_given_back_whole_to_another_tenant_costs_its_tenant_the_difference(house: Market) -> None:
    house.set_pool(blocks=BlockSale(limit=1))
    order = house.order(3, 2, limit=LIMIT)
    house.tick()
    full = price_of(house.block(order), 2)
    offer = house.sell(order, ask=200_000)
    other = house.order(3, 2, tenant=BELL, limit=800_000)
    house.wait(300)
    house.plane.loops.settle()
    assert house.book(offer.id).state is OrderState.WON and house.book(other).state is OrderState.WON
    assert house.block(order).state is State.ENDED
    asked = charge_micro(8 * (2 * HOUR_US - TURN), 200_000)
    assert house.account().balance_micro == full - asked and house.account().held_micro == 0


def test_a_workload_that_ends_early_gives_the_rest_back_by_itself(house: Market) -> None:
    order = house.order(2, 4)
    house.tick()
    house.until(7_200 + 3_600)
    runs = house.block(order)
    house.engine.finish(runs.run)
    house.wait(5)
    house.wait(5)
    ended = house.block(order)
    assert (ended.state, ended.cause) == (State.ENDED, Cause.COMPLETED)
    house.plane.loops.settle()
    assert ended.stopped_us is not None and ended.ends_us is not None
    rest = charge_micro(8 * (ended.ends_us - ended.stopped_us), ended.bid_micro)
    assert house.booked(Purpose.FORGONE) == rest and house.booked(Purpose.RESALE) == rest // 2
    assert house.account().held_micro == 0


def test_a_spend_limit_keeps_orders_out_and_those_that_no_longer_fit_rest(house: Market) -> None:
    house.limit(ADA, 50_000_000)
    with pytest.raises(OverBudget, match="reserves up to"):
        house.order(2, 10)
    first, second = house.order(2, 2, limit=1_700_000), house.order(6, 2, limit=1_700_000)
    house.tick()
    assert house.book(first).state is OrderState.WON
    assert house.book(second).state is OrderState.RESTING and "spend limit" in house.book(second).reason
    house.limit(ADA, None)
    house.wait(300)
    assert house.book(second).state is OrderState.WON


def test_orders_that_can_never_win_are_refused_with_the_way_out(house: Market) -> None:
    with pytest.raises(Invalid, match="2 nodes as blocks"):
        house.order(2, nodes=3)
    with pytest.raises(Invalid, match="at least 30 min before"):
        house.order(0)
    with pytest.raises(Invalid, match="at most"):
        house.order(24 * 40)
    with pytest.raises(Invalid, match="lasts between"):
        house.order(2, 24 * 15)
    with pytest.raises(Invalid, match="below the reserve price"):
        house.order(2, limit=10)
    with pytest.raises(Invalid, match="whole nodes"):
        house.order(2, gpu_model=house.pool().gpu_model, gpus_per_node=4)
    house.set_pool(promise=Promise())
    with pytest.raises(Invalid, match="owner is promised 24 of its 24") as refusal:
        house.order(2)
    assert "promise.gpus" in (refusal.value.hint or "")
    house.set_pool(blocks=BlockSale())
    with pytest.raises(Invalid, match="sells no blocks"):
        house.order(2)


def test_everything_survives_a_crash_between_the_auction_and_its_application(house: Market) -> None:
    order = house.order(2)
    assert house.plane.loops._auctioneer.hold(now_us=house.now)
    assert house.book(order).state is OrderState.RESTING
    house.reopen()
    house.tick()
    assert house.book(order).state is OrderState.WON
    house.tick(3)
    with house.database.read() as tx:
        holds = [one for one in ledger.every_transfer(tx) if one.purpose is Purpose.HOLD]
    assert len(holds) == 1


def test_the_mirror_keeps_what_is_read_anew(house: Market) -> None:
    first, second = house.order(2), house.order(3, 4, tenant=BELL)
    house.tick()
    for seconds in (0, 7_000, 7_230, 11_000, 14_300):
        house.until(seconds)
        with house.database.read() as tx:
            house.plane.mirror.catch_up(tx)
            view = read_view(tx, house.plane.forecaster, now_us=house.now)
        (kept,) = house.plane.mirror.pools.values()
        standing = view.standing(kept.row.pool.id)
        assert kept.standing.blocks.keys() == standing.blocks.keys()
        assert kept.standing.held.rows["used"].sum() == standing.held.rows["used"].sum()
    assert house.book(first).state is house.book(second).state is OrderState.WON
