"""One database behind one door: SQLite in WAL mode, or PostgreSQL, by URL."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from sublet.core.errors import Conflict, Unavailable

_BUSY_MS = 10_000
_CLAIM = 7_440_001  # the advisory lock of whoever runs the loops
Tx = Connection
"""An open transaction, for those who pass one on and never look inside."""


class _Turns:
    """A lock whose waiters are served in the order in which they came.

    SQLite's own lock is polled for by those who wait, with ever longer pauses: whoever writes again at once gets it again, and
    a request may wait for many short transactions of the loops instead of for one.
    """

    def __init__(self) -> None:
        self._mutex, self._waiting, self._taken = threading.Lock(), deque[threading.Lock](), False

    def __enter__(self) -> None:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Database:
    """Connections and transactions; one writer at a time on SQLite, many on PostgreSQL."""

    def __init__(self, url: str) -> None:
        """`url`: `sqlite:///path` or `postgresql://...`; the driver is ours to choose."""
        self.url = make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database:
            file = Path(self.url.database)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)  # keys and books are nobody else's to read; what SQLite adds beside it gets the same mode
        self._engine = create_engine(self.url, **({} if self.is_sqlite else {"pool_size": 10, "pool_pre_ping": True}))
        self._claim: Connection | None = None
        self._turns: AbstractContextManager[None] = _Turns() if self.is_sqlite else nullcontext()
        if self.is_sqlite:
            _prepare_sqlite(self._engine)

    def migrate(self) -> None:
        """Bring the schema to the newest revision; harmless when it is there."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["engine"] = self._engine
        with _answerable():
            command.upgrade(config, "head")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write: committed at the end, rolled back on any error."""
        with _answerable(), self._turns, self._engine.begin() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and writes nothing."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with _answerable(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    def claim(self) -> None:
        """Become the one that runs the loops on this database, until `close`; raises `Conflict` if somebody else is.

        On PostgreSQL an advisory lock of a session of its own, which the server gives back when this process dies. SQLite's
        file lies in a data directory that is locked as a whole.
        """
        if self.is_sqlite or self._claim is not None:
            return
        with _answerable():
            session = self._engine.connect()
            if not session.exec_driver_sql(f"SELECT pg_try_advisory_lock({_CLAIM})").scalar_one():
                session.close()
                raise Conflict(
                    "another control plane runs the loops on this database",
                    field="database",
                    hint="stop it first, or give this one a database of its own",
                )
            session.commit()
            self._claim = session

    @contextmanager
    def driver(self) -> Iterator[tuple[Callable[..., object], str]]:
        """The driver's own `execute` and parameter mark, outside any transaction: to measure what our layer costs."""
        with _answerable(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            if not self.is_sqlite:
                raw.autocommit = True
            yield raw.execute, "?" if self.is_sqlite else "%s"
            if not self.is_sqlite:
                raw.autocommit = False

    def close(self) -> None:
        """Give all connections back, and the claim with them."""
        if self._claim is not None:
            self._claim.invalidate()
            self._claim = None
        self._engine.dispose()


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


@contextmanager
def _answerable() -> Iterator[None]:
    """Turn what an operator can answer (a full disk, a server that is away, a lock) into `Unavailable`."""
    try:
        yield
    except OperationalError as error:
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
