"""Purses in the database: money moves between a tenant's account and a gateway's purse, and out of it for requests.

As everywhere in the ledger, the tenant's account is locked first, and what has happened once changes nothing again: requests
by their ids, a purse's transfers by their numbers.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sublet.core.errors import NotFound
from sublet.core.ids import ModelName, TenantId
from sublet.core.ledger import Account, headroom, receivable
from sublet.core.model_request import ModelRequest
from sublet.core.purse import Posting, Purse, emptying, filling, grant_micro, payments, purse_accounts
from sublet.store import invoices, model_requests
from sublet.store.bulk import portions
from sublet.store.ledger import enter, locked, open_accounts
from sublet.store.rows import plain, row_of
from sublet.store.schema_tokens import purses


@dataclass(frozen=True, slots=True)
class Filled:
    """What a purse was given, and what the tenant may still spend or reserve besides (None: no limit)."""

    granted_micro: int
    room_micro: int | None


def open_one(tx: Connection, *, id: str, tenant: TenantId, gateway: str, now_us: int) -> Purse:  # noqa: A002 (it has an id)
    """A new, empty purse in the currency of the tenant's account."""
    account = locked(tx, [receivable(tenant)])[receivable(tenant)]
    open_accounts(tx, purse_accounts(account.currency))
    purse = Purse(id, tenant, gateway, account.currency, 0, 0, now_us)
    tx.execute(insert(purses).values(row_of(purse)))
    return purse


def fill(tx: Connection, purse: str, *, need_micro: int, want_micro: int, now_us: int) -> Filled:
    """Reserve more money for a purse: what it needs, and of what it wants beyond as much as is fair; or nothing."""
    found, account = _both(tx, purse)
    room = headroom(account)
    granted = grant_micro(need_micro, want_micro, room)
    if granted:
        enter(tx, [filling(found, granted, at_us=now_us)])
        _save(tx, replace(found, left_micro=found.left_micro + granted, entries=found.entries + 1))
    return Filled(granted, None if room is None else room - granted)


def empty(tx: Connection, purse: str, amount_micro: int, *, now_us: int) -> None:
    """Give a part of a purse back."""
    found, _ = _both(tx, purse)
    assert 0 < amount_micro <= found.left_micro, f"{purse} has {found.left_micro}, not {amount_micro}"
    enter(tx, [emptying(found, amount_micro, at_us=now_us)])
    _save(tx, replace(found, left_micro=found.left_micro - amount_micro, entries=found.entries + 1))


def close(tx: Connection, purse: str, *, now_us: int) -> None:
    """Give all of a purse back, for good; doing it again changes nothing."""
    found, _ = _both(tx, purse)
    if found.closed_us is not None:
        return
    if found.left_micro:
        enter(tx, [emptying(found, found.left_micro, at_us=now_us)])
    _save(tx, replace(found, left_micro=0, entries=found.entries + bool(found.left_micro), closed_us=now_us))


def opened_by(tx: Connection, gateway: str) -> list[Purse]:
    """The purses of a gateway that are open."""
    mine = (purses.c.gateway == gateway) & purses.c.closed_us.is_(None)
    return [Purse(**plain(row)) for row in tx.execute(select(purses).where(mine).order_by(purses.c.id))]


def every_open(tx: Connection) -> list[Purse]:
    """The purses of all gateways that are open."""
    mine = purses.c.closed_us.is_(None)
    return [Purse(**plain(row)) for row in tx.execute(select(purses).where(mine).order_by(purses.c.id))]


