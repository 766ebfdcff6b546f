"""What changed since one looked last: the names of rows, as triggers noted them.

On SQLite transactions commit one after the other, so numbers rise as they become visible. On PostgreSQL a number is drawn
before its transaction commits, and a smaller one may become visible later. So a reader goes on from the oldest transaction that
was still open when it read (`xmin` of its snapshot) and leaves out what it has read already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, func, select

from sublet.store import facts
from sublet.store.schema import changes

PURGED = "changes_purged_to"
"""The fact that says up to where notes were purged."""


class Kind(StrEnum):
    """What a change is about."""

    LEASE = "lease"
    JOB = "job"
    NODE = "node"
    POOL = "pool"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where changes were read."""

    seq: int
    xmin: int = 0  # PostgreSQL: transactions before it are all accounted for
    seen: frozenset[int] = frozenset()  # of later transactions, the numbers that were read


@dataclass(frozen=True, slots=True)
class News:
    """The subjects that changed, each once, by kind; and the mark to go on from."""

    mark: Mark
    subjects: Mapping[Kind, frozenset[str]]


def here(tx: Connection) -> Mark:
    """The mark of all that this transaction sees."""
    last = tx.execute(select(func.max(changes.c.seq))).scalar_one() or 0
    if tx.dialect.name == "sqlite":
        return Mark(last)
    xmin = _xmin(tx)
    return Mark(last, xmin, frozenset(tx.execute(select(changes.c.seq).where(changes.c.xid >= xmin)).scalars()))


def since(tx: Connection, mark: Mark) -> News | None:
    """What this transaction sees and `mark` does not; None where notes that old were purged: then everything is to be read."""
    if mark.seq < int(facts.get(tx, PURGED) or 0):
        return None
    query = select(changes.c.seq, changes.c.kind, changes.c.subject, changes.c.xid)
    if tx.dialect.name == "sqlite":
        rows = tx.execute(query.where(changes.c.seq > mark.seq)).all()
        fresh, seen, xmin = rows, frozenset[int](), 0
    else:
        xmin = _xmin(tx)
        rows = tx.execute(query.where(changes.c.xid >= mark.xmin)).all()
        fresh = [row for row in rows if row.seq not in mark.seen]
        seen = frozenset(row.seq for row in rows if row.xid >= xmin)
    subjects: dict[Kind, set[str]] = {}
    for row in fresh:
        subjects.setdefault(Kind(row.kind), set()).add(row.subject)
    last = max((row.seq for row in rows), default=mark.seq)
    return News(Mark(max(mark.seq, last), xmin, seen), {kind: frozenset(names) for kind, names in subjects.items()})


def purge(tx: Connection, *, keep: int) -> None:
    """Forget all but the last `keep` notes, one at least, from which numbers go on. Who has not read them reads everything."""
    last = tx.execute(select(func.max(changes.c.seq))).scalar_one() or 0
    upto = last - max(keep, 1)
    if upto > int(facts.get(tx, PURGED) or 0):
        tx.execute(delete(changes).where(changes.c.seq <= upto))
        facts.put(tx, PURGED, str(upto))


def _xmin(tx: Connection) -> int:
    return int(tx.exec_driver_sql("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").scalar_one())
