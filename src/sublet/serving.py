"""The composition root: here, and only here, a database, an engine, the loops and the doors become one program."""

import contextlib
import threading
from functools import partial
from pathlib import Path

import uvicorn

import sublet.console
from sublet.api.server import create_app
from sublet.app import keys
from sublet.app.clock import Clock
from sublet.app.complaints import meant
from sublet.app.control import ControlPlane
from sublet.app.listening import listen
from sublet.app.settings import Settings
from sublet.app.slurm import cluster_of
from sublet.core.errors import Invalid
from sublet.engines.registry import ENGINES, EngineOptions
from sublet.gateway.process import take
from sublet.gateway.server import Gateway
from sublet.gateway.servers import SERVERS
from sublet.store.database import Database


class Server:
    """A control plane with its API on a socket. Making it takes the port, the data directory's lock and the clock up."""

    def __init__(self, settings: Settings) -> None:
        if settings.engine not in ENGINES:
            raise Invalid(f"there is no engine {settings.engine!r}", field="engine", hint=meant(settings.engine, list(ENGINES)))
        hint = "is `sublet up` running already? choose another port: --port 0 takes a free one"
        self._socket = listen(settings.host, settings.port, field="port", hint=hint)
        self.settings = settings.model_copy(update={"port": self._socket.getsockname()[1]})
        _make(settings.data_dir)
        data_dir = settings.data_dir.resolve()
        state = settings.engine_state
        options = EngineOptions(state, settings.slots, (data_dir, state), cluster=cluster_of(settings))
        self._database = Database(settings.database_url)
        make, clock = partial(ENGINES[settings.engine], options), Clock()
        self.plane = ControlPlane(self.settings, self._database, make(), clock, renew_engine=make, servers=SERVERS)
        with self._database.write() as tx:
            keys.ensure_owner_key(tx, data_dir, now_us=self.plane.clock.now_us())
            self.owner_key = keys.owner_key_place(tx)
        api = create_app(self.plane)
        router = getattr(sublet.console, "router", None)
        if router is not None:
            api.include_router(router)
        self._server = uvicorn.Server(
            uvicorn.Config(api, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=2)
        )
        self._thread: threading.Thread | None = None
        listener = take(self.settings.host, _models_port(self.settings, given=settings.port))
        self.settings = self.settings.model_copy(update={"gateway_port": listener.getsockname()[1]})
        self._gateway = Gateway(self.settings, self._database, self.plane.clock, listener)

    def run(self) -> None:
        """Serve until interrupted. What runs on the engine goes on running."""
        self.plane.start()
        self._gateway.start()
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server.run(sockets=[self._socket])
        finally:
            self._close()

    def start(self) -> None:
        """Serve in the background."""
        self.plane.start()
        self._gateway.start()
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what `start` began."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._close()

    def _close(self) -> None:
        self._gateway.stop()
        self.plane.stop()
        self._database.close()
        self._socket.close()


def _models_port(settings: Settings, *, given: int) -> int:
    """Where the model API listens: as the settings say, or beside the control API; a free port beside a free port."""
    if settings.gateway_port is not None:
        return settings.gateway_port
    return settings.port + 1 if given else 0


def _make(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)  # runs of other users pass through to their own
    except OSError as error:
        hint = "choose another place: --data-dir"
        raise Invalid(f"{data_dir} cannot be made: {error.strerror}", field="data_dir", hint=hint) from error
