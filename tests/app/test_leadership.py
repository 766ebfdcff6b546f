"""Who leads, and what a past leader can no longer do."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.fenced import FencedEngine, fenced
from sublet.app.registry import PLACE
from sublet.app.settings import Settings
from sublet.core.errors import Conflict, Unavailable
from sublet.core.ids import JobId, NodeId, PoolId, RunId
from sublet.core.owner import JobState, OwnerJob
from sublet.engines.fake import FakeEngine
from sublet.engines.protocol import Engine
from sublet.store import database, events, facts, jobs, leadership
from sublet.store.database import Database
from sublet.store.events import Entry
from sublet.store.leadership import Election, Fenced, Leader, led


@pytest.fixture
def shared(postgres_db: str) -> Iterator[Database]:
    opened = Database(postgres_db)
    yield opened
    opened.close()


@pytest.fixture
def elections(shared: Database) -> Iterator[Callable[..., Election]]:
    made = []

    def election(name: str, silent_ms: int = 600_000) -> Election:
        made.append(Election(shared, name, silent_ms=silent_ms))
        return made[-1]

    yield election
    for one in made:
        one.resign()


def won(election: Election) -> Leader:
    leader = election.stand(now_us=7)
    assert leader is not None
    return leader


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.postgres
def test_one_leads_and_the_next_one_raises_the_epoch(shared: Database, elections: Callable[..., Election]) -> None:
    one, two = elections("one"), elections("two")
    first = won(one)
    assert two.stand(now_us=8) is None
    with shared.read() as tx:
        assert leadership.present(tx) == first == Leader(1, "one", 7)
    one.resign()
    assert won(two) == Leader(2, "two", 7)
    assert one.stand(now_us=9) is None and not two.wait(0.01)
    one.rouse()
    assert two.wait(10), "a follower's word did not arrive"


@pytest.mark.postgres
def test_a_silent_leader_leads_no_longer(shared: Database, elections: Callable[..., Election]) -> None:
    one, two = elections("one", 1_000), elections("two")
    old = led(shared, won(one))
    assert one.still_leads()
    until(lambda: two.stand(now_us=8) is not None)
    assert not one.still_leads() and two.still_leads()
    with pytest.raises(Fenced), old.write() as tx:
        events.append(tx, [Entry(1, "test.never")])
    with shared.read() as tx:
        assert events.page(tx) == []


@pytest.mark.postgres
def test_who_has_not_begun_is_not_silent(elections: Callable[..., Election]) -> None:
    one, two = elections("one", 1_000), elections("two")
    won(one)
    time.sleep(2.5)
    assert two.stand(now_us=8) is None and one.still_leads()


@pytest.mark.postgres
def test_who_speaks_goes_on_leading(shared: Database, elections: Callable[..., Election]) -> None:
    one, two = elections("one", 1_000), elections("two")
    won(one)
    ends = time.monotonic() + 2.5
    while time.monotonic() < ends:
        assert one.still_leads() and two.stand(now_us=8) is None
        time.sleep(0.1)


@pytest.mark.postgres
def test_no_transaction_of_an_old_leader_ends_after_the_new_epoch(
    shared: Database, elections: Callable[..., Election], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new leader waits for what is open, and what comes later is refused: nothing is committed in between."""
    monkeypatch.setattr(leadership, "_LAST_WORDS_MS", 60_000)
    one, two = elections("one"), elections("two")
    old, done = led(shared, won(one)), list[Leader]()
    with old.write() as tx:
        events.append(tx, [Entry(1, "test.in-time")])
        one.resign()
        standing = threading.Thread(target=lambda: done.append(won(two)))
        standing.start()
        standing.join(1.0)
        assert standing.is_alive(), "a new leader came while a transaction of the old one was open"
    standing.join(30)
    assert done == [Leader(2, "two", 7)]
    with pytest.raises(Fenced), old.write():
        pass
    with shared.read() as tx, led(shared, done[0]).read() as same:
        assert len(events.page(tx)) == len(events.page(same)) == 1


@pytest.mark.postgres
def test_a_transaction_of_a_sleeping_leader_does_not_hold_its_successor_up(
    shared: Database, elections: Callable[..., Election]
) -> None:
    one, two = elections("one"), elections("two")
    old = led(shared, won(one))
    with pytest.raises(Unavailable):
        _sleeps_and_wakes(old, one, two)
    with shared.read() as tx:
        assert events.page(tx) == [] and leadership.present(tx).epoch == 2


@pytest.mark.postgres
def test_a_leader_that_sleeps_in_the_middle_of_a_message_is_ended_too(
    shared: Database, postgres_db: str, elections: Callable[..., Election]
) -> None:
    """Between two messages of a pipeline a session is not idle, and no time-out of the server ends it."""
    one, two = elections("one"), elections("two")
    won(one)
    with closing(psycopg.connect(postgres_db, options="-c idle_in_transaction_session_timeout=100")) as opened:
        asleep = opened.pgconn
        asleep.enter_pipeline_mode()
        asleep.send_query_params(leadership._CHECKED.encode(), None)
        asleep.send_flush_request()
        asleep.flush()
        assert (answer := asleep.get_result()) is not None and answer.ntuples == 1
        time.sleep(0.3)
        alive = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {asleep.backend_pid}"
        with shared.read() as tx:
            assert tx.exec_driver_sql(alive).scalar_one() == 1
        one.resign()
        assert won(two).epoch == 2
    with shared.read() as tx:
        assert tx.exec_driver_sql(alive).scalar_one() == 0


