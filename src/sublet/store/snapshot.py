"""All tables of an installation as plain rows: out of one database and into another, whichever store each of them is.

Columns are those that the database has, so a schema older than this program is read as it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, MetaData, Table, delete, func, insert, select

from sublet.store import changes, schema

Value = int | float | str | bool | None
_LEFT_OUT = frozenset({"leadership", "changes"})
"""What is of one database only: who leads there, and notes for those who read along."""
_OWN_FACTS = frozenset({changes.PURGED, "engine_place"})
"""Facts of one database only: up to where its notes were purged, and which engine keeps its runs."""
_PORTION = 2_000


@dataclass(frozen=True, slots=True)
class TableRows:
    """A table and how many rows it has."""

    name: str
    columns: tuple[str, ...]
    rows: int


class Snapshot:
    """The tables as one transaction sees them."""

    def __init__(self, tx: Connection) -> None:
        """In a transaction that only reads, all tables are of one instant, whoever writes meanwhile."""
        self._tx, self._tables = tx, _tables(tx)

    def tables(self) -> list[TableRows]:
        """Every table, those that others refer to first."""
        return [TableRows(name, tuple(table.columns.keys()), self._count(table)) for name, table in self._tables.items()]

    def rows(self, name: str) -> Iterator[tuple[Value, ...]]:
        """The rows of a table, read as they are asked for."""
        table = self._tables[name]
        query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_PORTION)
        if name == schema.facts.name:
            query = query.where(table.c.name.not_in(_OWN_FACTS))
        for row in self._tx.execute(query):
            yield tuple(row)

    def _count(self, table: Table) -> int:
        query = select(func.count()).select_from(table)
        if table.name == schema.facts.name:
            query = query.where(table.c.name.not_in(_OWN_FACTS))
        return int(self._tx.execute(query).scalar_one())


def not_empty(tx: Connection) -> Mapping[str, int]:
    """The tables that have rows, with how many."""
    return {table.name: table.rows for table in Snapshot(tx).tables() if table.rows}


def insert_rows(tx: Connection, name: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> Iterator[int]:
    """Add rows to a table in portions; yields how many were added so far."""
    table, done, rest = _tables(tx)[name], 0, iter(rows)
    while portion := [dict(zip(columns, row, strict=True)) for row in islice(rest, _PORTION)]:
        tx.execute(insert(table), portion)
        done += len(portion)
        yield done


def settle(tx: Connection) -> None:
    """After all rows are there: nobody has to be told of them, and numbers go on after the highest."""
    notes = MetaData()
    notes.reflect(tx, only=lambda name, _: name == schema.changes.name)
    if schema.changes.name in notes.tables:  # the triggers wrote a note for each row; nobody reads along yet
        tx.execute(delete(notes.tables[schema.changes.name]))
    if tx.dialect.name == "sqlite":
        return
    for table in _tables(tx).values():
        for column in table.primary_key.columns:
            sequence = tx.execute(select(func.pg_get_serial_sequence(table.name, column.name))).scalar_one()
            if sequence is not None:
                tx.execute(select(func.setval(sequence, func.coalesce(func.max(column), 1), func.count(column) > 0)))


def _tables(tx: Connection) -> dict[str, Table]:
    """Our tables as they are in this database, in an order in which rows can be added."""
    ours: Any = MetaData()
    ours.reflect(tx, only=lambda name, _: name in schema.metadata.tables and name not in _LEFT_OUT)
    return {table.name: table for table in ours.sorted_tables}
