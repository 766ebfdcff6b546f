"""Many rows at once are what one after the other would have been, on both kinds of database."""

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import delete, insert, select, update

from sublet.core.errors import Unavailable
from sublet.store import events, facts
from sublet.store.bulk import Each, among, given, insert_all, insert_new
from sublet.store.database import Database
from sublet.store.events import Entry
from sublet.store.schema import accounts, attempts, spans

ODD = ["plain", 'it\'s "so" \\ %s :b_id {}', "Zürich\n\t✓ 👍", "", "NULL", "[1, 2]"]  # what a text between may change
_RENAME = Each(
    update(accounts),
    where=(accounts.c.id == given(accounts.c.id, "b_id")) & (accounts.c.currency == "EUR"),
    values={
        "limit_micro": given(accounts.c.limit_micro, "b_limit"),
        "held_micro": accounts.c.held_micro + given(accounts.c.held_micro, "b_more"),
    },
)
_FORGET = Each(delete(accounts), where=accounts.c.id == given(accounts.c.id, "b_id"))


def _account(name: str, **more: object) -> dict[str, object]:
    row: dict[str, object] = {"id": name, "currency": "EUR", "debits_micro": 0, "credits_micro": 0, "held_micro": 5}
    return row | {"limit_micro": None} | more


def _kept(database: Database) -> dict[str, tuple[int | None, int]]:
    with database.read() as tx:
        return {row.id: (row.limit_micro, row.held_micro) for row in tx.execute(select(accounts))}


def test_each_row_changes_what_it_names_and_nothing_else(database: Database) -> None:
    names = ["a", "b", "c", "d"]
    with database.write() as tx:
        insert_all(tx, accounts, [_account(name) for name in names] + [_account("dollars", currency="USD")])
        rows: list[dict[str, object]] = [
            {"b_id": "a", "b_limit": 2**62, "b_more": -7, "unasked": object()},  # what no clause names is not looked at
            {"b_id": "b", "b_limit": None, "b_more": 1},
            {"b_id": "dollars", "b_limit": 1, "b_more": 1},
            {"b_id": "nobody", "b_limit": 1, "b_more": 1},
        ]
        assert _RENAME.run(tx, rows) == 2
        assert _RENAME.run(tx, rows[3:]) == 0
        assert _RENAME.run(tx, []) == 0
    assert _kept(database) == {"a": (2**62, -2), "b": (None, 6), "c": (None, 5), "d": (None, 5), "dollars": (None, 5)}
    with database.write() as tx:
        assert _FORGET.run(tx, [{"b_id": "b"}, {"b_id": "d"}, {"b_id": "nobody"}]) == 2
    assert set(_kept(database)) == {"a", "c", "dollars"}


def test_inserts_keep_order_text_numbers_and_defaults(database: Database) -> None:
    told = [Entry(at, "odd.text", text, data={"text": text, "n": -(2**63)}) for at, text in enumerate(ODD)]
    span = {"pool": "p", "node": "n", "state": "leased", "holder": "h", "attempt": 1, "from_us": 1, "to_us": None}
    masks = [-(2**63), 0, 2**62, 1]
    with database.write() as tx:
        events.append(tx, told)
        insert_all(tx, spans, [span | {"mask": mask} for mask in masks])
    with database.read() as tx:
        page = events.page(tx)
        assert [(one.at_us, one.reason, one.data["text"], one.data["n"]) for one in page] == [
            (at, text, text, -(2**63)) for at, text in enumerate(ODD)
        ]
        assert [one.tenant for one in page] == [None] * len(ODD)
        assert [row.mask for row in tx.execute(select(spans).order_by(spans.c.seq))] == masks
        assert all(row.to_us is None for row in tx.execute(select(spans)))


@pytest.mark.parametrize("many", [1, 2, 700])
def test_what_is_there_stays_and_only_new_keys_are_told(database: Database, many: int) -> None:
    rows = [_account(f"account-{nth:04}") for nth in range(many)]
    with database.write() as tx:
        tx.execute(insert(accounts), [_account("account-0000", held_micro=1)])
        fresh = insert_new(tx, accounts, [*rows, rows[-1]], key=[accounts.c.id])
        assert fresh == {(f"account-{nth:04}",) for nth in range(1, many)}
        assert insert_new(tx, accounts, rows, key=[accounts.c.id]) == set()
        assert insert_new(tx, accounts, [], key=[accounts.c.id]) == set()
    kept = _kept(database)
    assert len(kept) == many
    assert kept["account-0000"] == (None, 1)


def test_a_column_that_no_row_names_has_its_default(database: Database) -> None:
    names = {"tenant": "t", "pool": "p", "lease_class": "spot", "gpus": 1, "price_micro": 1, "granted_us": 1, "stopped_us": 2}
    with database.write() as tx:
        if database.is_sqlite:
            tx.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        else:
            tx.exec_driver_sql("ALTER TABLE attempts DROP CONSTRAINT fk_attempts_lease")
        rows = [{"lease": f"l{nth}", "attempt": 1, "cause": "failed", **names} for nth in range(3)]
        insert_all(tx, attempts, rows)
        assert [row.settled for row in tx.execute(select(attempts))] == [False] * 3
        tx.execute(delete(attempts))


def test_among_finds_the_named_ones_whatever_their_number(database: Database) -> None:
    with database.write() as tx:
        insert_all(tx, accounts, [_account(name) for name in [*ODD, "else"]])
        for wanted in ([], ODD[:1], [*ODD, "nobody", ODD[0]]):
            found = tx.execute(select(accounts.c.id).where(among(accounts.c.id, wanted)).with_for_update()).scalars()
            assert sorted(found) == sorted(set(wanted) - {"nobody"})


@pytest.fixture
def shared(postgres_db: str) -> Iterator[Database]:
    opened = Database(postgres_db)
    yield opened
    opened.close()


def _end_sessions_of(url: str) -> None:
    other = Database(url)
    with other.session() as session:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        session.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    other.close()


@pytest.mark.postgres
def test_a_connection_that_lay_idle_is_asked_before_it_is_used(shared: Database, postgres_db: str) -> None:
    with shared.write() as tx:
        facts.put(tx, "before", "1")
    _end_sessions_of(postgres_db)
    time.sleep(0.15)  # longer than a connection counts as fresh
    with shared.write() as tx:  # its connection is gone, and nobody notices
        facts.put(tx, "after", "1")
    with shared.read() as tx:
        assert facts.get(tx, "after") == "1"


@pytest.mark.postgres
def test_a_connection_that_is_lost_in_use_costs_one_transaction(shared: Database, postgres_db: str) -> None:
    def lose_it() -> None:
        with shared.read() as tx:
            _end_sessions_of(postgres_db)
            facts.get(tx, "here")

    with pytest.raises(Unavailable):
        lose_it()
    with shared.read() as tx:  # the next one has a connection that lives
        assert facts.get(tx, "here") is None
