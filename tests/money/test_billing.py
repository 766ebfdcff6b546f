"""The path from running to paid, on real databases."""

import itertools
import threading
from collections.abc import Iterable
from dataclasses import replace

import pytest
from books import HOUR_US, POOL, PRICE, SECOND_US, T0, World, dollars, queued

from sublet.app import billing
from sublet.app.billing import bill
from sublet.app.metering import meter, meter_running
from sublet.core.errors import Invalid, OverLimit, Stale
from sublet.core.ids import LeaseId, TenantId
from sublet.core.lease import Cause, Lease, LeaseClass
from sublet.core.ledger import AccountId, Hold, Kind, Purpose, Transfer, receivable
from sublet.core.rating import hold_micro
from sublet.core.units import charge_micro
from sublet.core.usage import UsageKind
from sublet.store import leases, ledger
from sublet.store import usage as usage_rows
from sublet.store.database import Database, Tx


@pytest.fixture
def world(database: Database) -> World:
    """A pool and two tenants without limits."""
    made = World(database)
    made.open({"acme": None, "beta": None})
    return made


MINUTE = 60 * SECOND_US


def intervals(world: World, name: str) -> list[tuple[int, int, UsageKind]]:
    with world.db.read() as tx:
        return [(one.from_us - T0, one.to_us - T0, one.kind) for one in usage_rows.of_lease(tx, LeaseId(name))]


def test_an_hour_of_two_gpus_costs_what_it_says(world: World) -> None:
    world.add(queued("l1"))
    assert world.grant(world.get("l1"), at=T0)
    for minute in range(1, 60):
        world.meter("l1", at=T0 + minute * MINUTE)
        world.bill(at=T0 + minute * MINUTE)
    world.exit("l1", at=T0 + HOUR_US)
    world.bill(at=T0 + HOUR_US)
    assert abs(world.owed() - dollars(3.2)) <= 30  # 60 intervals, each rounded by half a micro-dollar at most
    assert world.held() == 0
    assert world.account("income:leases:h100").credits_micro == world.owed()
    assert world.faults() == []


def test_the_grace_of_a_reclaim_is_free_and_the_notice_of_an_expiry_is_not(world: World) -> None:
    world.add(queued("l1"), queued("l2"))
    for name, cause in (("l1", Cause.RECLAIMED), ("l2", Cause.EXPIRED)):
        world.grant(world.get(name), at=T0)
        world.notice(name, at=T0 + 100 * SECOND_US, cause=cause)
        world.exit(name, at=T0 + 160 * SECOND_US)
    assert intervals(world, "l1") == [
        (0, 100 * SECOND_US, UsageKind.BILLED),
        (100 * SECOND_US, 160 * SECOND_US, UsageKind.GRACE),
    ]
    assert intervals(world, "l2") == [(0, 160 * SECOND_US, UsageKind.BILLED)]


def test_a_reclaimed_guarded_lease_is_refunded_and_credited_once(world: World) -> None:
    world.add(queued("l1", lease_class=LeaseClass.GUARDED, term_us=4 * HOUR_US))
    world.grant(world.get("l1"), at=T0)
    for quarter in range(1, 4):
        world.meter("l1", at=T0 + quarter * 15 * MINUTE)
        world.bill(at=T0 + quarter * 15 * MINUTE)
    world.notice("l1", at=T0 + HOUR_US)
    world.exit("l1", at=T0 + HOUR_US + 4 * MINUTE)
    seen: list[int] = []
    for _ in range(3):
        bill(world.db, now_us=T0 + 2 * HOUR_US, on_settled=lambda _tx, ended: seen.extend(one.credit_micro for one in ended))
    assert seen == [dollars(12.8)]  # once the price of the whole term
    assert world.account("income:refunds:h100").debits_micro == dollars(3.2)
    assert world.owed() == -dollars(12.8)
    assert world.held() == 0
    assert world.faults() == []


def test_a_lease_that_never_started_costs_nothing_and_gives_its_hold_back(world: World) -> None:
    world.add(queued("l1"))
    world.grant(world.get("l1"), at=T0)
    active = world.get("l1")
    with world.db.write() as tx:
        leases.save_all(tx, [(active, replace(active, version=active.version + 1, started_us=None))])
    assert world.held() == hold_micro(2, HOUR_US, PRICE)
    world.exit("l1", at=T0 + MINUTE, cause=Cause.FAILED)
    world.bill(at=T0 + MINUTE)
    assert (world.owed(), world.held(), intervals(world, "l1")) == (0, 0, [])


