"""The books: what `check` sees, and that random histories on real databases leave nothing for it to see."""

from dataclasses import replace
from typing import Any

import pytest
from books import HOUR_US, PRICE, SECOND_US, T0, World, queued
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.lease import Cause, LeaseClass, State
from sublet.core.ledger import (
    Account,
    Change,
    Hold,
    Kind,
    Proof,
    Purpose,
    Transfer,
    changes,
    check,
    headroom,
    hold_transfer,
    lease_income,
    pool_accounts,
    receivable,
    tenant_accounts,
)
from sublet.core.rating import hold_micro
from sublet.core.units import TICK_US
from sublet.store import ledger
from sublet.store import usage as usage_rows
from sublet.store.database import Database

TENANT, POOL_ID, LEASE = TenantId("acme"), PoolId("h100"), LeaseId("l1")
OWES, EARNED = receivable(TENANT), lease_income(POOL_ID)


def entry(number: int, kind: Kind, amount: int) -> Transfer:
    return Transfer(f"t{number}", kind, OWES, EARNED, amount, T0 + number, Purpose.USAGE, LEASE)


def booked(*entries: Transfer, limit: int | None = None) -> list[Account]:
    """The accounts as these entries leave them."""
    found = changes(entries)
    opened = [*tenant_accounts(TENANT, "USD", limit_micro=limit), *pool_accounts(POOL_ID, "USD")]
    return [
        replace(one, debits_micro=moved.debits_micro, credits_micro=moved.credits_micro, held_micro=moved.held_micro)
        for one in opened
        for moved in [found.get(one.id, Change())]
    ]


GOOD = (entry(1, Kind.HOLD, 100), entry(2, Kind.POST, 60), entry(3, Kind.VOID, 40), entry(4, Kind.TRANSFER, 5))


@pytest.mark.parametrize("cut", range(len(GOOD) + 1))
def test_books_are_proven_piece_by_piece(cut: int) -> None:
    """What was held before a look and taken after it is known; a balance that was touched by hand is seen at either look."""
    proof, before, after = Proof(), booked(*GOOD[:cut]), booked(*GOOD)
    assert [*proof.take(before, GOOD[:cut]), *proof.check(before)] == []
    assert [*proof.take(after, GOOD[cut:]), *proof.check(after)] == []
    forged = [replace(one, debits_micro=one.debits_micro + 1) if one.id == OWES else one for one in after]
    assert any("debits_micro is" in said for said in proof.check(forged))
    over = entry(9, Kind.POST, 1)
    assert any("more than was held" in said for said in proof.take(after, [over])), "everything that was held is taken"


def test_good_books_have_no_faults() -> None:
    assert check(booked(*GOOD, limit=65), GOOD) == []
    assert headroom(booked(*GOOD, limit=65)[0]) == 0
    assert headroom(booked(*GOOD)[0]) is None


def test_a_hold_reserves_and_moves_nothing() -> None:
    (owes, earned, *_) = booked(entry(1, Kind.HOLD, 100))
    assert (owes.balance_micro, owes.held_micro, owes.used_micro, earned.balance_micro) == (0, 100, 100, 0)


@pytest.mark.parametrize(
    ("entries", "spoil", "fault"),
    [
        (GOOD, lambda one: replace(one, debits_micro=one.debits_micro + 1), "debits_micro is 66, its transfers add up to 65"),
        (GOOD, lambda one: replace(one, limit_micro=64), "1 micro-units over its limit of 64"),
        ((*GOOD, GOOD[0]), None, "t1 is booked twice"),
        ((entry(1, Kind.HOLD, 10), entry(2, Kind.POST, 11)), None, "t2 takes 1 micro-units more than was held for l1"),
        ((entry(1, Kind.TRANSFER, -5),), None, "negative amount"),
        ((replace(entry(1, Kind.TRANSFER, 5), credit=lease_income(PoolId("gone"))),), None, "does not exist"),
    ],
)
def test_each_fault_is_named(entries: tuple[Transfer, ...], spoil: object, fault: str) -> None:
    accounts = booked(*entries)
    if callable(spoil):
        accounts = [spoil(accounts[0]), *accounts[1:]]
    assert any(fault in said for said in check(accounts, entries)), check(accounts, entries)


