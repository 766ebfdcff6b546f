"""Many rows at once: inserts of which each happens once, and keys in portions that every database takes."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Table, Text, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")
_PORTION = 500


def portions(items: Iterable[T], size: int = _PORTION) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    everything = list(items)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]


class _Names(TypeDecorator[Sequence[str]]):
    """Many names as one parameter: an array on PostgreSQL, a JSON text on SQLite."""

    impl, cache_ok = Text, True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """What the driver is given."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else postgresql.ARRAY(Text()))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """One value for all names."""
        return json.dumps(list(value)) if dialect.name == "sqlite" else list(value)


class _Among(FunctionElement[Any]):
    inherit_cache = True
    name = "among"


@compiles(_Among)
def _among_on_postgresql(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    column, names = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} = ANY ({names})"


@compiles(_Among, "sqlite")
def _among_on_sqlite(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    column, names = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({names}))"  # noqa: S608 (a column and a parameter mark)


def among(column: ColumnElement[Any], names: Iterable[str]) -> ColumnElement[Any]:
    """`column IN (names)` as a statement whose text is the same for any number of names.

    So nobody parses and plans a new one each time: neither we nor the driver nor the server.
    """
    return _Among(column, literal(list(names), _Names()))


def insert_new(tx: Connection, table: Table, rows: Sequence[dict[str, Any]], *, key: Sequence[Column[Any]]) -> set[Any]:
    """Insert the rows whose key is not there yet, and return the keys that were new, as tuples.

    A row that is there stays as it is. `key` names the columns to return.
    """
    if not rows:
        return set()
    dialect = sqlite if tx.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*key)
    return {tuple(row) for row in tx.execute(statement, rows)}
