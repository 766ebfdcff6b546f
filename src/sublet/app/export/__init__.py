"""The books for other programs: one file a format, one row of `EXPORTS` each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sublet.app.export.beancount import beancount
from sublet.app.export.books import Books, load
from sublet.app.export.focus import focus
from sublet.app.export.table import table
from sublet.core.errors import Invalid
from sublet.core.ids import TenantId
from sublet.store.database import Database


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how it is written, and what a browser and a file system call it."""

    write: Callable[[Books], Iterator[str]]
    media_type: str
    suffix: str


EXPORTS: Mapping[str, Format] = {
    "beancount": Format(beancount, "text/plain", ".beancount"),
    "csv": Format(table, "text/csv", ".csv"),
    "focus": Format(focus, "text/csv", ".focus.csv"),
}


def export(db: Database, name: str, *, from_us: int, to_us: int, tenant: TenantId | None = None) -> str:
    """The books of a period as one file's text; with `tenant`, only what touches that tenant."""
    found = EXPORTS.get(name)
    if found is None:
        raise Invalid(f"there is no export format {name!r}", field="format", hint=f"choose one of: {', '.join(EXPORTS)}")
    with db.read() as tx:
        books = load(tx, from_us=from_us, to_us=to_us, tenant=tenant)
    return "".join(f"{line}\n" for line in found.write(books))