def test_currencies_do_not_mix() -> None:
    accounts = [replace(one, currency="EUR") if one.id == EARNED else one for one in booked(*GOOD)]
    faults = check(accounts, GOOD)
    assert any("moves USD into EUR" in fault for fault in faults)
    assert any("debits less credits in EUR" in fault for fault in faults)


def test_the_first_hold_of_an_attempt_is_number_nought() -> None:
    made = hold_transfer(Hold(LEASE, 2, TENANT, POOL_ID, 7), nth=0, at_us=T0)
    assert (made.id, made.kind, made.amount_micro) == ("hold:l1:2:0", Kind.HOLD, 7)


_names = st.sampled_from(["l0", "l1", "l2", "l3"])
_deeds = st.lists(
    st.tuples(
        st.sampled_from(["grant", "meter", "notice", "expire", "exit", "requeue", "bill", "bill"]),
        _names,
        st.integers(1, 64 * 1_500).map(lambda number: number * TICK_US),
    ),
    min_size=5,
    max_size=40,
)


def _do(world: World, deed: str, name: str, now: int) -> None:
    """The deed, if the lease's state allows it."""
    lease = world.get(name)
    state = lease.state
    if deed == "bill":
        world.bill(at=now)
    elif deed == "grant" and state is State.QUEUED:
        world.grant(lease, at=now, price=PRICE + int(name[1:]) * 333_333)
    elif deed == "meter" and state in {State.ACTIVE, State.NOTICED}:
        world.meter(name, at=now)
    elif deed in {"notice", "expire"} and state is State.ACTIVE:
        world.notice(name, at=now, cause=Cause.RECLAIMED if deed == "notice" else Cause.EXPIRED)
    elif deed == "exit" and state in {State.ACTIVE, State.NOTICED}:
        world.exit(name, at=now)
    elif deed == "requeue" and state is State.HANDOVER:
        world.requeue(name, at=now)


def _history(world: World, deeds: list[tuple[str, str, int]]) -> None:
    limit = 3 * hold_micro(2, HOUR_US, PRICE)
    world.open({"acme": limit, "beta": None})
    guarded: dict[str, Any] = {"lease_class": LeaseClass.GUARDED, "term_us": HOUR_US}
    world.add(queued("l0"), queued("l1", **guarded), queued("l2", tenant="beta", **guarded), queued("l3"))
    now = T0
    for deed, name, wait in deeds:
        now += wait
        _do(world, deed, name, now)
        assert world.account(receivable(TENANT)).used_micro <= limit
    for name in ("l0", "l1", "l2", "l3"):
        _do(world, "exit", name, now + HOUR_US)
    world.bill(at=now + HOUR_US)
    assert world.faults() == []
    assert (world.held("acme"), world.held("beta")) == (0, 0)
    with world.db.read() as tx:
        assert usage_rows.unbilled(tx, after=None, limit=1) == []
        for name in ("l0", "l1", "l2", "l3"):
            _covers_all_time(world, name)
        ids = [one.id for one in ledger.every_transfer(tx)]
    assert len(ids) == len(set(ids))


def _covers_all_time(world: World, name: str) -> None:
    """Usage of each finished attempt fills exactly the time from its start to its stop."""
    with world.db.read() as tx:
        found = usage_rows.of_lease(tx, LeaseId(name))
        ended = usage_rows.attempts_of(tx, [LeaseId(name)])
    for one in ended:
        assert one.settled and one.started_us is not None
        mine = [interval for interval in found if interval.attempt == one.attempt]
        assert sum(interval.to_us - interval.from_us for interval in mine) == one.stopped_us - one.started_us


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=_deeds)
def test_random_histories_keep_the_books(deeds: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    db = Database(f"sqlite:///{tmp_path_factory.mktemp('history')}/sublet.db")
    db.migrate()
    _history(World(db), deeds)
    db.close()


def test_a_long_history_keeps_the_books_on_both_databases(database: Database) -> None:
    names = ["l0", "l1", "l2", "l3"]
    deeds = ["grant", "meter", "bill", "meter", "notice", "bill", "exit", "requeue", "bill"]
    _history(World(database), [(deeds[step % 9], names[step * 7 % 4], 97 * SECOND_US) for step in range(120)])
