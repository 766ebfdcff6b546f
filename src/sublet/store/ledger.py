"""The books in the database. Every function that moves money locks the limited accounts first, in order of their names.

A transfer whose id is there already has happened: it changes nothing again. So a limit holds under any number of writers,
and a step that is run twice leaves the same books.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, update

from sublet.core.errors import NotFound, OverLimit, Stale
from sublet.core.ids import LeaseId, TenantId
from sublet.core.ledger import (
    Account,
    AccountId,
    Extension,
    GivenBack,
    Hold,
    Kind,
    Purpose,
    Settlement,
    Transfer,
    changes,
    charge_transfer,
    given_back_transfers,
    headroom,
    hold_transfer,
    receivable,
    settling_transfers,
)
from sublet.core.rating import charge, hold_micro, window_us
from sublet.core.units import MICRO
from sublet.core.usage import Usage
from sublet.store.bulk import Each, among, given, insert_all, insert_new, portions
from sublet.store.rows import plain, row_of
from sublet.store.schema import accounts, holds, leases, transfers
from sublet.store.usage import mark_billed, mark_settled

_TRANSFER = [column for column in transfers.columns if column.name != "seq"]
_Attempt = tuple[LeaseId, int]
_OF_ATTEMPT = (holds.c.lease == given(holds.c.lease, "b_lease")) & (holds.c.attempt == given(holds.c.attempt, "b_attempt"))
_TAKE = Each(update(holds), where=_OF_ATTEMPT, values={"left_micro": holds.c.left_micro - given(holds.c.left_micro, "b_taken")})
_CLOSE = Each(delete(holds), where=_OF_ATTEMPT)
_CHANGE = Each(
    update(accounts),
    where=accounts.c.id == given(accounts.c.id, "b_id"),
    values={
        "debits_micro": accounts.c.debits_micro + given(accounts.c.debits_micro, "b_debits"),
        "credits_micro": accounts.c.credits_micro + given(accounts.c.credits_micro, "b_credits"),
        "held_micro": accounts.c.held_micro + given(accounts.c.held_micro, "b_held"),
    },
)


def open_accounts(tx: Connection, new: Iterable[Account]) -> None:
    """Open accounts; one that is open stays as it is."""
    insert_new(tx, accounts, [row_of(account) for account in new], key=[accounts.c.id])


def set_limit(tx: Connection, tenant: TenantId, limit_micro: int | None) -> None:
    """Set a tenant's spend limit (micro-units; None: no limit). What is owed or held already cannot be limited away."""
    account = locked(tx, [receivable(tenant)])[receivable(tenant)]
    if limit_micro is not None and limit_micro < account.used_micro:
        raise OverLimit(
            f"tenant {tenant} already owes or has reserved {account.used_micro / MICRO:.6f}",
            field="limit",
            hint=f"set it to {account.used_micro / MICRO:.6f} to stop all new spending, or higher",
        )
    tx.execute(update(accounts).where(accounts.c.id == account.id).values(limit_micro=limit_micro))


def account(tx: Connection, wanted: AccountId) -> Account:
    """One account."""
    found = tx.execute(select(accounts).where(accounts.c.id == wanted)).one_or_none()
    if found is None:
        raise NotFound(f"there is no account {wanted}", field="account", hint="`sublet ledger` lists them")
    return Account(**plain(found))


def every_account(tx: Connection) -> list[Account]:
    """All accounts by name."""
    return [Account(**plain(row)) for row in tx.execute(select(accounts).order_by(accounts.c.id))]


def headrooms(tx: Connection, tenants: Iterable[TenantId]) -> dict[TenantId, int | None]:
    """What each tenant may still spend or reserve, micro-units; None where there is no limit."""
    found: dict[TenantId, int | None] = {}
    for portion in portions(tenants):
        by_account = {receivable(tenant): tenant for tenant in portion}
        query = select(accounts).where(among(accounts.c.id, by_account))
        found |= {by_account[one.id]: headroom(one) for one in (Account(**plain(row)) for row in tx.execute(query))}
    return found


def every_transfer(
    tx: Connection, *, from_us: int = 0, to_us: int | None = None, tenant: TenantId | None = None
) -> list[Transfer]:
    """Transfers booked inside a period, in order; with `tenant`, only what touches its account."""
    query = select(*_TRANSFER).where(transfers.c.at_us >= from_us).order_by(transfers.c.seq)
    if to_us is not None:
        query = query.where(transfers.c.at_us < to_us)
    if tenant is not None:
        query = query.where(_touching(tenant))
    return [_transfer_of(row) for row in tx.execute(query)]


