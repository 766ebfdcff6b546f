"""The loops, end to end, on both stores: from a request to the last micro-unit."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from house import ADA, BELL, House

from sublet.core.errors import Unavailable
from sublet.core.lease import Cause, LeaseClass, State
from sublet.core.occupancy import Level
from sublet.core.owner import JobState
from sublet.core.units import HOUR_US, SECOND_US, charge_micro
from sublet.core.usage import UsageKind
from sublet.core.workload import Workload
from sublet.engines.fake import Behaviour
from sublet.engines.protocol import NoticeOrder, StartOrder
from sublet.store import nodes, spans, usage, webhooks
from sublet.store.usage import attempts_of


@pytest.fixture
def house(tmp_path: Path, db_url: str) -> Iterator[House]:
    made = House(tmp_path, db_url, nodes=2)
    yield made
    assert made.findings() == []
    made.close()


def test_a_lease_that_ends_by_itself_is_billed_to_the_second_and_its_hold_given_back(house: House) -> None:
    lease = house.ask(4)
    house.tick(2)
    active = house.lease(lease)
    assert active.state is State.ACTIVE and active.price_micro is not None and house.account().held_micro > 0
    house.wait(90)
    house.engine.finish(active.run)
    house.tick(2)
    house.wait(1)
    ended = house.lease(lease)
    assert (ended.state, ended.cause, ended.exit_code) == (State.ENDED, Cause.COMPLETED, 0)
    with house.database.read() as tx:
        billed = usage.of_lease(tx, lease)
    assert sum(one.gpu_us for one in billed) == 4 * 90 * SECOND_US
    assert abs(house.account().debits_micro - charge_micro(4 * 90 * SECOND_US, active.price_micro)) <= len(billed)
    assert house.account().held_micro == 0


def test_a_reclaim_gives_notice_frees_the_gpus_for_the_owner_and_queues_the_lease_again(house: House) -> None:
    house.set_pool(forecast="last_week_peak")  # knows nothing yet, so nothing is held in reserve
    lease = house.ask(8, workload=Workload(run="true", webhook="http://127.0.0.1:9/notice"))
    other = house.ask(8, tenant=BELL)
    house.tick(2)
    house.wait(300)
    house.engine.checkpoint(house.lease(lease).run)
    house.wait(60)
    job = house.submit(8)
    house.tick()
    noticed = house.lease(lease)
    assert noticed.state is State.NOTICED, "the one with the younger checkpoint loses less"
    assert house.state(other) is State.ACTIVE
    assert noticed.deadline_us == house.now + 120 * SECOND_US
    with house.database.read() as tx:
        assert [hook.url for hook in webhooks.due(tx, now_us=house.now, limit=9)] == ["http://127.0.0.1:9/notice"]
    house.tick(3)
    assert len(house.told("lease.noticed")) == 1, "GPUs on their way back are not reclaimed again"
    house.wait(121, ticks=4)
    assert house.job(job).state is JobState.RUNNING
    delay = (house.job(job).started_us or 0) - (house.job(job).entitled_us or 0)
    assert 120 * SECOND_US <= delay <= house.pool().promise.within_us
    again = house.lease(lease)
    assert again.state is State.QUEUED and again.reclaims == 1 and again.not_before_us > house.now
    house.engine.finish(house.job(job).run)
    house.tick(2)
    assert house.state(lease) is State.QUEUED, "the back-off runs"
    house.wait(61, ticks=3)
    assert house.lease(lease).reason == "runs" and house.lease(lease).attempt == 2
    with house.database.read() as tx:
        kinds = {one.kind for one in usage.of_lease(tx, lease) if one.attempt == 1}
        (first,) = attempts_of(tx, [lease])
    assert kinds == {UsageKind.BILLED, UsageKind.GRACE}
    assert first.cause is Cause.RECLAIMED and first.lost_us == 180 * SECOND_US, "60 s before and 120 s after the notice"


def test_a_broken_guarantee_is_refunded_and_credited_once(house: House) -> None:
    with house.database.write() as tx:
        for hours in range(1, 100):
            spans.note_demand(tx, house.pool().id, Level(house.now - hours * HOUR_US, hours % 2))
    lease = house.ask(8, lease_class=LeaseClass.GUARDED, term_us=HOUR_US)
    house.tick(2)
    price = house.lease(lease).price_micro
    assert house.state(lease) is State.ACTIVE and price is not None
    house.wait(600)
    house.submit(8)
    house.submit(8)
    house.tick()
    assert house.state(lease) is State.NOTICED
    house.wait(301, ticks=5)
    house.tick(5)
    (credited,) = house.told("lease.credited")
    assert credited.data["credit_micro"] == charge_micro(8 * HOUR_US, price)
    assert credited.data["refund_micro"] == house.account().debits_micro
    owed = credited.data["credit_micro"] + credited.data["refund_micro"]
    assert house.account().credits_micro == owed


def test_a_used_up_limit_ends_the_lease_where_its_funds_end_and_a_higher_one_resumes_it(house: House) -> None:
    house.limit(ADA, 4_000_000)
    house.set_pool(hold_us=600 * SECOND_US)
    lease = house.ask(8)
    house.tick(2)
    assert house.state(lease) is State.ACTIVE
    for _ in range(200):
        house.wait(30)
        if house.state(lease) is not State.ACTIVE:
            break
    assert house.lease(lease).cause is Cause.BUDGET
    for _ in range(10):
        house.wait(30)
    assert house.state(lease) is State.PAUSED
    assert 3_900_000 < house.account().debits_micro <= 4_000_000
    house.limit(ADA, 9_000_000)
    house.tick(3)
    assert house.state(lease) is State.ACTIVE and house.lease(lease).attempt == 2


def test_a_term_ends_with_a_notice_and_is_billed_to_its_end(house: House) -> None:
    lease = house.ask(2, term_us=600 * SECOND_US)
    house.tick(2)
    house.wait(500)
    assert house.lease(lease).cause is Cause.EXPIRED and house.state(lease) is State.NOTICED
    house.wait(101, ticks=3)
    ended = house.lease(lease)
    assert (ended.state, ended.cause) == (State.ENDED, Cause.EXPIRED)
    with house.database.read() as tx:
        assert sum(one.gpu_us for one in usage.of_lease(tx, lease) if one.kind is UsageKind.BILLED) >= 2 * 600 * SECOND_US


def test_a_node_whose_hand_over_fails_is_quarantined_and_not_offered(house: House) -> None:
    lease = house.ask(8)
    house.tick(2)
    node, _ = house.lease(lease).placement[0]
    house.engine.fail_clean(house.lease(lease).run)
    house.release(lease)
    house.tick(4)
    assert house.state(lease) is State.ENDED
    with house.database.read() as tx:
        (down,) = [row for row in nodes.everything(tx) if row.down]
    assert down.id == node and down.reason.startswith("quarantined")
    others = [house.ask(8), house.ask(8)]
    house.tick(3)
    assert sorted(house.state(other) for other in others) == [State.ACTIVE, State.QUEUED]
    assert all(placed != node for other in others for placed, _ in house.lease(other).placement)


def test_a_node_that_breaks_loses_no_lease_and_comes_back(house: House) -> None:
    lease = house.ask(8)
    house.tick(2)
    node, _ = house.lease(lease).placement[0]
    house.engine.crash_node(node)
    house.tick(4)
    assert house.told("node.down")[0].data == {"node": node}
    house.wait(61, ticks=3)
    again = house.lease(lease)
    assert again.state is State.ACTIVE and again.attempt == 2 and again.placement[0][0] != node
    house.engine.repair_node(node)
    house.tick()
    assert house.told("node.up")[0].data == {"node": node}


def test_a_release_is_not_billed_from_then_on_however_long_the_end_takes(tmp_path: Path, db_url: str) -> None:
    def deaf(_: StartOrder) -> Behaviour:
        return Behaviour(stops_us=None)

    house = House(tmp_path, db_url, behave=deaf)
    lease = house.ask(2)
    house.tick(2)
    house.wait(100)
    house.release(lease)
    house.tick()
    house.wait(9)
    assert house.state(lease) is State.STOPPING
    house.wait(2, ticks=3)
    assert house.state(lease) is State.ENDED
    with house.database.read() as tx:
        assert sum(one.gpu_us for one in usage.of_lease(tx, lease)) == 2 * 100 * SECOND_US
    assert house.findings() == []
    house.close()


def test_a_plan_that_a_crash_left_behind_is_applied_before_another_is_made(house: House) -> None:
    asked = [house.ask(8) for _ in range(3)]
    house.plane.loops._decider.decide(now_us=house.now)
    house.reopen()
    house.tick(2)
    assert sorted(house.state(lease) for lease in asked) == [State.ACTIVE, State.ACTIVE, State.QUEUED]


def test_a_lease_released_between_plan_and_apply_is_left_alone(house: House) -> None:
    lease = house.ask(8)
    house.plane.loops._decider.decide(now_us=house.now)
    house.release(lease)
    house.tick(3)
    assert house.state(lease) is State.ENDED and house.lease(lease).attempt == 0
    assert house.account().held_micro == 0


def test_what_ended_is_wiped_after_its_time(house: House) -> None:
    lease = house.ask(1)
    house.tick(2)
    house.engine.finish(house.lease(lease).run)
    house.tick(3)
    assert house.lease(lease).run in house.engine.observe()
    house.wait(25 * 3_600)
    assert house.lease(lease).run not in house.engine.observe()
    assert house.state(lease) is State.ENDED


def test_a_start_that_fails_again_and_again_keeps_no_owner_waiting(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that its engine refuses is refused with every pass; notices and stops of others go out all the same."""
    house.set_pool(forecast="last_week_peak")
    leased = [house.ask(8), house.ask(4)]
    house.tick(2)
    house.wait(300)
    honest = house.engine.start

    def refuses_leases(orders: Sequence[StartOrder]) -> None:
        honest([order for order in orders if order.is_owner])
        if any(not order.is_owner for order in orders):
            raise Unavailable("the run was not queued")

    monkeypatch.setattr(house.engine, "start", refuses_leases)
    house.ask(4)
    house.plane.loops.tick()
    assert house.plane.loops.failing.keys() == {"start"}
    told: list[NoticeOrder] = []
    tells = house.engine.notify

    def hears(orders: Sequence[NoticeOrder]) -> None:
        told.extend(orders)
        tells(orders)

    monkeypatch.setattr(house.engine, "notify", hears)
    jobs = [house.submit(8), house.submit(8)]
    house.plane.loops.tick()
    assert {house.state(lease) for lease in leased} == {State.NOTICED}
    assert house.plane.loops.failing.keys() == {"start"}
    assert {order.run for order in told} >= {house.lease(lease).run for lease in leased}
    monkeypatch.setattr(house.engine, "start", honest)
    house.wait(121, ticks=4)
    assert {house.job(job).state for job in jobs} == {JobState.RUNNING}


def test_a_notice_comes_as_the_signal_that_was_asked_for(house: House) -> None:
    lease = house.ask(8, workload=Workload(run="true", notice_signal="USR1"))
    house.tick(2)
    house.submit(8)
    house.submit(8)
    house.tick()
    told = house.engine.notice_of(house.lease(lease).run)
    assert told is not None and told.signal == "USR1" and told.deadline_us == house.lease(lease).deadline_us
