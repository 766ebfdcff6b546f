"""The outbox of webhooks: written in the transaction of what they announce, sent afterwards, at least once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from sublet.store.bulk import insert_new
from sublet.store.rows import plain, row_of
from sublet.store.schema import webhooks


@dataclass(frozen=True, slots=True)
class Webhook:
    """A message to a tenant's receiver. `id` makes it one message, `<lease>:<attempt>:<deadline>` for a notice."""

    id: str
    url: str
    body: str
    due_us: int
    tries: int = 0
    done_us: int | None = None
    error: str | None = None


def put_all(tx: Connection, new: Sequence[Webhook]) -> None:
    """Add messages; one with a known id is left as it is."""
    insert_new(tx, webhooks, [row_of(webhook) for webhook in new], key=(webhooks.c.id,))


def due(tx: Connection, *, now_us: int, limit: int) -> list[Webhook]:
    """Messages to send now, the longest due first."""
    ready = webhooks.c.done_us.is_(None) & (webhooks.c.due_us <= now_us)
    return [Webhook(**plain(row)) for row in tx.execute(select(webhooks).where(ready).order_by(webhooks.c.due_us).limit(limit))]


def save_all(tx: Connection, tried: Iterable[Webhook]) -> None:
    """Record what became of messages."""
    for webhook in tried:
        values = {
            "due_us": webhook.due_us,
            "tries": webhook.tries,
            "done_us": webhook.done_us,
            "error": webhook.error,
        }
        tx.execute(update(webhooks).where(webhooks.c.id == webhook.id).values(values))
