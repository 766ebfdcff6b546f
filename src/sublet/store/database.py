"""One database behind one door: SQLite in WAL mode, or PostgreSQL, by URL."""

import fcntl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, MetaData, NullPool, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from sublet.core.errors import Conflict, Unavailable
from sublet.store import schema, schema_models, schema_tokens

log = structlog.get_logger(__name__)
assert {schema_models.models.metadata, schema_tokens.purses.metadata} == {schema.metadata}, "all tables are of one schema"
_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MS = 10_000
_MIGRATING = 7_440_002  # the advisory lock of whoever changes the schema
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's name for a wait for a lock that was given up
_MIGRATION_LOCK_MS, _MIGRATION_TRIES = 1_000, 120
_KEEPALIVE_S = (5, 2, 3)  # a connection that is silent is asked after 5 s, every 2 s, and is given up after 3 times
_DEAD_MS = 11_000  # ... which is after so long; data that nobody acknowledges is given up after that, too
_PAUSED_MS = 60_000
"""A transaction in which nothing is asked for so long is ended by the server: its process was paused or cut off."""
STILL_MS = 10_000
"""... and one that writes after so long already, because it keeps rows locked."""
_LOCKED_MS = 5_000
"""So long a transaction waits for a row. Less than `STILL_MS`: one that waits for a paused one does not keep locks as long."""
_FRESH_S = 0.1
_IDLE = "idle_in_transaction_session_timeout"
Tx = Connection
"""An open transaction, for those who pass one on and never look inside."""


class _Turns:
    """A lock whose waiters are served in the order in which they came, and which processes take in turn.

    SQLite's own lock is polled for by those who wait, with ever longer pauses: whoever writes again at once gets it again, and
    a request may wait for many short transactions of the loops instead of for one.

    Between processes it is two files beside the database: who holds the first waits for the second, and lets go of the first
    when it has that. One file would not do: who lets go of it and comes again at once is faster than one that has to wake up.
    """

    def __init__(self, beside: Path | None) -> None:
        self._mutex, self._waiting, self._taken = threading.Lock(), deque[threading.Lock](), False
        names = [] if beside is None else [beside.with_name(f"{beside.name}-{part}") for part in ("next", "turn")]
        for name in names:
            name.touch(mode=0o600)
        self._files = [name.open("ab") for name in names]

    def close(self) -> None:
        """Give the files back."""
        while self._files:
            self._files.pop().close()

    def __enter__(self) -> None:
        self._here()
        if self._files:
            following, turn = self._files
            fcntl.flock(following, fcntl.LOCK_EX)
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(following, fcntl.LOCK_UN)

    def __exit__(self, *_: object) -> None:
        if self._files:
            fcntl.flock(self._files[-1], fcntl.LOCK_UN)
        self._next()

    def _here(self) -> None:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def _next(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Database:
    """Connections and transactions; one writer at a time on SQLite, many on PostgreSQL."""

    def __init__(self, url: str, *, rests: float = 0.0) -> None:
        """`url`: `sqlite:///path` or `postgresql://...`; the driver is ours to choose.

        `rests`: after each transaction that writes, its writer sleeps for so many times as long, so that others come first.
        """
        self._rests = rests
        self.url = make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        file = None
        if self.is_sqlite and self.url.database:
            file = Path(self.url.database)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)  # keys and books are nobody else's to read; what SQLite adds beside it gets the same mode
        pool = {} if self.is_sqlite else {"pool_size": 10, "connect_args": _network(self.url)}
        self._engine = create_engine(self.url, **pool)
        self._turns = _Turns(file) if self.is_sqlite else None
        if self.is_sqlite:
            _prepare_sqlite(self._engine)
        else:
            _ask_after_a_pause(self._engine)

    @property
    def portion(self) -> int:
        """How many things a loop changes in one transaction, where others may have to wait for its end.

        On SQLite everybody who writes waits: 64 leases take some 20 ms. On PostgreSQL only who changes the very same rows does.
        """
        return 64 if self.is_sqlite else 256

    def migrate(self, to: str = "head") -> None:
        """Bring the schema to a revision, the newest if none is named; harmless when it is there.

        On PostgreSQL one process at a time does it. A step that waits a second for a table gives up and comes again later, so
        those who use the table wait no longer than that either. Raises `Conflict` if the schema is newer than this program.
        """
        there, (newest, *older) = self.revision(), revisions()
        if there is not None and there not in {newest, *older}:
            raise Conflict(
                f"the database is of a newer Sublet: its schema is {there}, this program knows up to {newest}",
                field="database",
                hint="start the newer version, or restore a backup that was made before the update",
            )
        if there == (newest if to == "head" else to):
            return
        if self.is_sqlite:
            with answerable():
                _upgrade(self._engine, to)
        else:
            with self.session() as session:
                session.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATING})")
                self._upgrade_patiently(to)

    def revision(self) -> str | None:
        """The schema's revision; None where there are no tables yet."""
        with answerable(), self._engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
            return found

    def _upgrade_patiently(self, to: str) -> None:
        """Step by step, each in a transaction of its own, without ever holding up others for long."""
        engine = self._apart(f"-c lock_timeout={_MIGRATION_LOCK_MS}")
        for _ in range(_MIGRATION_TRIES):
            try:
                with answerable(but=lock_was_busy):
                    _upgrade(engine, to)
            except OperationalError as error:
                log.warning("migration_waits", reason=str(error.orig).strip())
                time.sleep(_MIGRATION_LOCK_MS / 1_000)
            else:
                return
        raise Unavailable(
            "the schema could not be brought up to date: a table stayed in use",
            field="database",
            hint="pg_stat_activity shows who holds it; start again when it is free",
        )

    def unmake(self) -> None:
        """Drop all tables of the schema, and what is in them."""
        with self.write() as tx:
            ours = MetaData()
            ours.reflect(tx, only=lambda name, _: name in {*schema.metadata.tables, "alembic_version"})
            ours.drop_all(tx)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write: committed at the end, rolled back on any error."""
        began = time.perf_counter()
        with answerable(), self._turns or nullcontext(), self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self.is_sqlite else self._patience())
            yield connection
        if self._rests:
            time.sleep(self._rests * (time.perf_counter() - began))

    def _patience(self) -> str:
        """How a transaction begins that writes; what the URL says itself wins."""
        limits = {"lock_timeout": _LOCKED_MS, _IDLE: STILL_MS}
        return "SELECT " + ", ".join(
            f"set_config('{name}', '{limit}', true)" for name, limit in limits.items() if name not in str(self.url.query)
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and writes nothing."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with answerable(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    def _apart(self, options: str = "") -> Engine:
        """Connections outside the pool, with server settings of their own."""
        return create_engine(self.url, poolclass=NullPool, connect_args=_network(self.url, options))

    def session(self) -> Connection:
        """A connection of its own, in which each statement is committed by itself: for locks that a session holds."""
        with answerable():
            return self._apart().execution_options(isolation_level="AUTOCOMMIT").connect()

    @contextmanager
    def driver(self) -> Iterator[tuple[Callable[..., object], str]]:
        """The driver's own `execute` and parameter mark, outside any transaction: to measure what our layer costs."""
        with answerable(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            if not self.is_sqlite:
                raw.autocommit = True
            yield raw.execute, "?" if self.is_sqlite else "%s"
            if not self.is_sqlite:
                raw.autocommit = False

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()
        if self._turns is not None:
            self._turns.close()


def revisions() -> list[str]:
    """The revisions of the schema that this program knows, newest first: each is a file that bears its number."""
    return sorted((file.name.split("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")), reverse=True)


def _upgrade(engine: Engine, to: str) -> None:
    """Bring the schema up to a revision."""
    from alembic import command  # noqa: PLC0415 (ten megabytes that whoever finds the tables as they should be does without)
    from alembic.config import Config  # noqa: PLC0415 (the same)

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, to)


