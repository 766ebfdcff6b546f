"""A backup is one instant of everything, in one file, and comes back whole into either kind of store, or not at all."""

import json
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulation import Simulation

from postgres_server import administer
from sublet.app import audit
from sublet.app.backup import Manifest, Restored, back_up, restore
from sublet.core.errors import Conflict, Invalid
from sublet.core.ids import TenantId
from sublet.core.ledger import tenant_accounts
from sublet.store import changes, events, facts, ledger, tenants
from sublet.store.database import Database, revisions
from sublet.store.events import Entry
from sublet.store.tenants import Tenant


def quiet(_what: str, share: float) -> None:
    assert 0 <= share <= 1


def saved(url: str, file: Path) -> Manifest:
    database = Database(url)
    try:
        return back_up(database, file, now_us=5, progress=quiet)
    finally:
        database.close()


def brought_back(url: str, file: Path) -> Restored:
    return restore(lambda: Database(url), file, progress=quiet)


@pytest.fixture(params=["into sqlite", pytest.param("into postgres", marks=pytest.mark.postgres)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database without tables."""
    if request.param == "into sqlite":
        yield f"sqlite:///{tmp_path / 'restored' / 'sublet.db'}"
        return
    url = request.getfixturevalue("postgres_url")
    administer(url, "CREATE DATABASE restored")
    yield f"{url}/restored"
    administer(url, "DROP DATABASE restored WITH (FORCE)")


@pytest.mark.timeout(300)
def test_taken_under_load_it_comes_back_row_by_row(tmp_path: Path, db_url: str, target: str) -> None:
    world, stop = Simulation(tmp_path / "world", db_url, 3), threading.Event()
    world.run(60)
    with world.database.write() as tx:
        facts.put(tx, changes.PURGED, "999999")

    def go_on() -> None:
        while not stop.is_set():
            world.run(1)

    busy = threading.Thread(target=go_on)
    busy.start()
    try:
        made = saved(db_url, tmp_path / "one.zip")
    finally:
        stop.set()
        busy.join()
        world.plane.stop()
        world.database.close()
    rows = {part.table: part.rows for part in made.parts}
    assert rows["transfers"] and rows["leases"] and rows["spans"] and "changes" not in rows
    assert stat.S_IMODE((tmp_path / "one.zip").stat().st_mode) == 0o600
    assert list(tmp_path.glob(".*.part")) == []

    found = brought_back(target, tmp_path / "one.zip")
    assert found.findings == () and found.manifest == made
    again = saved(target, tmp_path / "two.zip")
    assert again.parts == made.parts, "the same tables, columns, rows and sums"
    database = Database(target)
    with database.read() as tx:
        now = max(events.last_instant_us(tx), world.began_us)
        assert audit.findings(tx, from_us=world.began_us, now_us=now) == []
        mark = changes.here(tx)
    _goes_on(database, mark)
    database.close()


def _goes_on(database: Database, mark: changes.Mark) -> None:
    """Numbers go on after the highest, and whoever reads notes is told of what comes, not of what was restored."""
    with database.read() as tx:
        last = events.last_seq(tx)
        assert changes.since(tx, mark) == changes.News(mark, {})
    with database.write() as tx:
        events.append(tx, [Entry(1, "test.after")])
        tenants.insert_one(tx, Tenant(TenantId("new"), "new", "USD", 1))
    with database.read() as tx:
        assert events.last_seq(tx) == last + 1
        news = changes.since(tx, mark)
        assert news is not None and news.subjects == {changes.Kind.TENANT: {"new"}}


def some(database: Database) -> None:
    with database.write() as tx:
        ada = ("ada", "Ada ✓ \n'\"", "USD", 1, False)  # in columns that every schema has had
        tx.exec_driver_sql("INSERT INTO tenants (id, name, currency, created_us, suspended) VALUES (?, ?, ?, ?, ?)", ada)
        events.append(tx, [Entry(nth, "test.entry", "x" * 50) for nth in range(3_000)])


@pytest.fixture
def file(tmp_path: Path, sqlite_template: Path) -> Path:
    """A backup of a few rows."""
    copy = tmp_path / "source.db"
    copy.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{copy}")
    some(database)
    back_up(database, tmp_path / "backup.zip", now_us=5, progress=quiet)
    database.close()
    return tmp_path / "backup.zip"


def test_tables_that_are_there_and_empty_are_no_hindrance(file: Path, db_url: str) -> None:
    assert brought_back(db_url, file).findings == ()
    database = Database(db_url)
    with database.read() as tx:
        assert tenants.get(tx, TenantId("ada")).name == "Ada ✓ \n'\""
    database.close()


def test_a_database_that_is_not_empty_is_left_as_it_is(file: Path, db_url: str) -> None:
    brought_back(db_url, file)
    with pytest.raises(Conflict, match=r"not empty: it has .*3,000 events"):
        brought_back(db_url, file)


def test_an_older_installation_comes_back_and_is_brought_up_to_date(tmp_path: Path, target: str) -> None:
    old = Database(f"sqlite:///{tmp_path / 'old.db'}")
    old.migrate("0001")
    some(old)
    made = back_up(old, tmp_path / "old.zip", now_us=5, progress=quiet)
    old.close()
    assert made.revision == "0001"
    database = Database(target)
    database.migrate()  # newer tables, empty: they are made anew
    database.close()
    brought_back(target, tmp_path / "old.zip")
    database = Database(target)
    assert database.revision() == revisions()[0]
    with database.read() as tx:
        assert events.last_seq(tx) == 3_000
    database.close()


def rewritten(file: Path, change: Any) -> Path:
    """The same file with another manifest."""
    other = file.with_name("other.zip")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(other, "w") as out:
        for name in source.namelist():
            content = source.read(name)
            out.writestr(name, json.dumps(change(json.loads(content))) if name == "manifest.json" else content)
    return other


def test_a_damaged_file_is_refused_before_anything_is_made(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    where = whole.index(b"tables/events.jsonl") + 200
    short, spoilt, no_zip = tmp_path / "short.zip", tmp_path / "spoilt.zip", tmp_path / "no.zip"
    short.write_bytes(whole[: len(whole) // 2])
    spoilt.write_bytes(whole[:where] + bytes([whole[where] ^ 255]) + whole[where + 1 :])
    no_zip.write_text("hello")
    bare = rewritten(file, lambda _: {"format": 1}).rename(tmp_path / "bare.zip")
    for bad in (short, spoilt, no_zip, rewritten(file, lambda found: found | {"parts": [{}]}), bare):
        with pytest.raises(Invalid, match="damaged"):
            brought_back(f"sqlite:///{tmp_path / 'never' / 'made.db'}", bad)
    assert not (tmp_path / "never").exists()


def test_a_part_that_is_not_what_was_written_is_found_by_its_sum(file: Path, tmp_path: Path) -> None:
    wrong = rewritten(file, lambda found: found | {"parts": [part | {"sha256": "0" * 64} for part in found["parts"]]})
    with pytest.raises(Invalid, match="not what was written"):
        brought_back(f"sqlite:///{tmp_path / 'made.db'}", wrong)


@pytest.mark.parametrize("newer", [{"format": 2}, {"revision": "9999"}])
def test_a_file_of_a_newer_program_says_so(file: Path, tmp_path: Path, newer: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="newer Sublet"):
        brought_back(f"sqlite:///{tmp_path / 'made.db'}", rewritten(file, lambda found: found | newer))


def test_all_of_it_or_nothing(file: Path, db_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_tx: object, _manifest: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sublet.app.backup._recount", killed)
        with pytest.raises(KeyboardInterrupt):
            brought_back(db_url, file)
    assert brought_back(db_url, file).findings == ()


def test_books_that_do_not_balance_are_told(tmp_path: Path, db_url: str, target: str) -> None:
    database = Database(db_url)
    with database.write() as tx:
        ledger.open_accounts(tx, [replace(tenant_accounts(TenantId("ada"), "USD")[0], debits_micro=5)])
    database.close()
    saved(db_url, tmp_path / "one.zip")
    findings = brought_back(target, tmp_path / "one.zip").findings
    assert any("debits_micro is 5, its transfers add up to 0" in line for line in findings)


def test_nothing_is_written_over(file: Path, db_url: str) -> None:
    database = Database(db_url)
    with pytest.raises(Conflict, match="exists"):
        back_up(database, file, now_us=5, progress=quiet)
    with pytest.raises(Invalid, match="cannot be written"):
        back_up(database, file.parent / "no" / "such" / "file.zip", now_us=5, progress=quiet)
    database.close()
