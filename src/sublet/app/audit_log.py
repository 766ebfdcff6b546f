"""The audit log as its readers have it: verified, in pages, and as an export that proves itself offline."""

from collections.abc import Iterator
from pathlib import Path

from sublet.core.audit_log import AuditEntry, Verified, entries_of, line_of, verified
from sublet.core.errors import Invalid
from sublet.store import audit_log
from sublet.store.database import Database

_PAGE = 500


def verify(database: Database, *, head: str | None = None) -> Verified:
    """Follow the chain through the whole table; raises `Tampered` at the first entry at fault."""
    with database.read() as tx:
        return verified(audit_log.everything(tx), head=head)


def export(database: Database) -> Iterator[bytes]:
    """Every entry as a line of JSON, oldest first. Entries are only added, so pages that are read one by one fit together."""
    after = 0
    while True:
        with database.read() as tx:
            page = audit_log.page(tx, after=after, limit=_PAGE)
        if not page:
            return
        yield b"".join(line_of(entry) for entry in page)
        after = page[-1].seq


def verify_file(file: Path, *, head: str | None = None) -> Verified:
    """Follow the chain through an export, with no control plane; raises `Tampered` at the first line at fault."""
    try:
        with file.open("rb") as lines:
            return verified(entries_of(lines), head=head)
    except OSError as error:
        raise Invalid(
            f"{file} cannot be read: {error.strerror}", field="--file", hint="name an export of `audit-log export`"
        ) from error


def page(database: Database, *, after: int, limit: int) -> list[AuditEntry]:
    """Entries after a number, oldest first."""
    with database.read() as tx:
        return audit_log.page(tx, after=after, limit=limit)
