"""Those who write to SQLite take turns: whoever came first is first, however soon another comes again."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sublet.store import facts
from sublet.store.database import Database


def test_a_writer_waits_for_one_transaction_and_not_for_all_that_follow(tmp_path: Path) -> None:
    """A loop writes without a pause; a request comes and is next."""
    database = Database(f"sqlite:///{tmp_path}/turns.db")
    database.migrate()
    written: list[str] = []
    inside, stop = threading.Event(), threading.Event()

    def write(name: str, seconds: float) -> None:
        with database.write() as tx:
            inside.set()
            time.sleep(seconds)
            facts.put(tx, name, "")
            written.append(name)

    def loop() -> None:
        while not stop.is_set():
            write("loop", 0.01)

    greedy = threading.Thread(target=loop)
    greedy.start()
    try:
        for _ in range(5):
            inside.clear()
            inside.wait()
            before = len(written)
            write("request", 0.0)
            assert written[before:].index("request") <= 1, "the transaction at hand, and then the request"
    finally:
        stop.set()
        greedy.join()
        database.close()


_GREEDY = """
import sys, time
from sublet.store import facts
from sublet.store.database import Database
database = Database(sys.argv[1])
print("up", flush=True)
while True:
    with database.write() as tx:
        time.sleep(0.05)
        facts.put(tx, "count", str(int(facts.get(tx, "count") or 0) + 1))
"""


def test_writers_of_other_processes_take_turns_too(tmp_path: Path) -> None:
    """SQLite's own wait would look again after ever longer pauses, and find the file locked nearly each time."""
    url = f"sqlite:///{tmp_path}/turns.db"
    database = Database(url)
    database.migrate()
    greedy = subprocess.Popen([sys.executable, "-c", _GREEDY, url], stdout=subprocess.PIPE, text=True)
    try:
        assert greedy.stdout is not None and greedy.stdout.readline() == "up\n"
        passed = []
        for _ in range(8):
            with database.read() as tx:
                before = int(facts.get(tx, "count") or 0)
            with database.write() as tx:
                passed.append(int(facts.get(tx, "count") or 0) - before)
        assert max(passed) <= 2, "the transaction at hand, perhaps one that came while the file was opened, then ours"
    finally:
        greedy.kill()
        greedy.wait()
        database.close()


def fail(database: Database) -> None:
    with database.write() as tx:
        facts.put(tx, "lost", "")
        _ = 1 // 0


def test_a_writer_that_fails_passes_its_turn_on(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/turns.db")
    database.migrate()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            fail(database)
    with database.write() as tx:
        assert facts.get(tx, "lost") is None
        facts.put(tx, "kept", "yes")
    with database.read() as tx:
        assert facts.get(tx, "kept") == "yes"
    database.close()