def transfers_after(tx: Connection, seq: int) -> tuple[int, list[Transfer]]:
    """(the last number, the transfers after the one of this number), in order."""
    rows = tx.execute(select(transfers.c.seq, *_TRANSFER).where(transfers.c.seq > seq).order_by(transfers.c.seq)).all()
    return (rows[-1][0] if rows else seq), [_transfer_of(row) for row in rows]


def adjustments(tx: Connection, tenant: TenantId, from_us: int, to_us: int) -> list[Transfer]:
    """Everything but usage on a tenant's account that was booked inside a period, in order.

    Refunds, credits, corrections, and of blocks what was forgone and resold.
    """
    inside = (transfers.c.at_us >= from_us) & (transfers.c.at_us < to_us)
    moves_money = (transfers.c.kind == Kind.TRANSFER) | (transfers.c.purpose == Purpose.FORGONE)
    query = select(*_TRANSFER).where(inside & moves_money & _touching(tenant))
    return [_transfer_of(row) for row in tx.execute(query.order_by(transfers.c.seq))]


def debited(tx: Connection, purposes: Iterable[Purpose], from_us: int, to_us: int) -> dict[tuple[Purpose, AccountId], int]:
    """What was debited to each account for each purpose inside a period, micro-units."""
    return _booked_to(tx, transfers.c.debit, purposes, from_us, to_us)


def credited(tx: Connection, purposes: Iterable[Purpose], from_us: int, to_us: int) -> dict[tuple[Purpose, AccountId], int]:
    """What was credited to each account for each purpose inside a period, micro-units."""
    return _booked_to(tx, transfers.c.credit, purposes, from_us, to_us)


def _booked_to(
    tx: Connection, side: ColumnElement[str], purposes: Iterable[Purpose], from_us: int, to_us: int
) -> dict[tuple[Purpose, AccountId], int]:
    total = select(transfers.c.purpose, side, func.sum(transfers.c.amount_micro))
    inside = (transfers.c.at_us >= from_us) & (transfers.c.at_us < to_us) & transfers.c.purpose.in_(list(purposes))
    rows = tx.execute(total.where(inside).group_by(transfers.c.purpose, side))
    return {(Purpose(purpose), AccountId(account)): int(amount) for purpose, account, amount in rows}


def page(tx: Connection, *, after: int = 0, tenant: TenantId | None = None, limit: int = 100) -> list[tuple[int, Transfer]]:
    """(sequence number, transfer) after a sequence number, oldest first; with `tenant`, only what touches that tenant."""
    query = select(transfers.c.seq, *_TRANSFER).where(transfers.c.seq > after).order_by(transfers.c.seq).limit(limit)
    if tenant is not None:
        query = query.where(_touching(tenant))
    return [(row[0], _transfer_of(row)) for row in tx.execute(query)]


def held_for(tx: Connection, wanted: Iterable[LeaseId]) -> dict[_Attempt, int]:
    """What is left of each attempt's hold, micro-units."""
    return {key: left for key, (left, _) in _holds(tx, wanted).items()}


def hold_all(tx: Connection, wanted: Sequence[Hold], *, now_us: int) -> set[LeaseId]:
    """Reserve each hold, in this order, and return the leases that were refused because their tenant's limit stands in the way.

    A hold that was made before stands. Nothing is booked for a refused one, and a later, smaller one may still fit.
    """
    entries = [hold_transfer(one, nth=0, at_us=now_us) for one in wanted]
    room = {name: headroom(found) for name, found in locked(tx, [entry.debit for entry in entries]).items()}
    made_before = _booked(tx, [entry.id for entry in entries])
    refused: set[LeaseId] = set()
    fitting: list[tuple[Hold, Transfer]] = []
    for one, entry in zip(wanted, entries, strict=True):
        if entry.id in made_before:
            continue
        left = room[entry.debit]
        if left is not None and entry.amount_micro > left:
            refused.add(one.lease)
            continue
        room[entry.debit] = None if left is None else left - entry.amount_micro
        fitting.append((one, entry))
    enter(tx, [entry for _, entry in fitting])
    rows = [
        {"lease": one.lease, "attempt": one.attempt, "account": entry.debit, "left_micro": entry.amount_micro, "extensions": 0}
        for one, entry in fitting
    ]
    insert_all(tx, holds, rows)
    return refused


