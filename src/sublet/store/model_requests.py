"""Requests to models that are over: added once each, read page by page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, func, insert, select

from sublet.core.errors import NotFound
from sublet.core.ids import ModelName, TenantId
from sublet.core.model_request import Counted, ModelRequest, Outcome, TokenDay, TokenUse
from sublet.core.units import DAY_US
from sublet.store.bulk import portions
from sublet.store.rows import plain
from sublet.store.schema import transfers
from sublet.store.schema_tokens import model_requests

_NAMES = tuple(field.name for field in fields(ModelRequest))


def present(tx: Connection, ids: Iterable[str]) -> set[str]:
    """Which of these requests are booked."""
    found: set[str] = set()
    for portion in portions(ids):
        found |= set(tx.execute(select(model_requests.c.id).where(model_requests.c.id.in_(portion))).scalars())
    return found


def insert_all(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add requests that are not there yet, as rows."""
    if rows:
        tx.execute(insert(model_requests), rows)


def get(tx: Connection, request: str, *, tenant: TenantId | None = None) -> ModelRequest:
    """One request; with `tenant`, another tenant's does not exist."""
    row = tx.execute(select(model_requests).where(model_requests.c.id == request)).one_or_none()
    if row is None or (tenant is not None and row.tenant != tenant):
        hint = "a request is here a moment after its answer has ended; `sublet requests` lists them"
        raise NotFound(f"there is no request {request}", field="request", hint=hint)
    return _of(row)


def page(
    tx: Connection,
    *,
    tenant: TenantId | None = None,
    model: str | None = None,
    from_us: int = 0,
    to_us: int | None = None,
    after: tuple[int, str] | None = None,
    limit: int = 100,
) -> list[ModelRequest]:
    """Requests booked inside a period, newest first; `after` is (booked_us, id) of the last one seen."""
    table = model_requests.c
    query = select(model_requests).where(table.booked_us >= from_us)
    if to_us is not None:
        query = query.where(table.booked_us < to_us)
    if tenant is not None:
        query = query.where(table.tenant == tenant)
    if model is not None:
        query = query.where(table.model == model)
    if after is not None:
        booked, last = after
        query = query.where((table.booked_us < booked) | ((table.booked_us == booked) & (table.id < last)))
    ordered = query.order_by(table.booked_us.desc(), table.id.desc()).limit(limit)
    return [_of(row) for row in tx.execute(ordered)]


def totals(tx: Connection, tenant: TenantId, from_us: int, to_us: int) -> list[TokenUse]:
    """What a tenant's requests booked inside a period used, by model, tier and price: the lines of an invoice."""
    table = model_requests.c
    batched = table.batch != ""
    sums = [func.sum(column) for column in (table.input_tokens, table.cached_tokens, table.output_tokens, table.amount_micro)]
    query = select(table.model, table.tier, batched, func.count(), *sums)
    mine = (table.tenant == tenant) & (table.booked_us >= from_us) & (table.booked_us < to_us)
    grouped = query.where(mine).group_by(table.model, table.tier, batched).order_by(table.model, table.tier, batched)
    return [TokenUse(ModelName(m), tier, bool(b), *(int(n) for n in counts)) for m, tier, b, *counts in tx.execute(grouped)]


def by_day(tx: Connection, from_us: int, to_us: int, *, tenant: TenantId | None = None) -> list[TokenDay]:
    """What requests booked inside a period used, by tenant, day, model and tier; those that we broke cost and count nothing."""
    table = model_requests.c
    batched, day = table.batch != "", (table.booked_us - table.booked_us % DAY_US)
    groups = (table.tenant, day, table.model, table.tier, batched)
    sums = [func.sum(column) for column in (table.input_tokens, table.cached_tokens, table.output_tokens, table.amount_micro)]
    inside = (table.booked_us >= from_us) & (table.booked_us < to_us) & (table.outcome != Outcome.BROKEN)
    if tenant is not None:
        inside &= table.tenant == tenant
    rows = tx.execute(select(*groups, func.count(), *sums).where(inside).group_by(*groups).order_by(*groups))
    return [
        TokenDay(TenantId(who), int(at), TokenUse(ModelName(model), tier, bool(b), *(int(number) for number in counts)))
        for who, at, model, tier, b, *counts in rows
    ]


def misbooked(tx: Connection) -> list[str]:
    """Postings that differ from the sum of their requests, and requests without their posting: must be none."""
    table = model_requests.c
    sums = select(table.posting, func.sum(table.amount_micro).label("amount")).group_by(table.posting).subquery()
    wrong = select(transfers.c.id, transfers.c.amount_micro, sums.c.amount).join(sums, sums.c.posting == transfers.c.id)
    differing = tx.execute(wrong.where(transfers.c.amount_micro != sums.c.amount))
    lost = select(table.id).where((table.amount_micro > 0) & ~table.posting.in_(select(transfers.c.id)))
    paid_for_nothing = select(transfers.c.id).where(
        (transfers.c.kind == "post") & transfers.c.purse.is_not(None) & ~transfers.c.id.in_(select(table.posting))
    )
    return [
        *(f"{id_} is {booked}, its requests add up to {found}" for id_, booked, found in differing),
        *(f"request {id_} has a charge that was not booked" for id_ in tx.execute(lost).scalars()),
        *(f"{id_} pays for no request" for id_ in tx.execute(paid_for_nothing).scalars()),
    ]


def _of(row: object) -> ModelRequest:
    values = {name: value for name, value in plain(row).items() if name in _NAMES}
    return ModelRequest(**values | {"outcome": Outcome(values["outcome"]), "counted": Counted(values["counted"])})