def charge(tx: Connection, requests: Sequence[ModelRequest], *, now_us: int) -> list[ModelRequest]:
    """Book requests, each once, and pay them out of their purses; returns those whose purse did not cover them.

    Those are on the usage page, too, and free: purses are filled so that it cannot happen, unless one was closed by force.
    A request is booked at an instant that no issued invoice covers yet, so each is on exactly one.
    """
    owed = locked(tx, [receivable(one.tenant) for one in requests])
    present = model_requests.present(tx, [one.id for one in requests])
    fresh = list({one.id: one for one in requests if one.id not in present}.values())
    found = _some(tx, {one.purse for one in fresh})
    open_accounts(tx, _incomes(fresh, {name: account.currency for name, account in owed.items()}))
    booked_us = {tenant: max(now_us, invoices.last_end_us(tx, tenant)) for tenant in {one.tenant for one in fresh}}
    uncovered: list[ModelRequest] = []
    rows: list[dict[str, Any]] = []
    for name, mine in _by_purse(fresh).items():
        covered, beyond = _split(mine, 0 if name not in found else found[name].left_micro)
        uncovered += beyond
        paid, postings = _postings(covered)
        transfers = payments(found[name], postings, at_us=now_us) if postings else []
        enter(tx, transfers)
        ids = {posting.model: transfer.id for posting, transfer in zip(postings, transfers, strict=True)}
        if postings:
            spent = sum(posting.amount_micro for posting in postings)
            left, entries = found[name].left_micro - spent, found[name].entries + len(postings)
            _save(tx, replace(found[name], left_micro=left, entries=entries))
        rows += [_booked(one, ids[one.model], booked_us) for one in paid]
        rows += [_booked(one, "", booked_us) for one in covered if not one.amount_micro]
        rows += [_booked(one, "", booked_us) | {"amount_micro": 0} for one in beyond]
    model_requests.insert_all(tx, rows)
    return uncovered


def _booked(request: ModelRequest, posting: str, booked_us: Mapping[TenantId, int]) -> dict[str, Any]:
    """A request's row. Copying the value would cost as much as all else that is done for it."""
    return row_of(request) | {"posting": posting, "booked_us": booked_us[request.tenant]}


def _split(requests: Sequence[ModelRequest], left_micro: int) -> tuple[list[ModelRequest], list[ModelRequest]]:
    """Those that so much money covers, in their order, and the others."""
    covered: list[ModelRequest] = []
    beyond: list[ModelRequest] = []
    for one in requests:
        if one.amount_micro <= left_micro:
            covered.append(one)
            left_micro -= one.amount_micro
        else:
            beyond.append(one)
    return covered, beyond


def _postings(requests: Sequence[ModelRequest]) -> tuple[list[ModelRequest], list[Posting]]:
    """The requests that cost something, and what they cost by model."""
    paid = [one for one in requests if one.amount_micro]
    by_model: dict[ModelName, list[int]] = defaultdict(list)
    for one in paid:
        by_model[one.model].append(one.amount_micro)
    return paid, [Posting(model, sum(amounts), len(amounts)) for model, amounts in sorted(by_model.items())]


def _by_purse(requests: Iterable[ModelRequest]) -> Mapping[str, list[ModelRequest]]:
    out: dict[str, list[ModelRequest]] = defaultdict(list)
    for one in requests:
        out[one.purse].append(one)
    return out


def _incomes(requests: Iterable[ModelRequest], currencies: Mapping[str, str]) -> list[Account]:
    named = sorted({(currencies[receivable(one.tenant)], one.model) for one in requests if one.amount_micro})
    return [account for currency, model in named for account in purse_accounts(currency, [model])]


def _both(tx: Connection, purse: str) -> tuple[Purse, Account]:
    """A purse and its tenant's account, which nobody else changes until this transaction ends."""
    tenant = tx.execute(select(purses.c.tenant).where(purses.c.id == purse)).scalar_one_or_none()
    if tenant is None:
        raise NotFound(f"there is no purse {purse}", field="purse", hint="open one first")
    account = locked(tx, [receivable(TenantId(tenant))])[receivable(TenantId(tenant))]
    return _some(tx, {purse})[purse], account


def _some(tx: Connection, wanted: Iterable[str]) -> dict[str, Purse]:
    found: dict[str, Purse] = {}
    for portion in portions(sorted(wanted)):
        rows = tx.execute(select(purses).where(purses.c.id.in_(portion)))
        found |= {row.id: Purse(**plain(row)) for row in rows}
    return found


def _save(tx: Connection, purse: Purse) -> None:
    values = {"left_micro": purse.left_micro, "entries": purse.entries, "closed_us": purse.closed_us}
    tx.execute(update(purses).where(purses.c.id == purse.id).values(values))
