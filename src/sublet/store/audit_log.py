"""The audit log's table: entries are added at its end, one writer at a time, and never changed.

The head is the last row. On PostgreSQL a writer holds an advisory lock from reading the head to the end of its transaction, so
it appends last, when all its other locks are taken: then no two writers wait for each other, and each keeps the head for one
commit. On SQLite the transaction that writes is the only one. Triggers refuse every change.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, func, insert, select

from sublet.core.audit_log import GENESIS, AuditEntry, entry_after
from sublet.store.rows import plain, row_of
from sublet.store.schema import audit_log

_APPENDING = 7_440_003  # the advisory lock of whoever adds an entry
_PAGE = 500


def append(tx: Connection, *, at_us: int, kind: str, document: object) -> AuditEntry:
    """Add an entry. Nothing else may take a lock in this transaction after it."""
    if tx.dialect.name != "sqlite":
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_APPENDING})")
    entry = entry_after(last(tx), at_us=at_us, kind=kind, document=document)
    tx.execute(insert(audit_log).values(row_of(entry)))
    return entry


def last(tx: Connection) -> AuditEntry | None:
    """The newest entry."""
    row = tx.execute(select(audit_log).order_by(audit_log.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else AuditEntry(**plain(row))


def head(tx: Connection) -> str:
    """The hash of the newest entry."""
    found = last(tx)
    return GENESIS if found is None else found.hash


def page(tx: Connection, *, after: int = 0, limit: int = _PAGE) -> list[AuditEntry]:
    """Entries in order, from the one after a number on."""
    query = select(audit_log).where(audit_log.c.seq > after).order_by(audit_log.c.seq).limit(limit)
    return [AuditEntry(**plain(row)) for row in tx.execute(query)]


def everything(tx: Connection) -> Iterator[AuditEntry]:
    """All entries in order, as they are stored, whatever was done to their numbers; read as they are asked for."""
    query = select(audit_log).order_by(audit_log.c.seq).execution_options(yield_per=_PAGE)
    for row in tx.execute(query):
        yield AuditEntry(**plain(row))


def count(tx: Connection) -> int:
    """How many entries there are."""
    return int(tx.execute(select(func.count()).select_from(audit_log)).scalar_one())
