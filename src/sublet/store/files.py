"""Files that tenants have sent or that batches have made: what is known of them. Their bytes lie on the gateway's disk."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from sublet.core.errors import NotFound
from sublet.core.ids import TenantId
from sublet.store.rows import plain, row_of
from sublet.store.schema_tokens import files


@dataclass(frozen=True, slots=True)
class File:
    """One file. `site` is where its bytes lie."""

    id: str
    tenant: TenantId
    purpose: str
    filename: str
    bytes: int
    sha256: str
    created_us: int
    site: str = ""


def insert_one(tx: Connection, file: File) -> None:
    """Add a file; one that is there gets its new size."""
    grown = {"bytes": file.bytes, "sha256": file.sha256}
    if tx.execute(update(files).where(files.c.id == file.id).values(grown)).rowcount == 0:
        tx.execute(insert(files).values(row_of(file)))


def get(tx: Connection, file: str, *, tenant: TenantId) -> File:
    """One file of a tenant's."""
    row = tx.execute(select(files).where((files.c.id == file) & (files.c.tenant == tenant))).one_or_none()
    if row is None:
        raise NotFound(f"there is no file {file}", field="file_id", hint="GET /openai/v1/files lists yours")
    return File(**plain(row))


def remove(tx: Connection, file: str) -> None:
    """Forget a file."""
    tx.execute(delete(files).where(files.c.id == file))


def page(tx: Connection, tenant: TenantId, *, purpose: str | None = None, after: File | None = None, limit: int) -> list[File]:
    """A tenant's files, newest first, from the one after `after`."""
    query = select(files).where(files.c.tenant == tenant)
    if purpose is not None:
        query = query.where(files.c.purpose == purpose)
    if after is not None:
        older = files.c.created_us < after.created_us
        query = query.where(older | ((files.c.created_us == after.created_us) & (files.c.id < after.id)))
    rows = tx.execute(query.order_by(files.c.created_us.desc(), files.c.id.desc()).limit(limit))
    return [File(**plain(row)) for row in rows]
