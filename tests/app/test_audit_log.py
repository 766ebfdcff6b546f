"""The audit log in its stores: many add to it, nobody may change it, and a change is found all the same."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from sublet.app import audit_log
from sublet.core.audit_log import Tampered
from sublet.store import audit_log as store
from sublet.store.database import Database

ENTRIES = 5


def add(database: Database, count: int, *, about: str = "test") -> None:
    for nth in range(count):
        with database.write() as tx:
            store.append(tx, at_us=1_000 + nth, kind="residency.verdicts", document={"about": about, "nth": nth})


def test_several_writers_make_one_chain(db_url: str) -> None:
    """Each with a control plane's own connections, as replicas have."""
    many = [Database(db_url) for _ in range(3)]
    threads = [threading.Thread(target=add, args=(one, 15), kwargs={"about": f"writer {nth}"}) for nth, one in enumerate(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = audit_log.verify(many[0])
    assert found.entries == 45
    with many[0].read() as tx:
        assert (store.head(tx), store.count(tx)) == (found.head, 45)
    for one in many:
        one.close()


def test_what_is_undone_leaves_no_gap(database: Database) -> None:
    add(database, 1)
    with pytest.raises(ZeroDivisionError):
        _add_and_fail(database)
    add(database, 1)
    assert audit_log.verify(database).entries == 2


def _add_and_fail(database: Database) -> None:
    with database.write() as tx:
        store.append(tx, at_us=1, kind="undone", document={})
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET at_us = at_us + 1 WHERE seq = 2",
        "DELETE FROM audit_log WHERE seq = 5",
        "DELETE FROM audit_log",
    ],
)
def test_the_table_refuses_changes(database: Database, change: str) -> None:
    add(database, ENTRIES)
    with pytest.raises(DBAPIError, match="only ever added to"), database.write() as tx:
        tx.exec_driver_sql(change)
    assert audit_log.verify(database).entries == ENTRIES


def test_each_store_refuses_what_only_it_knows(database: Database) -> None:
    add(database, ENTRIES)
    own = "INSERT OR REPLACE INTO audit_log SELECT seq, 1, kind, document, previous, hash FROM audit_log WHERE seq = 2"
    with pytest.raises(DBAPIError, match="only ever added to"), database.write() as tx:
        tx.exec_driver_sql(own if database.is_sqlite else "TRUNCATE audit_log")
    assert audit_log.verify(database).entries == ENTRIES


def test_an_export_proves_itself_with_no_database(database: Database, tmp_path: Path) -> None:
    add(database, 1_203)
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"".join(audit_log.export(database)))
    found = audit_log.verify(database)
    assert audit_log.verify_file(export, head=found.head) == found and found.entries == 1_203
    add(database, 1)
    with pytest.raises(Tampered, match="was expected"):
        audit_log.verify(database, head=found.head)


@pytest.fixture
def forged(sqlite_template: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A log of five entries in a SQLite file whose triggers somebody has dropped."""
    path = tmp_path / "forged.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}")
    add(database, ENTRIES)
    database.close()
    raw = sqlite3.connect(path, isolation_level=None)
    for what in ("update", "delete", "replace"):
        raw.execute(f"DROP TRIGGER keep_audit_log_{what}")
    yield raw
    raw.close()


def verify(forged: sqlite3.Connection, head: str | None = None) -> int:
    path = forged.execute("PRAGMA database_list").fetchone()[2]
    database = Database(f"sqlite:///{path}")
    try:
        return audit_log.verify(database, head=head).entries
    finally:
        database.close()


@pytest.mark.parametrize("seq", range(1, ENTRIES + 1))
@pytest.mark.parametrize("column", ["seq", "at_us", "kind", "document", "previous", "hash"])
def test_a_changed_column_of_any_row_is_found(forged: sqlite3.Connection, column: str, seq: int) -> None:
    assert verify(forged) == ENTRIES
    value = f"{column} + 100" if column in {"seq", "at_us"} else f"replace({column}, substr({column}, 3, 1), '~')"
    assert forged.execute(f"UPDATE audit_log SET {column} = {value} WHERE seq = {seq}").rowcount == 1
    with pytest.raises(Tampered, match=r"entry \d"):
        verify(forged)


@pytest.mark.parametrize("seq", range(1, ENTRIES + 1))
def test_a_row_that_is_missing_is_found(forged: sqlite3.Connection, seq: int) -> None:
    (head,) = forged.execute("SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetchone()
    forged.execute(f"DELETE FROM audit_log WHERE seq = {seq}")
    with pytest.raises(Tampered):
        verify(forged, head)
    if seq < ENTRIES:
        with pytest.raises(Tampered, match="number"):
            verify(forged)
