"""A gateway with everything it needs, on a database of its own, and talkers that stand in for model servers."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from sublet.app import keys, tenants
from sublet.app.clock import Clock
from sublet.app.keys import Scope
from sublet.app.settings import Settings
from sublet.bench.gateway.talker import Talker
from sublet.core.ids import ModelName, ReplicaId, TenantId
from sublet.core.model import Model, Replica, ReplicaState, Tier, TokenPrices
from sublet.gateway.server import Gateway
from sublet.store import models
from sublet.store.database import Database

PRICES = TokenPrices(input_micro=1_000_000, cached_micro=500_000, output_micro=4_000_000)


class Loop:
    """An event loop in a thread, for servers that tests talk to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class House:
    """One gateway. `url` is what a client calls the base URL."""

    def __init__(self, folder: Path, *, verdict: Any = None, **settings: Any) -> None:
        self.folder = folder
        self.settings = Settings(data_dir=folder, gateway_queue_s=settings.pop("gateway_queue_s", 5.0), **settings)
        self.database, self.clock = Database(self.settings.database_url), Clock()
        self.database.migrate()
        self.loop = Loop()
        self._runners: dict[str, web.AppRunner] = {}
        self._verdict = verdict
        self.gateway: Gateway | None = None

    def tenant(self, name: str = "acme", *, limit_micro: int | None = None) -> str:
        """A tenant; returns its key."""
        with self.database.write() as tx:
            tenants.add(
                tx, tenant=TenantId(name), name=name, currency="USD", limit_micro=limit_micro, now_us=self.clock.now_us()
            )
            return keys.add(tx, scope=Scope.TENANT, name="k", tenant=TenantId(name), now_us=self.clock.now_us()).secret

    def model(self, name: str = "llama", *, server: str = "llamacpp", **fields: Any) -> None:
        given: dict[str, Any] = {"context_length": 8_192, "prices": PRICES} | fields
        with self.database.write() as tx:
            models.insert_one(tx, Model(ModelName(name), server, "x", self.clock.now_us(), **given))

    def talker(self, name: str, talker: Talker | None = None) -> str:
        """A server program that runs; returns its base URL."""
        said = talker or Talker()

        async def start() -> int:
            runner = web.AppRunner(said.app(), access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._runners[name] = runner
            return int(runner.addresses[0][1])

        return f"http://127.0.0.1:{self.loop.do(start())}/v1"

    def silence(self, name: str) -> None:
        """End a server program in the middle of what it says."""
        self.loop.do(self._runners.pop(name).cleanup())

    def replica(self, name: str, url: str, *, model: str = "llama", **fields: Any) -> None:
        given: dict[str, Any] = {
            "tier": Tier.DEFAULT,
            "secret": "",
            "site": "here",
            "slots": 1_000,
            "state": ReplicaState.READY,
        } | fields
        made = Replica(id=ReplicaId(name), model=ModelName(model), url=url, since_us=self.clock.now_us(), **given)
        with self.database.write() as tx:
            models.insert_replicas(tx, [made])

    def put(self, name: str, state: ReplicaState) -> None:
        from dataclasses import replace

        with self.database.write() as tx:
            found = models.replica(tx, ReplicaId(name))
            assert found is not None and models.save_replica(tx, found, replace(found, state=state))

    def open(self) -> str:
        """Start the gateway; returns the base URL."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.gateway = Gateway(self.settings, self.database, self.clock, listener, verdict=self._verdict)
        self.gateway.start()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/openai/v1"
        return self.url

    def shut(self) -> None:
        """Stop the gateway, and book what is in its journal."""
        if self.gateway is not None:
            self.gateway.stop()
            self.gateway = None

    def close(self) -> None:
        self.shut()
        for name in list(self._runners):
            self.silence(name)
        self.loop.close()
        self.database.close()


@contextmanager
def house(folder: Path, **settings: Any) -> Iterator[House]:
    """A house that is torn down again."""
    made = House(folder, **settings)
    try:
        yield made
    finally:
        made.close()
