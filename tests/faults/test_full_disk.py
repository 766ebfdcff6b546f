"""The disk of the database is full for a while. `SUBLET_FULL_S=60 pytest -s` for a longer while."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from day import Day, books_are_in_order, first_right_decision, no_owner_waited_beyond_the_promise, nothing_ran_twice

from postgres_server import NoServer, administer, server, start_again
from small_disk import NoDisk, SmallDisk, small_disk
from sublet.core.errors import Unavailable

FULL_S = float(os.environ.get("SUBLET_FULL_S", "4"))
PATIENCE_S = 30.0


@pytest.fixture
def put_away() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def disk(stack: ExitStack, *, mib: int) -> SmallDisk:
    path = Path(tempfile.gettempdir()) / f"sublet-disk-{os.getpid()}"  # where PostgreSQL's user may go, too
    try:
        return stack.enter_context(small_disk(path, mib=mib))
    except NoDisk as reason:
        pytest.skip(str(reason))


def opened(stack: ExitStack, folder: Path, url: str) -> Day:
    folder.mkdir(mode=0o755)
    made = Day(folder, url, random.Random(20261126))
    stack.callback(made.close)
    return made


@pytest.mark.timeout(200)
def test_sqlite(tmp_path: Path, put_away: ExitStack) -> None:
    tmp_path.chmod(0o755)
    small = disk(put_away, mib=24)
    day = opened(put_away, tmp_path / "house", f"sqlite:///{small.path / 'sublet.db'}")
    day.live_for(1.5)
    full_us = day.clock.now_us()
    small.fill()
    refused = until_refused(day)
    assert "full" in refused.message and (refused.hint or "").startswith("free some space")
    stay_full(day)
    small.free()
    goes_on(day, full_us, "SQLite")


@pytest.mark.postgres
@pytest.mark.timeout(200)
def test_postgresql(tmp_path: Path, put_away: ExitStack) -> None:
    tmp_path.chmod(0o755)
    small = disk(put_away, mib=160)
    try:
        url = put_away.enter_context(server(below=small.path))
    except NoServer as reason:
        pytest.skip(str(reason))
    administer(url, "CREATE DATABASE sublet")
    day = opened(put_away, tmp_path / "house", f"{url}/sublet")
    day.live_for(1.5)
    full_us = day.clock.now_us()
    small.fill()
    with suppress(psycopg.Error), psycopg.connect(f"{url}/postgres", autocommit=True) as other:
        other.execute("CREATE TABLE ballast (data text)")  # the log of another user's work needs what room it still has
        while True:
            other.execute("INSERT INTO ballast SELECT repeat(md5(n::text), 200) FROM generate_series(1, 500) n")
    until_refused(day)
    stay_full(day)
    small.free()
    start_again(url, small.path)
    goes_on(day, full_us, "PostgreSQL")


def until_refused(day: Day) -> Unavailable:
    """Ask until the database has no room for it: nobody is told of a success that is none."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        before = list(day.leases)
        try:
            day.request_one()
        except Unavailable as error:
            assert day.leases == before
            return error
        time.sleep(0.002)
    raise AssertionError("the disk was never too full for a request")


def stay_full(day: Day) -> None:
    """Tenants and the owner go on asking in vain."""
    end = time.monotonic() + FULL_S
    while time.monotonic() < end:
        for ask in (day.request, day.submit):
            _in_vain(ask)
        time.sleep(0.2)


def _in_vain(ask: Callable[[], None]) -> None:
    try:
        ask()
    except Unavailable:
        return


def goes_on(day: Day, full_us: int, store: str) -> None:
    """There is room again: everything is as if nothing had been, but for the time."""
    decided = first_right_decision(day)
    day.outages.append((full_us, day.clock.now_us()))
    print(f"{store}, disk full for {FULL_S:g} s: the next right decision came {decided:.1f} s after there was room again")
    os.kill(day.pid, 0)  # it lived through it
    day.live_for(1.5)
    day.drain(60)
    assert day.ended() == (len(day.leases), len(day.jobs)), "a lease or job was lost"
    nothing_ran_twice(day)
    books_are_in_order(day)
    no_owner_waited_beyond_the_promise(day)
