"""A model house whose loops run by themselves, with the model API in front of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from model_house import ModelHouse

from sublet.app import keys
from sublet.app.clock import Clock
from sublet.app.keys import Scope
from sublet.app.settings import Settings
from sublet.core.ids import TenantId
from sublet.gateway.server import Gateway


class Shop:
    """`url` is what a client calls the base URL."""

    def __init__(self, cpu: ModelHouse) -> None:
        self.cpu, self._over = cpu, threading.Event()
        settings = Settings(data_dir=cpu.folder / "data", database=cpu.url, gateway_queue_s=20, **cpu.settings)
        listener = socket.create_server(("127.0.0.1", 0))
        self._gateway = Gateway(settings, cpu.database, Clock(), listener)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/openai/v1"
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._gateway.start()
        self._thread.start()

    def key(self, tenant: str = "ada") -> str:
        """A new key of a tenant."""
        with self.cpu.database.write() as tx:
            return keys.add(tx, scope=Scope.TENANT, name="k", tenant=TenantId(tenant), now_us=self.cpu.now).secret

    def client(self, tenant: str = "ada") -> Any:
        """The official client with a new key of a tenant."""
        import openai

        return openai.OpenAI(base_url=self.url, api_key=self.key(tenant), max_retries=0, timeout=60)

    def stand_still(self) -> None:
        """Let the loops run no more by themselves."""
        self._over.set()
        self._thread.join()

    def close(self) -> None:
        """End it; the house stays."""
        self.stand_still()
        self._gateway.stop()

    def _live(self) -> None:
        while not self._over.wait(0.02):
            self.cpu.pass_time()


@contextmanager
def shop(cpu: ModelHouse) -> Iterator[Shop]:
    made = Shop(cpu)
    try:
        yield made
    finally:
        made.close()


def until(cpu: ModelHouse, there: Any, within_s: float = 40.0) -> Any:
    """Wait until something is there, while the loops run."""
    give_up = time.monotonic() + within_s
    while not (found := there()):
        assert time.monotonic() < give_up, cpu.story()
        time.sleep(0.05)
    return found
