"""Books that a process of their own keeps: the same books, whatever becomes of the process."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from books import POOL, SECOND_US, T0, World, queued

from sublet.app.books import Bookkeeping, Books
from sublet.app.books_apart import BooksApart, Closed
from sublet.core.errors import Unavailable
from sublet.core.ids import LeaseId, NodeId
from sublet.store import leadership, nodes, usage
from sublet.store.database import Database
from sublet.store.leadership import Election, Fenced, Leader
from sublet.store.nodes import NodeRow

MINUTE = 60 * SECOND_US


@pytest.fixture
def world(database: Database) -> World:
    made = World(database)
    made.open({"acme": None, "beta": None})
    with database.write() as tx:
        nodes.insert_all(tx, [NodeRow(NodeId("n1"), POOL.id, 8, "H100", since_us=T0)])
    made.add(*(queued(f"l{number}", "acme" if number % 2 else "beta") for number in range(6)))
    for number in range(6):
        made.grant(made.get(f"l{number}"), at=T0)
    return made


@pytest.fixture
def apart(world: World) -> Iterator[BooksApart]:
    made = BooksApart(world.db, Leader())
    yield made
    made.close()


def kept(world: World, books: Bookkeeping, *, at: int) -> tuple[object, ...]:
    """Everything that a pass leaves behind, and what it says."""
    done = books.meter(until_us=at, every_us=10 * SECOND_US, now_us=at)
    with world.db.read() as tx:
        measured = [
            (one.lease, one.seq, one.from_us, one.to_us) for i in range(6) for one in usage.of_lease(tx, LeaseId(f"l{i}"))
        ]
    return measured, world.owed(), world.owed("beta"), done.billed.charges, [one.attempt.lease for one in done.settled]


def test_they_are_the_same_books(world: World, apart: BooksApart) -> None:
    here = Books(world.db)
    measured, owed, *_, charges, settled = kept(world, apart, at=T0 + MINUTE)
    assert len(measured) == 6 and charges == 6 and settled == [] and isinstance(owed, int)  # type: ignore[arg-type]
    world.exit("l1", at=T0 + 2 * MINUTE)
    *_, charges, settled = kept(world, apart, at=T0 + 3 * MINUTE)
    assert charges == 6 and settled == ["l1"]
    assert kept(world, here, at=T0 + 3 * MINUTE)[3:] == (0, []), "nothing is left to do"
    assert apart.audit(now_us=T0 + 3 * MINUTE) == here.audit(now_us=T0 + 3 * MINUTE)
    assert world.owed() + world.owed("beta") > owed


def child(apart: BooksApart) -> psutil.Process:
    assert apart._process is not None
    return psutil.Process(apart._process.pid)


def test_an_ended_process_is_named_and_started_again(world: World, apart: BooksApart) -> None:
    kept(world, apart, at=T0 + MINUTE)
    child(apart).kill()
    with pytest.raises(Unavailable, match="the process that keeps the books ended"):
        kept(world, apart, at=T0 + 2 * MINUTE)
    measured, *_ = kept(world, apart, at=T0 + 2 * MINUTE)
    assert len(measured) == 12 and world.faults() == []  # type: ignore[arg-type]


def test_it_can_be_closed_in_the_middle_of_its_work(world: World, apart: BooksApart) -> None:
    kept(world, apart, at=T0 + MINUTE)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            kept(world, apart, at=T0 + 2 * MINUTE)
        except Closed as closed:
            caught.append(closed)

    with world.db.write():  # on SQLite it has to wait for this
        working = threading.Thread(target=work)
        child(apart).suspend()
        working.start()
        time.sleep(0.2)
        apart.close()
        working.join(20)
    assert len(caught) == 1
    with pytest.raises(Closed):
        apart.audit(now_us=T0)
    assert world.faults() == []


def test_what_cannot_be_done_is_an_error_here(tmp_path: Path) -> None:
    """An empty file has no tables: the process says so with its end, and goes on being asked."""
    nothing = Database(f"sqlite:///{tmp_path}/nothing.db")
    apart = BooksApart(nothing, Leader())
    for _ in range(2):
        with pytest.raises(Unavailable):
            apart.audit(now_us=T0)
    apart.close()
    nothing.close()


@pytest.mark.postgres
def test_the_books_of_a_past_leader_are_fenced(postgres_db: str) -> None:
    database = Database(postgres_db)
    one, two = (Election(database, name, silent_ms=600_000) for name in ("one", "two"))
    first = one.stand(now_us=1)
    assert first is not None
    apart = BooksApart(database, first)
    apart.meter(until_us=T0, every_us=0, now_us=T0)
    one.resign()
    assert two.stand(now_us=2) is not None
    with pytest.raises(Fenced) as fenced:
        apart.meter(until_us=T0, every_us=0, now_us=T0)
    assert fenced.value.epochs == (1, 2)
    apart.close()
    two.resign()
    with database.read() as tx:
        assert leadership.present(tx).epoch == 2
    database.close()


_PARENT = """
import sys, time
from sublet.app.books_apart import BooksApart
from sublet.store.database import Database
from sublet.store.leadership import Leader
if __name__ == "__main__":
    database = Database(sys.argv[1])
    database.migrate()
    apart = BooksApart(database, Leader())
    apart.audit(now_us=1_767_225_600_000_000)
    print(apart._process.pid, flush=True)
    time.sleep(60)
"""


def test_it_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script), f"sqlite:///{tmp_path}/books.db"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    its_child = int(parent.stdout.readline())
    assert psutil.pid_exists(its_child)
    parent.kill()
    parent.wait()
    until(lambda: not psutil.pid_exists(its_child) or psutil.Process(its_child).status() == psutil.STATUS_ZOMBIE)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
