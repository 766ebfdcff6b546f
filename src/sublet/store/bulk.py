"""Many rows at once: inserts of which each happens once, and keys in portions that every database takes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")
_PORTION = 500


def portions(items: Iterable[T], size: int = _PORTION) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    everything = list(items)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]


def insert_new(tx: Connection, table: Table, rows: Sequence[dict[str, Any]], *, key: Sequence[Column[Any]]) -> set[Any]:
    """Insert the rows whose key is not there yet, and return the keys that were new, as tuples.

    A row that is there stays as it is. `key` names the columns to return.
    """
    if not rows:
        return set()
    dialect = sqlite if tx.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*key)
    return {tuple(row) for row in tx.execute(statement, rows)}