def extend_all(tx: Connection, wanted: Sequence[Extension], *, now_us: int) -> dict[LeaseId, int]:
    """Reserve more for running attempts and move the end of their funds; returns the new end of each that moved.

    Where the limit does not allow the whole window, the lease is funded as far as the money reaches.
    """
    room = {name: headroom(found) for name, found in locked(tx, [receivable(one.tenant) for one in wanted]).items()}
    present = _holds(tx, [one.lease for one in wanted])
    entries: list[Transfer] = []
    moved: list[tuple[Extension, int, int, int]] = []  # with the new end, the amount and the number of the extension
    for one in wanted:
        if (one.lease, one.attempt) not in present:
            continue  # settled in the meantime
        name = receivable(one.tenant)
        left, nth = room[name], present[one.lease, one.attempt][1] + 1
        window = one.to_us - one.from_us
        if left is not None:
            window = window_us(one.gpus, one.price_micro, affordable_micro=left, at_most_us=window)
        if window <= 0:
            continue
        amount = hold_micro(one.gpus, window, one.price_micro)
        room[name] = None if left is None else left - amount
        entries.append(hold_transfer(Hold(one.lease, one.attempt, one.tenant, one.pool, amount), nth=nth, at_us=now_us))
        moved.append((one, one.from_us + window, amount, nth))
    enter(tx, entries)
    _move_funds(tx, moved)
    return {one.lease: end for one, end, _, _ in moved}


def charge_all(tx: Connection, intervals: Sequence[Usage], *, now_us: int) -> list[Usage]:
    """Post the charge of each interval against its attempt's hold, and return the intervals whose hold does not cover them.

    Those stay unbilled: holds are made so that it cannot happen, and if it does, nobody pays beyond what was agreed.
    """
    locked(tx, [receivable(one.tenant) for one in intervals])
    booked = _booked(tx, [f"charge:{one.lease}:{one.seq}" for one in intervals])
    left = {key: found[0] for key, found in _holds(tx, [one.lease for one in intervals]).items()}
    taken: dict[_Attempt, int] = defaultdict(int)
    covered: list[Usage] = []
    uncovered: list[Usage] = []
    for one in intervals:
        key, amount = (one.lease, one.attempt), charge(one)
        if f"charge:{one.lease}:{one.seq}" in booked:
            covered.append(one)
        elif taken[key] + amount <= left.get(key, 0):
            taken[key] += amount
            covered.append(one)
        else:
            uncovered.append(one)
    enter(tx, [charge_transfer(one, at_us=now_us) for one in covered])
    rows = [{"b_lease": lease, "b_attempt": attempt, "b_taken": amount} for (lease, attempt), amount in taken.items() if amount]
    _TAKE.run(tx, rows)
    mark_billed(tx, covered)
    return uncovered


def settle_all(tx: Connection, ended: Sequence[Settlement], *, now_us: int) -> None:
    """Book refunds and credits of finished attempts, give the rest of their holds back, and close them."""
    locked(tx, [receivable(one.attempt.tenant) for one in ended])
    present = _holds(tx, [one.attempt.lease for one in ended])
    entries: list[Transfer] = []
    for one in ended:
        left, _ = present.get((one.attempt.lease, one.attempt.attempt), (0, 0))
        entries += settling_transfers(one, left_micro=left, at_us=now_us)
    enter(tx, entries)
    rows = [{"b_lease": one.attempt.lease, "b_attempt": one.attempt.attempt} for one in ended]
    _CLOSE.run(tx, rows)
    mark_settled(tx, [one.attempt for one in ended])


def give_back(tx: Connection, given: GivenBack, *, now_us: int) -> None:
    """Book time of a block that its tenant gives back while the block goes on or waits; doing it again changes nothing."""
    locked(tx, [receivable(given.tenant)])
    new = enter(tx, given_back_transfers(given, at_us=now_us))
    taken = sum(entry.amount_micro for entry in new if entry.kind is Kind.POST)
    mine = (holds.c.lease == given.lease) & (holds.c.attempt == given.attempt) & (holds.c.left_micro >= taken)
    if taken and tx.execute(update(holds).where(mine).values(left_micro=holds.c.left_micro - taken)).rowcount != 1:
        raise Stale(
            f"the hold of {given.lease} does not cover what is given back; nothing was saved", hint="read again and retry"
        )


