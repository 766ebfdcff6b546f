"""The schema is brought up to date by one of many, and nobody who works on it waits for long."""

import threading
import time
from collections.abc import Iterator

import pytest

from postgres_server import administer
from sublet.core.errors import Conflict, SubletError, Unavailable
from sublet.store.database import Database, revisions

pytestmark = pytest.mark.postgres


@pytest.fixture
def bare(postgres_url: str) -> Iterator[str]:
    """An empty database without tables."""
    administer(postgres_url, "CREATE DATABASE bare")
    yield f"{postgres_url}/bare"
    administer(postgres_url, "DROP DATABASE bare WITH (FORCE)")


def test_several_that_start_at_once_make_the_tables_once(bare: str) -> None:
    many, failed = [Database(bare) for _ in range(4)], list[Exception]()

    def migrate(one: Database) -> None:
        try:
            one.migrate()
        except SubletError as error:
            failed.append(error)

    threads = [threading.Thread(target=migrate, args=(one,)) for one in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {one.revision() for one in many} == {revisions()[0]}
    for one in many:
        one.close()


def test_a_migration_that_waits_for_a_table_lets_others_by(bare: str) -> None:
    """Who waits for a lock stands before all that come later: so it may only wait a moment, and comes again."""
    ours, busy = Database(bare), Database(bare)
    ours.migrate("0001")
    migrating = threading.Thread(target=ours.migrate)
    with busy.write() as slow:
        slow.exec_driver_sql("LOCK TABLE leases IN ROW EXCLUSIVE MODE")
        migrating.start()
        migrating.join(0.5)
        for _ in range(3):
            with Database(bare).write() as quick:
                quick.exec_driver_sql("SET LOCAL statement_timeout = '20s'")
                quick.exec_driver_sql("LOCK TABLE leases IN ROW EXCLUSIVE MODE")
        assert migrating.is_alive() and ours.revision() == "0001"
    migrating.join(60)
    assert ours.revision() == revisions()[0]
    ours.close()
    busy.close()


def test_a_schema_of_a_newer_program_is_left_alone(bare: str) -> None:
    database = Database(bare)
    database.migrate()
    with database.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="newer Sublet"):
        database.migrate()
    database.close()


def test_a_transaction_whose_process_sleeps_is_ended(bare: str) -> None:
    """The server's own patience is a minute; here the URL says less, which wins."""
    database = Database(f"{bare}?options=-c%20idle_in_transaction_session_timeout%3D200")
    with database.read() as tx:
        assert tx.exec_driver_sql("SHOW tcp_user_timeout").scalar_one() == "11000"
    with pytest.raises(Unavailable, match=r"idle-in-transaction|closed"):
        _sleep_in_a_transaction(database)
    database.close()


def _sleep_in_a_transaction(database: Database) -> None:
    with database.write() as tx:
        tx.exec_driver_sql("SELECT 1")
        time.sleep(1.0)
        tx.exec_driver_sql("SELECT 1")