@pytest.mark.postgres
def test_a_door_that_sleeps_keeps_no_rows(shared: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STILL_MS", 300)
    with pytest.raises(Unavailable):
        _nods_off(shared)
    with shared.read() as tx:
        assert events.page(tx) == []


def _nods_off(shared: Database) -> None:
    with shared.write() as tx:
        events.append(tx, [Entry(1, "test.never")])
        time.sleep(1.0)
        events.append(tx, [Entry(2, "test.never")])


def _sleeps_and_wakes(old: Database, one: Election, two: Election) -> None:
    with old.write() as tx:
        one.resign()
        assert won(two).epoch == 2
        events.append(tx, [Entry(1, "test.never")])


@pytest.mark.postgres
def test_every_order_of_an_old_leader_is_refused_and_looking_is_not(
    shared: Database, elections: Callable[..., Election]
) -> None:
    one, two = elections("one"), elections("two")
    told: list[str] = []
    engine: Engine = fenced(_Told(told), led(shared, won(one)))
    assert isinstance(engine, FencedEngine)
    run, given = RunId("run"), ("start", "notify", "stop", "clean", "forget", "discard")
    for order in given:
        getattr(engine, order)([run])
    assert told == list(given)
    one.resign()
    won(two)
    for order in given:
        with pytest.raises(Fenced):
            getattr(engine, order)([run])
    engine.start([])
    engine.observe()
    engine.nodes()
    assert told == [*given, "observe", "nodes"]


class _Told:
    """An engine that only notes what it is told."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self._told.append(name)


def test_on_sqlite_there_is_nothing_to_stand_for(sqlite_template: Path) -> None:
    database = Database(f"sqlite:///{sqlite_template}")
    election = Election(database, "one", silent_ms=1_000)
    leader = won(election)
    assert leader.epoch == 0 and not election.contested and election.still_leads()
    assert led(database, leader) is database
    engine = FakeEngine(clock=lambda: 1)
    assert fenced(engine, database) is engine
    database.close()


@pytest.fixture
def planes(shared: Database, postgres_db: str, tmp_path: Path) -> Iterator[Callable[..., ControlPlane]]:
    made, clock = [], Clock()

    def plane(name: str, engine: Engine | None = None, **more: Any) -> ControlPlane:
        settings = Settings(data_dir=tmp_path / name, database=postgres_db, tick_ms=20, **more)
        made.append(ControlPlane(settings, shared, engine or FakeEngine(clock=clock.now_us), clock))
        return made[-1]

    yield plane
    for one in made:
        one.stop()


@pytest.mark.postgres
def test_a_fenced_leader_ends_its_loops_and_follows(shared: Database, planes: Callable[..., ControlPlane]) -> None:
    one = planes("one")
    two = planes("two")
    assert one.leads and not two.leads
    with pytest.raises(Conflict, match="follows"):
        _ = two.loops
    one.start()
    two.start()
    until(lambda: one.status()["ticks"] > 2)
    loops = one.loops  # it may step down before we look again
    with shared.write() as tx:  # as a new leader does, although the old one's session lives
        tx.exec_driver_sql("UPDATE leadership SET epoch = epoch + 1")
    with pytest.raises(Fenced):
        loops.settle()
    until(lambda: max(one.status()["epoch"], two.status()["epoch"]) >= 3)

    def gauges() -> dict[str, bytes]:
        return {plane.status()["role"]: plane.metrics.text(with_money=False) for plane in (one, two)}

    until(lambda: b"sublet_leader 1.0" in gauges().get("leader", b""))
    until(lambda: b"sublet_leader 0.0" in gauges().get("follower", b""))


@pytest.mark.postgres
def test_who_stops_hands_over_at_once(planes: Callable[..., ControlPlane]) -> None:
    one = planes("one")
    two = planes("two")
    two.start()
    one.stop()
    until(lambda: two.leads)
    until(lambda: two.status()["ticks"] > 0)
    told = two.status()
    assert (told["role"], told["epoch"], told["failing"]) == ("leader", 2, {})


@pytest.mark.postgres
def test_who_comes_to_lead_later_makes_the_engine_anew(shared: Database, postgres_db: str, tmp_path: Path) -> None:
    """One that looked on while another gave orders remembers what is not so any more."""
    clock, planes = Clock(), list[ControlPlane]()

    def engine() -> Engine:
        return FakeEngine(clock=clock.now_us)

    for name in ("one", "two"):
        settings = Settings(data_dir=tmp_path / name, database=postgres_db, tick_ms=20)
        planes.append(ControlPlane(settings, shared, engine(), clock, renew_engine=engine))
    one, two = planes
    before = one.engine, two.engine
    two.start()
    assert one.leads
    one.stop()
    until(lambda: two.leads)
    assert one.engine is before[0] and two.engine is not before[1]
    two.stop()


@pytest.mark.postgres
def test_nobody_leads_whose_engine_does_not_see_what_runs(shared: Database, planes: Callable[..., ControlPlane]) -> None:
    planes("one").stop()
    with shared.write() as tx:
        facts.put(tx, PLACE, "another place")
    planes("two").stop()  # nothing runs there, so nothing is lost
    with shared.write() as tx:
        assert facts.get(tx, PLACE) == ""
        facts.put(tx, PLACE, "another place")
        job = OwnerJob(JobId("job"), PoolId("fake"), "job", 1, 1, submitted_us=1, since_us=1)
        jobs.insert_all(tx, [replace(job, state=JobState.RUNNING, placement=((NodeId("node-00000"), 1),))])
    three = planes("three")
    assert not three.leads and "SUBLET_ENGINE_MOVED" in three.status()["cannot_lead"]
    assert planes("four", engine_moved=True).leads