def test_attempts_of_one_lease_share_its_sequence(world: World) -> None:
    world.add(queued("l1"))
    for attempt in range(3):
        start = T0 + attempt * HOUR_US
        world.grant(world.get("l1"), at=start)
        world.meter("l1", at=start + 10 * MINUTE)
        world.notice("l1", at=start + 20 * MINUTE)
        world.exit("l1", at=start + 22 * MINUTE)
        world.requeue("l1", at=start + 23 * MINUTE)
        world.bill(at=start + 24 * MINUTE)
    with world.db.read() as tx:
        found = usage_rows.of_lease(tx, LeaseId("l1"))
        ended = usage_rows.attempts_of(tx, [LeaseId("l1")])
    assert [one.seq for one in found] == list(range(1, 10))
    assert [(one.attempt, one.settled) for one in ended] == [(1, True), (2, True), (3, True)]
    assert world.owed() == 6 * charge_micro(2 * 10 * MINUTE, PRICE)
    assert world.faults() == []


def test_metering_twice_from_the_same_reading_is_refused_and_changes_nothing(world: World) -> None:
    world.add(queued("l1"))
    world.grant(world.get("l1"), at=T0)
    read = world.get("l1")
    with world.db.write() as tx:
        meter(tx, [read], now_us=T0 + MINUTE)
    with pytest.raises(Stale), world.db.write() as tx:
        meter(tx, [read], now_us=T0 + 2 * MINUTE)
    assert intervals(world, "l1") == [(0, MINUTE, UsageKind.BILLED)]


def test_the_loop_meters_what_is_due_and_only_that(world: World) -> None:
    world.add(*(queued(f"l{number}") for number in range(5)))
    for number in range(4):
        world.grant(world.get(f"l{number}"), at=T0)
    world.notice("l3", at=T0 + 5 * SECOND_US)
    assert meter_running(world.db, now_us=T0 + 9 * SECOND_US, every_us=10 * SECOND_US) == 0
    assert meter_running(world.db, now_us=T0 + 10 * SECOND_US, every_us=10 * SECOND_US) == 4
    assert meter_running(world.db, now_us=T0 + 10 * SECOND_US, every_us=10 * SECOND_US) == 0
    assert intervals(world, "l4") == []
    assert [kind for _, _, kind in intervals(world, "l3")] == [UsageKind.BILLED, UsageKind.GRACE]


def test_what_moves_while_it_is_measured_is_left_to_who_moved_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(*(queued(f"l{number}") for number in range(4)))
    for number in range(4):
        world.grant(world.get(f"l{number}"), at=T0)
    read = usage_rows.running

    def slow(tx: Tx, wanted: Iterable[LeaseId]) -> list[Lease]:
        found = read(tx, wanted)
        world.notice("l1", at=T0 + 10 * SECOND_US)
        world.meter("l2", at=T0 + 20 * SECOND_US)
        return found

    monkeypatch.setattr(usage_rows, "running", slow)
    assert meter_running(world.db, now_us=T0 + MINUTE, every_us=10 * SECOND_US) == 2
    assert intervals(world, "l1") == [] and intervals(world, "l2") == [(0, 20 * SECOND_US, UsageKind.BILLED)]
    monkeypatch.undo()
    assert meter_running(world.db, now_us=T0 + MINUTE, every_us=10 * SECOND_US) == 2
    assert intervals(world, "l1") == [(0, 10 * SECOND_US, UsageKind.BILLED), (10 * SECOND_US, MINUTE, UsageKind.GRACE)]
    assert world.faults() == []


def test_small_batches_bill_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing, "_BATCH", 2)
    world.add(*(queued(f"l{number}") for number in range(7)))
    for number in range(7):
        world.grant(world.get(f"l{number}"), at=T0)
        world.meter(f"l{number}", at=T0 + 40 * MINUTE)
        world.exit(f"l{number}", at=T0 + 45 * MINUTE)
    done = bill(world.db, now_us=T0 + HOUR_US)
    assert (done.charges, done.settled) == (14, 7)
    again = bill(world.db, now_us=T0 + HOUR_US)
    assert (again.charges, again.extended, again.settled) == (0, 0, 0)
    assert world.faults() == []


def test_running_leases_are_funded_ahead_and_no_further_than_the_limit(database: Database) -> None:
    world = World(database)
    limit = hold_micro(2, HOUR_US, PRICE) + hold_micro(2, 10 * MINUTE, PRICE)
    world.open({"acme": limit, "beta": None})
    world.add(queued("l1"), queued("l2", tenant="beta"))
    world.grant(world.get("l1"), at=T0)
    world.grant(world.get("l2"), at=T0)
    world.bill(at=T0 + 20 * MINUTE)
    assert world.get("l2").funded_until_us == T0 + HOUR_US  # more than half of the window is left
    done = bill(world.db, now_us=T0 + 40 * MINUTE)
    assert done.short == (LeaseId("l1"),)
    assert world.get("l2").funded_until_us == T0 + 100 * MINUTE
    assert world.get("l1").funded_until_us == T0 + 70 * MINUTE
    assert world.account(receivable(TenantId("acme"))).used_micro <= limit
    world.exit("l1", at=T0 + 80 * MINUTE)
    world.bill(at=T0 + 80 * MINUTE)
    assert intervals(world, "l1")[0] == (0, 70 * MINUTE, UsageKind.BILLED)
    assert [kind for _, _, kind in intervals(world, "l1")] == [UsageKind.BILLED, UsageKind.UNFUNDED]
    assert world.owed() <= limit
    assert world.faults() == []