def book(tx: Connection, entries: Sequence[Transfer]) -> int:
    """Book plain transfers, such as a correction, and return how many were new. A debit beyond a limit is refused."""
    assert all(entry.kind is Kind.TRANSFER for entry in entries), "holds have their own functions"
    touched = locked(tx, [name for entry in entries for name in (entry.debit, entry.credit)])
    new = enter(tx, entries)
    for name, change in changes(new).items():
        room = headroom(touched[name])
        if room is not None and change.debits_micro - change.credits_micro > room:
            raise OverLimit(f"{name} may take {room} micro-units more", field="amount", hint="raise its limit first")
    return len(new)


def locked(tx: Connection, names: Iterable[AccountId]) -> dict[AccountId, Account]:
    """The accounts, which nobody else changes until this transaction ends."""
    wanted = sorted(set(names))
    found: dict[AccountId, Account] = {}
    for portion in portions(wanted):
        query = select(accounts).where(among(accounts.c.id, portion)).order_by(accounts.c.id).with_for_update()
        found |= {row.id: Account(**plain(row)) for row in tx.execute(query)}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise NotFound(f"there is no account {missing[0]}", field="account", hint="open it before money is moved")
    return found


def _booked(tx: Connection, ids: Iterable[str]) -> set[str]:
    """Which of these transfers have happened."""
    found: set[str] = set()
    for portion in portions(ids):
        found |= set(tx.execute(select(transfers.c.id).where(among(transfers.c.id, portion))).scalars())
    return found


def enter(tx: Connection, entries: Sequence[Transfer]) -> list[Transfer]:
    """Add the transfers that are new, change the balances by them, and return them."""
    fresh = insert_new(tx, transfers, [row_of(entry) for entry in entries], key=[transfers.c.id])
    new = [entry for entry in entries if (entry.id,) in fresh]
    rows: list[dict[str, Any]] = [
        {"b_id": name, "b_debits": change.debits_micro, "b_credits": change.credits_micro, "b_held": change.held_micro}
        for name, change in sorted(changes(new).items())
    ]
    _CHANGE.run(tx, rows)
    return new


def _holds(tx: Connection, wanted: Iterable[LeaseId]) -> dict[_Attempt, tuple[int, int]]:
    """(left, extensions) of each attempt's hold."""
    found: dict[_Attempt, tuple[int, int]] = {}
    for portion in portions(set(wanted)):
        rows = tx.execute(select(holds).where(among(holds.c.lease, portion)))
        found |= {(row.lease, row.attempt): (row.left_micro, row.extensions) for row in rows}
    return found


def _move_funds(tx: Connection, moved: Sequence[tuple[Extension, int, int, int]]) -> None:
    """Write extensions to the holds and the leases, or raise `Stale` if one moved since it was read."""
    if not moved:
        return
    rows = [
        {"b_lease": one.lease, "b_attempt": one.attempt, "b_old": one.from_us, "b_new": end, "b_amount": amount, "b_nth": nth}
        for one, end, amount, nth in moved
    ]
    mine = (holds.c.lease == bindparam("b_lease")) & (holds.c.attempt == bindparam("b_attempt"))
    grown = {"left_micro": holds.c.left_micro + bindparam("b_amount"), "extensions": bindparam("b_nth")}
    tx.execute(update(holds).where(mine).values(grown), rows)
    same = (leases.c.id == bindparam("b_lease")) & (leases.c.attempt == bindparam("b_attempt"))
    statement = update(leases).where(same & (leases.c.funded_until_us == bindparam("b_old")))
    if tx.execute(statement.values(funded_until_us=bindparam("b_new")), rows).rowcount != len(rows):
        raise Stale("a lease moved while its funds were extended; nothing was saved", hint="read again and retry")


def _touching(tenant: TenantId) -> ColumnElement[bool]:
    return (transfers.c.debit == receivable(tenant)) | (transfers.c.credit == receivable(tenant))


def _transfer_of(row: Any) -> Transfer:
    values = {name: value for name, value in plain(row).items() if name != "seq"}
    return Transfer(**values | {"kind": Kind(values["kind"]), "purpose": Purpose(values["purpose"])})