def _network(url: URL, options: str = "") -> dict[str, Any]:
    """How the driver and the server notice that the other is gone, and when the server ends a transaction that stands still.

    What the URL says itself comes last and wins.
    """
    idle, interval, count = _KEEPALIVE_S
    server = {
        "tcp_keepalives_idle": idle,
        "tcp_keepalives_interval": interval,
        "tcp_keepalives_count": count,
        "tcp_user_timeout": _DEAD_MS,
        _IDLE: _PAUSED_MS,
    }
    told = " ".join(f"-c {name}={value}" for name, value in server.items())
    client = {"keepalives_idle": idle, "keepalives_interval": interval, "keepalives_count": count, "tcp_user_timeout": _DEAD_MS}
    said = url.query.get("options", "")
    theirs = said if isinstance(said, str) else " ".join(said)
    return {name: value for name, value in client.items() if name not in url.query} | {
        "options": " ".join(part for part in (told, options, theirs) if part)
    }


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # we say BEGIN ourselves
        cursor = connection.cursor()  # type: ignore[attr-defined]
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # a grant that was confirmed survives a power cut
            "foreign_keys=ON",
            f"busy_timeout={_BUSY_MS}",
            "cache_size=-65536",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _ask_after_a_pause(engine: Engine) -> None:
    """Before a connection is used that lay idle, ask whether it still is one; a server that was restarted is met anew.

    Within a row of transactions that would cost each of them a question; nothing restarts within `_FRESH_S`.
    """

    @event.listens_for(engine, "checkin")
    def note(_: object, record: ConnectionPoolEntry) -> None:
        record.info["idle_since_s"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        now = time.monotonic()
        if now - record.info.get("idle_since_s", now) < _FRESH_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def lock_was_busy(error: DBAPIError) -> bool:
    """Whether PostgreSQL gave up waiting for a lock."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


@contextmanager
def answerable(*, but: Callable[[DBAPIError], bool] = lambda _: False) -> Iterator[None]:
    """Turn what an operator can answer (a full disk, a server that is away, a lock) into `Unavailable`.

    `but` picks the errors that the caller answers itself.
    """
    try:
        yield
    except OperationalError as error:
        if but(error):
            raise
        raise _explained(error) from error
    except DBAPIError as error:
        if error.connection_invalidated or "disk" in str(error.orig).lower():
            raise _explained(error) from error
        raise


def _explained(error: DBAPIError) -> Unavailable:
    said = str(error.orig).strip().splitlines()[0]
    if "full" in said or "No space" in said:
        hint = "free some space where the database lies; nothing was changed, and the loops go on by themselves"
    elif "locked" in said:
        hint = "another process holds the database; is a second control plane using the same file?"
    else:
        hint = "check that the database is up and the URL is right; nothing was changed"
    return Unavailable(f"the database did not answer: {said}", field="database", hint=hint)
