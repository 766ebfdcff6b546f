"""Many rows at once: one statement for all of them, inserts of which each happens once, and keys in portions.

SQLite is in our own process and is quickest with a statement for each row, prepared once. PostgreSQL is a process of its own:
there all rows travel as one JSON document, which the server takes apart, and the text of the statement is the same for any
number of them. Parsing one statement with a thousand parameters, or sending and answering for a thousand rows one by one, cost
three times as much as writing the rows.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeGuard, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Dialect,
    Table,
    TableValuedAlias,
    Text,
    Update,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

T = TypeVar("T")
Row = Mapping[str, Any]
_PORTION = 500
_DOCUMENT = "document"


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
    among_which, names = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{among_which} IN (SELECT unnest({names}))"


@compiles(_Among, "sqlite")
def _among_on_sqlite(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    among_which, names = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{among_which} IN (SELECT value FROM json_each({names}))"  # noqa: S608 (a column and a parameter mark)


def among(column: ColumnElement[Any], names: Iterable[str]) -> ColumnElement[Any]:
    """`column IN (names)` as a statement whose text is the same for any number of names.

    So nobody parses and plans a new one each time: neither we nor the driver nor the server.
    """
    return _Among(column, literal(list(names), _Names()))


def given(like: Column[Any], name: str) -> BindParameter[Any]:
    """What each row of an `Each` has under a name; `like` is the column that it is compared with or written to."""
    return bindparam(name, type_=like.type)


class Each:
    """A change that is made for each of many rows. No two of the rows may mean the same row of the table.

    PostgreSQL changes them in an order of its own: who may meet others that change several of them has locked them before.
    """

    def __init__(self, what: Update | Delete, *, where: ColumnElement[bool], values: Row | None = None) -> None:
        """`where` and `values` hold `given` parts, which are another value for each row."""
        parts = [part for clause in (where, *(values or {}).values()) for part in _given_in(clause)]
        document = _document({part.key: part.type for part in parts})

        def together(clause: ColumnElement[Any]) -> ColumnElement[Any]:
            """The clause with the document's columns for what is given row by row."""
            swapped: ColumnElement[Any] = visitors.replacement_traverse(clause, {}, by_column)
            return swapped

        def by_column(element: Any, **_: Any) -> Any:
            return document.c[element.key] if _is_given(element) else None

        one, every = what.where(where), what.where(together(where))
        if isinstance(one, Update) and isinstance(every, Update) and values is not None:
            one, every = one.values(values), every.values({name: together(value) for name, value in values.items()})
        self._one, self._every = one, every
        self._names = tuple(dict.fromkeys(part.key for part in parts))

    def run(self, tx: Connection, rows: Sequence[Row]) -> int:
        """Make the change for each row; returns how many rows of the table it met."""
        if not rows:
            return 0
        if tx.dialect.name == "sqlite":
            return int(tx.execute(self._one, rows).rowcount)
        return int(tx.execute(self._every, {_DOCUMENT: _text(rows, self._names)}).rowcount)


def insert_all(tx: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, all with the same columns, in this order; of several, JSON must be able to say what is in them."""
    if len(rows) > 1 and tx.dialect.name != "sqlite":
        names = tuple(rows[0])
        tx.execute(_insert_of(table, names), {_DOCUMENT: _text(rows, names)})
    elif rows:
        tx.execute(insert(table), rows)


def insert_new(tx: Connection, table: Table, rows: Sequence[Row], *, key: Sequence[Column[Any]]) -> set[Any]:
    """Insert the rows whose key is not there yet, and return the keys that were new, as tuples.

    A row that is there stays as it is. `key` names the columns to return.
    """
    if not rows:
        return set()
    dialect = sqlite if tx.dialect.name == "sqlite" else postgresql
    if len(rows) == 1 or dialect is sqlite:
        return {tuple(row) for row in tx.execute(dialect.insert(table).on_conflict_do_nothing().returning(*key), rows)}
    names = tuple(rows[0])
    statement = _insert_of(table, names).on_conflict_do_nothing().returning(*key)
    return {tuple(row) for row in tx.execute(statement, {_DOCUMENT: _text(rows, names)})}


@lru_cache(maxsize=256)
def _insert_of(table: Table, names: tuple[str, ...]) -> postgresql.Insert:
    """An insert of every row of a document."""
    document = _document({name: table.c[name].type for name in names})
    return postgresql.insert(table).from_select(names, select(*(document.c[name] for name in names)))


def _document(types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """The rows of the one parameter, as a table with these columns. Only what JSON can say can be in them."""
    columns = [column(name, kind) for name, kind in types.items()]
    rows = func.json_to_recordset(cast(bindparam(_DOCUMENT, type_=Text()), postgresql.JSON))
    return rows.table_valued(*columns).render_derived(name="given", with_types=True)


def _text(rows: Sequence[Row], names: Sequence[str]) -> str:
    return json.dumps([{name: row[name] for name in names} for row in rows], separators=(",", ":"))


def _given_in(clause: Any) -> Iterator[BindParameter[Any]]:
    return (part for part in visitors.iterate(clause) if _is_given(part))


def _is_given(part: object) -> TypeGuard[BindParameter[Any]]:
    """Whether this is for each row to say; a constant has its value."""
    return isinstance(part, BindParameter) and part.required
