"""`sublet gateway`: the model API in a process of its own, beside a control plane on the same database."""

import contextlib
import gc
import resource
import signal
import socket
import sys

from sublet.app.clock import Clock
from sublet.app.listening import listen
from sublet.app.settings import Settings
from sublet.core.errors import Conflict
from sublet.gateway.server import Gateway
from sublet.store.database import Database, revisions

_SWITCH_S = 0.000_1
"""How long the threads to the database may hold up the event loop at a time; a request waits for it several times."""


def take(host: str, port: int) -> socket.socket:
    """The address of the model API; raises `Conflict` when somebody else has it."""
    hint = "choose another port: gateway_port in the settings, or --port; 0 takes a free one"
    return listen(host, port, field="gateway_port", hint=hint, who="the model API")


class Process:
    """A gateway that is all that its process does."""

    def __init__(self, settings: Settings) -> None:
        port = settings.port + 1 if settings.gateway_port is None else settings.gateway_port
        self._socket = take(settings.host, port)
        self.settings = settings.model_copy(update={"gateway_port": self._socket.getsockname()[1]})
        self._database = Database(settings.database_url)
        if self._database.revision() != revisions()[0]:
            hint = "start the control plane (`sublet up`) of this version on it first: it brings the tables up to date"
            raise Conflict("the database has not the tables of this version", field="database", hint=hint)
        self._gateway = Gateway(self.settings, self._database, Clock(), self._socket)

    def run(self) -> None:
        """Serve until interrupted or told to end."""
        sys.setswitchinterval(_SWITCH_S)
        _open_as_many_as_may_be()
        gc.collect()
        gc.freeze()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._gateway.stop())
        with contextlib.suppress(KeyboardInterrupt):
            self._gateway.run()
        self._database.close()


def _open_as_many_as_may_be() -> None:
    """Each caller and each request to a replica is an open file, and the usual bound is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
