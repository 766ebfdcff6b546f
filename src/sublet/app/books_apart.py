"""The books of a large installation, kept by a process of their own.

Metering and proving tens of thousands of running leases is work for a whole processor, and Python gives one processor to all
threads of a process: requests would wait for it (docs/decisions/0033). The process knows nothing but the database. It ends
with its parent, or of an error that nobody foresaw; the transactions that it had open then never were.
"""

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from sublet.app.books import Bookkeeping, Books, Metered
from sublet.core.errors import SubletError, Unavailable
from sublet.store.database import Database
from sublet.store.leadership import Fenced, Leader, led

_RESTS = 1.0
"""After each transaction the books rest as long as it took: the loops and the requests come first.

They run at no lower priority: on a busy machine they would be kept from the processor while they hold the lock of all writers.
"""


class Closed(Exception):
    """The books were closed: this control plane ends."""


class BooksApart:
    """Bookkeeping in a process of its own, started with the first call and again if it was ended."""

    def __init__(self, database: Database, leader: Leader) -> None:
        """It opens the database again, as this leader."""
        self._url, self._leader = database.url.render_as_string(hide_password=False), leader
        self._lock, self._closed = threading.Lock(), False
        self._process: multiprocessing.process.BaseProcess | None = None
        self._line: Connection | None = None

    def meter(self, *, until_us: int, every_us: int, now_us: int) -> Metered:
        """As promised in `Bookkeeping`. Raises `Unavailable` if the process ended, `Closed` after `close`."""
        done: Metered = self._ask("meter", until_us=until_us, every_us=every_us, now_us=now_us)
        return done

    def audit(self, *, now_us: int) -> list[str]:
        """As promised in `Bookkeeping`. Raises `Unavailable` if the process ended, `Closed` after `close`."""
        found: list[str] = self._ask("audit", now_us=now_us)
        return found

    def close(self) -> None:
        """End the process at once, whatever it does; safe from any thread."""
        with self._lock:
            self._closed = True
            self._end()

    def _ask(self, what: str, **with_: int) -> Any:
        line = self._opened()
        try:
            line.send((what, with_))
            outcome, value = line.recv()
        except (EOFError, OSError) as error:
            with self._lock:
                if self._closed:
                    raise Closed from error
                self._end()
            hint = "it is started again with the next pass; its last words are in the log, if it had any"
            raise Unavailable("the process that keeps the books ended", hint=hint) from error
        return _OUTCOMES[outcome](value)

    def _opened(self) -> Connection:
        with self._lock:
            if self._closed:
                raise Closed
            if self._line is None:
                spawn = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
                self._line, theirs = spawn.Pipe()
                self._process = spawn.Process(target=_keep, args=(theirs, self._url, self._leader), name="books", daemon=True)
                self._process.start()
                theirs.close()
            return self._line

    def _end(self) -> None:
        if self._process is not None and self._line is not None:
            self._process.kill()
            self._process.join()
            self._line.close()
        self._process = self._line = None


def _fail_for_long(said: tuple[str, str | None]) -> Any:
    raise Unavailable(said[0], hint=said[1])


def _stand_back(epochs: tuple[int, int]) -> Any:
    raise Fenced(*epochs)


_OUTCOMES: dict[str, Callable[[Any], Any]] = {
    "done": lambda value: value,
    "unable": _fail_for_long,
    "fenced": _stand_back,
}
"""How an answer of the process becomes a result or an error here: errors do not travel between processes as they are."""


def _keep(line: Connection, url: str, leader: Leader) -> None:
    """The process: answer one call after the other until nobody calls any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    books: Bookkeeping = Books(led(Database(url, rests=_RESTS), leader))
    while True:
        try:
            what, with_ = line.recv()
        except EOFError:
            return
        line.send(_outcome(books, what, with_))
        leave_out_what_stays()


def leave_out_what_stays() -> None:
    """Keep the garbage collector off what is there now: a full pass over it stops every thread for up to a second.

    What is counted by references is freed as before; only cycles among what stood there now would be missed.
    """
    gc.collect()
    gc.freeze()


def _outcome(books: Bookkeeping, what: str, with_: dict[str, int]) -> tuple[str, Any]:
    try:
        return "done", getattr(books, what)(**with_)
    except Fenced as error:
        return "fenced", error.epochs
    except SubletError as error:
        return "unable", (error.message, error.hint)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