def test_time_that_ran_while_the_control_plane_was_away_is_billed_if_the_limit_allows(world: World) -> None:
    world.add(queued("l1"))
    world.grant(world.get("l1"), at=T0)
    world.exit("l1", at=T0 + 5 * HOUR_US)
    world.bill(at=T0 + 5 * HOUR_US)
    assert world.owed() == dollars(16)
    assert sum(to - since for since, to, _ in intervals(world, "l1")) == 5 * HOUR_US
    assert world.held() == 0


def test_a_lease_is_not_funded_far_past_its_end(world: World) -> None:
    world.add(queued("l1", lease_class=LeaseClass.GUARDED, term_us=HOUR_US))
    world.grant(world.get("l1"), at=T0)
    world.bill(at=T0 + 50 * MINUTE)
    assert world.get("l1").funded_until_us == T0 + HOUR_US + POOL.stop_us + MINUTE


def test_fast_metering_never_exhausts_the_hold(world: World) -> None:
    world.add(queued("l1", gpus=1))
    price = 1_600_500  # 444.58 micro-dollars a second: every interval is rounded up
    world.grant(world.get("l1"), at=T0, price=price)
    for second in range(1, 600):
        world.meter("l1", at=T0 + second * SECOND_US)
    lease = world.get("l1")
    with world.db.write() as tx:
        leases.save_all(tx, [(lease, replace(lease, version=lease.version + 1, funded_until_us=T0 + 600 * SECOND_US))])
    world.exit("l1", at=T0 + 600 * SECOND_US)
    assert bill(world.db, now_us=T0 + HOUR_US).uncovered == ()


def test_a_charge_beyond_its_hold_is_reported_and_not_booked(world: World) -> None:
    world.add(queued("l1"))
    world.grant(world.get("l1"), at=T0)
    world.meter("l1", at=T0 + 59 * MINUTE)
    with world.db.write() as tx:
        found = usage_rows.unbilled(tx, after=None, limit=10)
        dearer = [replace(one, price_micro=10 * PRICE) for one in found]
        assert ledger.charge_all(tx, dearer, now_us=T0) == dearer
    assert world.owed() == 0
    assert bill(world.db, now_us=T0 + HOUR_US).charges == 1
    assert world.faults() == []


class Dead(BaseException):
    """The process dies here: nothing after it runs, and nothing catches it."""


