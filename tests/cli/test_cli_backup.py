"""`sublet backup` and `sublet restore` on a running installation, without asking it."""

import stat
from pathlib import Path

from command_line import Sublet
from doors import Doors
from sublet.app import keys
from sublet.store.database import Database


def database_of(doors: Doors) -> str:
    return doors.plane.database.url.render_as_string(hide_password=False)


def test_a_running_installation_is_backed_up_and_brought_back(offline: Sublet, doors: Doors, tmp_path: Path) -> None:
    doors.tenant("acme")
    file, there = tmp_path / "backup.zip", tmp_path / "there"
    made = offline("backup", str(file), "--db", database_of(doors), "--json")
    assert made.code == 0 and made.json["rows"] > 4 and made.err == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    back = offline("restore", str(file), "--data-dir", str(there))
    assert back.code == 0 and "every balance follows from the entries" in back.out
    database = Database(f"sqlite:///{there / 'sublet.db'}")
    with database.read() as tx:
        assert keys.authenticate(tx, doors.owner_key).scope == keys.Scope.OWNER
    database.close()

    again = offline("restore", str(file), "--data-dir", str(there), "--json")
    assert again.code == 2 and "not empty" in again.error["detail"] and "--db" in again.error["hint"]


def test_what_is_not_there_is_named_and_not_made(offline: Sublet, tmp_path: Path) -> None:
    none = offline("backup", "backup.zip", "--data-dir", str(tmp_path / "none"), "--json")
    assert none.code == 2 and "there is no database" in none.error["detail"] and not (tmp_path / "none").exists()
    missing = offline("restore", "missing.zip", "--data-dir", str(tmp_path / "none"), "--json")
    assert missing.code == 2 and "there is no file missing.zip" in missing.error["detail"]
    assert not (tmp_path / "none").exists()


def test_a_file_that_is_there_is_not_written_over(offline: Sublet, doors: Doors, tmp_path: Path) -> None:
    (tmp_path / "mine.zip").write_text("mine")
    refused = offline("backup", str(tmp_path / "mine.zip"), "--db", database_of(doors), "--json")
    assert refused.code == 2 and "exists" in refused.error["detail"]
    assert (tmp_path / "mine.zip").read_text() == "mine"


def test_the_command_line_names_the_database(offline: Sublet, tmp_path: Path) -> None:
    away = "postgresql://nobody@127.0.0.1:9/none"
    refused = offline("up", "--db", away, "--port", "0", "--data-dir", str(tmp_path))
    assert refused.code == 2 and "the database did not answer" in refused.err
