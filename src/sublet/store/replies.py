"""What was answered to requests with an idempotency key, so that a repeated request has one effect and one answer."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, update

from sublet.store.bulk import insert_new
from sublet.store.schema import replies

_OPEN = 0  # the status of a claim whose effect is still being made, in the same transaction


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it was sent; `request_sha256` says which request it belongs to."""

    request_sha256: str
    status: int
    body: str


def claim(tx: Connection, key_id: str, idempotency_key: str, request_sha256: str, *, now_us: int) -> Reply | None:
    """Take an idempotency key for this transaction; the stored reply if it was taken before.

    A second request with the same key waits here until the first is committed or rolled back: the claim and the effect
    are one transaction, so a crash leaves both or neither.
    """
    row = {
        "key_id": key_id,
        "idempotency_key": idempotency_key,
        "request_sha256": request_sha256,
        "status": _OPEN,
        "body": "",
        "at_us": now_us,
    }
    if insert_new(tx, replies, [row], key=(replies.c.key_id, replies.c.idempotency_key)):
        return None
    found = tx.execute(select(replies).where(_mine(key_id, idempotency_key))).one()
    return Reply(found.request_sha256, found.status, found.body)


def complete(tx: Connection, key_id: str, idempotency_key: str, *, status: int, body: str) -> None:
    """Keep the answer of a claimed key."""
    tx.execute(update(replies).where(_mine(key_id, idempotency_key)).values(status=status, body=body))


def forget(tx: Connection, *, before_us: int, limit: int = 1_000) -> int:
    """Drop answers older than an instant, at most `limit` of them."""
    old = select(replies.c.key_id, replies.c.idempotency_key).where(replies.c.at_us < before_us).limit(limit)
    found = tx.execute(old).all()
    for key_id, idempotency_key in found:
        tx.execute(delete(replies).where(_mine(key_id, idempotency_key)))
    return len(found)


def _mine(key_id: str, idempotency_key: str) -> ColumnElement[bool]:
    return (replies.c.key_id == key_id) & (replies.c.idempotency_key == idempotency_key)