def test_dying_between_any_two_statements_leaves_the_same_books(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(database)
    world.open({"acme": None, "beta": None})
    names = ("l1", "l2", "l3")
    world.add(*(queued(name, lease_class=LeaseClass.GUARDED, term_us=4 * HOUR_US) for name in names))
    for name in names:
        world.grant(world.get(name), at=T0)
        world.meter(name, at=T0 + 40 * MINUTE)
    world.notice("l1", at=T0 + 41 * MINUTE)
    world.exit("l1", at=T0 + 42 * MINUTE)
    world.exit("l2", at=T0 + 42 * MINUTE)

    steps = ("enter", "_move_funds", "mark_billed", "mark_settled")
    for doomed in itertools.count(1):
        left = doomed
        with monkeypatch.context() as patch:
            for name in steps:
                real = getattr(ledger, name)

                def dying(*args: object, real: object = real) -> object:
                    nonlocal left
                    left -= 1
                    if left == 0:
                        raise Dead
                    found = real(*args)  # type: ignore[operator]
                    left -= 1
                    if left == 0:
                        raise Dead
                    return found

                patch.setattr(ledger, name, dying)
            try:
                bill(world.db, now_us=T0 + 43 * MINUTE)
            except Dead:
                assert world.faults() == []
                continue
        break
    assert doomed >= 10
    # l1 ran 40 minutes and one more before its notice (all of it refunded), l2 40 and 2, l3 40
    assert world.account("income:leases:h100").credits_micro == sum(
        charge_micro(2 * minutes * MINUTE, PRICE) for minutes in (40, 1, 40, 2, 40)
    )
    assert world.account("expenses:credits:h100").debits_micro == dollars(12.8)
    assert len(set(world.transfer_ids())) == len(list(world.transfer_ids()))
    assert world.faults() == []


def test_threads_together_never_pass_a_limit(database: Database) -> None:
    world = World(database)
    one_hold = hold_micro(2, HOUR_US, PRICE)
    world.open({"acme": 7 * one_hold + one_hold // 2, "beta": 5 * one_hold})
    names = [f"l{number}" for number in range(24)]
    world.add(*(queued(name, tenant="acme" if number % 2 else "beta") for number, name in enumerate(names)))
    granted: list[str] = []
    failures: list[BaseException] = []
    begin = threading.Barrier(6)

    def grant(mine: list[str]) -> None:
        try:
            begin.wait()
            granted.extend(name for name in mine if world.grant(world.get(name), at=T0))
        except BaseException as error:  # noqa: BLE001 (a thread's failure has to reach the test)
            failures.append(error)

    threads = [threading.Thread(target=grant, args=(names[first::6],)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len([name for name in granted if int(name[1:]) % 2]) == 7
    assert len([name for name in granted if not int(name[1:]) % 2]) == 5
    assert world.faults() == []


def test_two_billers_at_once_charge_once(world: World) -> None:
    names = [f"l{number}" for number in range(30)]
    world.add(*(queued(name) for name in names))
    for name in names:
        world.grant(world.get(name), at=T0)
    world.meter(*names, at=T0 + 20 * MINUTE)
    for name in names[:15]:
        world.exit(name, at=T0 + 25 * MINUTE)
    failures: list[BaseException] = []
    begin = threading.Barrier(4)

    def run() -> None:
        try:
            begin.wait()
            bill(world.db, now_us=T0 + 25 * MINUTE)
        except BaseException as error:  # noqa: BLE001 (a thread's failure has to reach the test)
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert world.owed() == 30 * charge_micro(2 * 20 * MINUTE, PRICE) + 15 * charge_micro(2 * 5 * MINUTE, PRICE)
    assert world.faults() == []


def test_holds_are_replayed_without_effect_and_refused_one_by_one(database: Database) -> None:
    world = World(database)
    world.open({"acme": 100})
    world.add(*(queued(f"l{number}") for number in range(4)))
    wanted = [
        Hold(LeaseId(f"l{number}"), 1, TenantId("acme"), POOL.id, amount) for number, amount in enumerate((60, 50, 40, 1))
    ]
    for _ in range(2):
        with world.db.write() as tx:
            assert ledger.hold_all(tx, wanted, now_us=T0) == {LeaseId("l1"), LeaseId("l3")}
    with world.db.read() as tx:
        assert ledger.headrooms(tx, [TenantId("acme"), TenantId("nobody")]) == {TenantId("acme"): 0}
        assert ledger.held_for(tx, [LeaseId("l0"), LeaseId("l1")]) == {(LeaseId("l0"), 1): 60}
    assert world.faults() == []


def test_a_limit_cannot_be_set_below_what_is_used(database: Database) -> None:
    world = World(database)
    world.open({"acme": None})
    world.add(queued("l1"))
    world.grant(world.get("l1"), at=T0)
    used = world.held()
    with pytest.raises(OverLimit, match="already owes"), world.db.write() as tx:
        ledger.set_limit(tx, TenantId("acme"), used - 1)
    with world.db.write() as tx:
        ledger.set_limit(tx, TenantId("acme"), used)
    assert world.faults() == []


def test_a_correction_is_booked_once_and_within_the_limit(database: Database) -> None:
    world = World(database)
    world.open({"acme": 100})

    def correction(amount: int) -> Transfer:
        debit, credit = receivable(TenantId("acme")), AccountId("income:leases:h100")
        return Transfer(f"correction:{amount}", Kind.TRANSFER, debit, credit, amount, T0, Purpose.CORRECTION, memo="late")

    with world.db.write() as tx:
        assert ledger.book(tx, [correction(70)]) == 1
    with world.db.write() as tx:
        assert ledger.book(tx, [correction(70)]) == 0
    with pytest.raises(OverLimit), world.db.write() as tx:
        ledger.book(tx, [correction(31)])
    assert world.owed() == 70
    assert world.faults() == []


def test_a_batch_of_thousands_is_one_quick_transaction(world: World) -> None:
    names = [f"l{number:04}" for number in range(2_000)]
    world.add(*(queued(name) for name in names))
    wanted = [Hold(LeaseId(name), 1, TenantId("acme"), POOL.id, 100) for name in names]
    with world.db.write() as tx:
        assert ledger.hold_all(tx, wanted, now_us=T0) == set()
    assert world.held() == 200_000


def test_unknown_accounts_are_named(world: World) -> None:
    with pytest.raises(Exception, match="assets:receivable:nobody") as caught, world.db.write() as tx:
        ledger.hold_all(tx, [Hold(LeaseId("l1"), 1, TenantId("nobody"), POOL.id, 1)], now_us=T0)
    assert not isinstance(caught.value, Invalid)
