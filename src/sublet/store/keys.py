"""API keys: what is kept of them is a hash, a scope and a name."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from sublet.core.errors import NotFound
from sublet.core.ids import TenantId
from sublet.store.rows import plain
from sublet.store.schema import keys


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as the store keeps it; `scope` is one of `app.keys.Scope`."""

    id: str
    secret_sha256: str
    scope: str
    tenant: TenantId | None
    name: str
    created_us: int
    revoked_us: int | None = None


def insert_one(tx: Connection, key: KeyRow) -> None:
    """Add a key."""
    tx.execute(
        insert(keys).values(
            id=key.id,
            secret_sha256=key.secret_sha256,
            scope=key.scope,
            tenant=key.tenant,
            name=key.name,
            created_us=key.created_us,
            revoked_us=key.revoked_us,
        )
    )


def by_hash(tx: Connection, secret_sha256: str) -> KeyRow | None:
    """The key with this hash, revoked or not."""
    row = tx.execute(select(keys).where(keys.c.secret_sha256 == secret_sha256)).one_or_none()
    return None if row is None else KeyRow(**plain(row))


def get(tx: Connection, key: str) -> KeyRow:
    """One key."""
    row = tx.execute(select(keys).where(keys.c.id == key)).one_or_none()
    if row is None:
        raise NotFound(f"there is no key {key}", field="key", hint="`sublet key ls` lists them")
    return KeyRow(**plain(row))


def page(tx: Connection, *, scope: str | None = None, after: str | None = None, limit: int = 100) -> list[KeyRow]:
    """Keys by id, from the one after `after`."""
    query = select(keys).order_by(keys.c.id).limit(limit)
    if scope is not None:
        query = query.where(keys.c.scope == scope)
    if after is not None:
        query = query.where(keys.c.id > after)
    return [KeyRow(**plain(row)) for row in tx.execute(query)]


def living(tx: Connection, scope: str) -> int:
    """How many keys of a scope still open the door."""
    query = select(keys.c.id).where((keys.c.scope == scope) & keys.c.revoked_us.is_(None))
    return len(tx.execute(query).all())


def revoke(tx: Connection, key: str, *, now_us: int) -> None:
    """Close the door to a key; the first word stands."""
    tx.execute(update(keys).where((keys.c.id == key) & keys.c.revoked_us.is_(None)).values(revoked_us=now_us))


def revoked_since(tx: Connection, since_us: int) -> list[str]:
    """The keys that were revoked at or after an instant."""
    return list(tx.execute(select(keys.c.id).where(keys.c.revoked_us >= since_us)).scalars())
