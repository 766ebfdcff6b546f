"""Who leads: of all control planes on one PostgreSQL database one runs the loops, and a past leader can write nothing more.

A leader holds an advisory lock in a session of its own, which the server gives back when the process dies, and also when the
session is silent for too long: a process that is paused or cut off stops leading without a word. Each leader raises the epoch.
Its transactions first look at the epoch and lock that row against a change until they end; so once a new leader has raised it,
no transaction of an earlier one is left, and none will be committed (docs/decisions/0024).

On SQLite there is one control plane, which the lock on its data directory sees to: nothing here costs anything then.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import OperationalError, ProgrammingError

from sublet.core.errors import Conflict, SubletError
from sublet.store.database import STILL_MS, Database, Tx, answerable, lock_was_busy
from sublet.store.schema import leadership

_LEADS = 7_440_001  # the advisory lock of whoever leads
_CHANNEL = "sublet_wake"
_CHECKED = "SELECT epoch FROM leadership WHERE id = 1 FOR SHARE"
_LAST_WORDS_MS = 1_000
"""So long a new leader waits for the transactions of the last one before it ends them."""
_END_PAST = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'leadership'::regclass AND mode = 'RowShareLock'"
    " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"
)
_IDLE_SESSIONS_SINCE = (14,)  # PostgreSQL ends silent sessions from this version on


class Fenced(Conflict):
    """This control plane led once; another one leads now, and nothing was written."""

    def __init__(self, epoch: int, now: int) -> None:
        """`epoch` was ours, `now` is that of the present leader."""
        self.epochs = (epoch, now)
        super().__init__(
            f"another control plane leads (epoch {now}, ours was {epoch})", hint="this one follows and stands again"
        )


@dataclass(frozen=True, slots=True)
class Leader:
    """Whose the loops are. `epoch` counts leaders; 0 before the first, and always on SQLite."""

    epoch: int = 0
    name: str = ""
    since_us: int = 0


def present(tx: Tx) -> Leader:
    """Who leads, or led last."""
    found = tx.execute(select(leadership.c.epoch, leadership.c.holder, leadership.c.since_us)).one()
    return Leader(found.epoch, found.holder, found.since_us)


class Led(Database):
    """The database as one leader writes it: every transaction is refused once somebody else leads."""

    def __init__(self, plain: Database, epoch: int) -> None:
        """`plain` is what the doors write; all connections are its own."""
        self.url, self.is_sqlite = plain.url, plain.is_sqlite
        self._plain, self._epoch = plain, epoch

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that may write, as long as this epoch is the present one: until its end nobody else comes to lead."""
        with self._plain.write() as tx:
            _check(tx.exec_driver_sql(_CHECKED).one().epoch, self._epoch)
            yield tx

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """As for everybody: looking does no harm."""
        with self._plain.read() as tx:
            yield tx

    def confirm(self) -> None:
        """Raise `Fenced` if somebody else leads: asked before an order that leaves the database."""
        with self._plain.read() as tx:
            _check(present(tx).epoch, self._epoch)


def _check(found: int, epoch: int) -> None:
    if found != epoch:
        raise Fenced(epoch, found)


def _end_past_leaders(session: Connection) -> None:
    """End the transactions that hold the epoch: whoever holds the lock of the lead knows that no present leader has one open.

    A transaction of a paused process does not always count as idle (PostgreSQL: it may stand between two messages of a pipeline
    or wait for a row that another one keeps), so the server's own time-outs do not find each. Sessions of another role are
    left to those.
    """
    with suppress(ProgrammingError):  # not ours to end
        session.exec_driver_sql(_END_PAST)


class Election:
    """One control plane's way to the lead and out of it. Used by one thread at a time."""

    def __init__(self, database: Database, name: str, *, silent_ms: int) -> None:
        """`name` is what others are told; a leader that is silent for `silent_ms` is one no longer."""
        self._database, self._name, self._silent_ms = database, name, silent_ms
        self._session: Connection | None = None

    @property
    def contested(self) -> bool:
        """Whether others may stand, too."""
        return not self._database.is_sqlite

    def stand(self, *, now_us: int) -> Leader | None:
        """Come to lead if nobody does; None if somebody does. Raises `Unavailable` if the server does not answer."""
        if not self.contested:
            return Leader(name=self._name, since_us=now_us)
        with self._in_session() as session:
            if not session.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LEADS})").scalar_one():
                return None
            session.exec_driver_sql(f"LISTEN {_CHANNEL}")
            try:
                return self._raise_epoch(session, now_us=now_us, patience_ms=_LAST_WORDS_MS)
            except OperationalError as error:
                if not lock_was_busy(error):
                    raise
            _end_past_leaders(session)
            return self._raise_epoch(session, now_us=now_us, patience_ms=2 * STILL_MS)

    def _raise_epoch(self, session: Connection, *, now_us: int, patience_ms: int) -> Leader:
        """Wait at most so long for the transactions of past leaders to end, and be the present one."""
        session.exec_driver_sql(f"SET lock_timeout = {patience_ms}")
        raised = {"epoch": leadership.c.epoch + 1, "holder": self._name, "since_us": now_us}
        epoch = session.execute(update(leadership).values(**raised).returning(leadership.c.epoch)).scalar_one()
        return Leader(int(epoch), self._name, now_us)

    def still_leads(self) -> bool:
        """Whether the session that leads is alive. Asking keeps it from being silent.

        Silence counts from the first time on: a leader that still compiles what it decides by is not taken for a paused one.
        """
        if not self.contested:
            return True
        if self._session is None:
            return False
        try:
            with self._in_session() as session:
                listens = (session.dialect.server_version_info or ()) >= _IDLE_SESSIONS_SINCE
                session.exec_driver_sql(f"SET idle_session_timeout = {self._silent_ms}" if listens else "SELECT 1")
        except SubletError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """As the leader: wait until a follower wrote something, at most so long; whether one did."""
        try:
            with self._in_session() as session:
                driver = session.connection.driver_connection
                assert driver is not None
                return any(True for _ in driver.notifies(timeout=seconds, stop_after=1))
        except (SubletError, psycopg.Error):
            return False

    def rouse(self) -> None:
        """As a follower: tell the leader that something was written."""
        with self._in_session() as session:
            session.exec_driver_sql(f"NOTIFY {_CHANNEL}")

    def resign(self) -> None:
        """Let others lead, at once; the next `stand` begins anew."""
        if self._session is not None:
            with suppress(SubletError), self._in_session() as session:
                session.exec_driver_sql(f"SELECT pg_advisory_unlock({_LEADS})")
        self._drop()

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()

    @contextmanager
    def _in_session(self) -> Iterator[Connection]:
        """The session, opened if there is none; after an error there is none, and the server takes its lock back."""
        try:
            with answerable():
                if self._session is None:
                    self._session = self._database.session()
                yield self._session
        except Exception:
            self._drop()
            raise


def led(database: Database, leader: Leader) -> Database:
    """The database for the loops of this leader. On SQLite it is the same one."""
    return database if database.is_sqlite else Led(database, leader.epoch)
