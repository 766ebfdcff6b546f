"""What a measurement of the gateway stands on: a database with a tenant and a model, and the programs around it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sublet.app import keys, tenants
from sublet.app.clock import Clock
from sublet.app.keys import Scope
from sublet.app.settings import Settings
from sublet.core.errors import Unavailable
from sublet.core.ids import ModelName, ReplicaId, TenantId
from sublet.core.model import Model, Replica, ReplicaState, Tier, TokenPrices
from sublet.core.token_terms import TokenTerms
from sublet.store import models, token_terms
from sublet.store.database import Database

_LITELLM = """\
model_list:
  - model_name: stub
    litellm_params: {{model: openai/stub, api_base: "http://127.0.0.1:{stub}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""
LITELLM_KEY = "sk-bench"
_LITELLM_S = 90.0
PRICES = TokenPrices(100_000, 50_000, 400_000)
TENANT, MODEL = TenantId("bench"), ModelName("stub")
_END_S = 20


class Stand:
    """A folder with a database, and programs that end with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._stack = folder, ExitStack()
        self.settings, self.clock = Settings(data_dir=folder), Clock()
        self.database = Database(self.settings.database_url)
        self._stack.callback(self.database.close)
        self.database.migrate()
        now_us = self.clock.now_us()
        with self.database.write() as tx:
            tenants.add(tx, tenant=TENANT, name="bench", currency="USD", limit_micro=10**12, now_us=now_us)
            self.key = keys.add(tx, scope=Scope.TENANT, name="bench", tenant=TENANT, now_us=now_us).secret
            token_terms.put(tx, TokenTerms(TENANT, requests_per_min=100_000_000, tokens_per_min=10**12))

    def model(self, server: str, ports: Sequence[int], *, prices: TokenPrices = PRICES, slots: int = 10_000) -> None:
        """A model with a replica at each port."""
        now_us = self.clock.now_us()
        with self.database.write() as tx:
            models.insert_one(tx, Model(MODEL, server, "x", now_us, context_length=4_096, prices=prices))
            models.insert_replicas(
                tx,
                [
                    Replica(
                        ReplicaId(f"r{port}"), MODEL, Tier.DEFAULT, f"http://127.0.0.1:{port}/v1", "", "here", now_us,
                        ReplicaState.READY, slots=slots,
                    )
                    for port in ports
                ],
            )  # fmt: skip

    def program(self, *words: str) -> tuple[subprocess.Popen[bytes], int]:
        """A module of this package as a program that tells its port first."""
        started = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.PIPE)
        self._stack.callback(_end, started)
        assert started.stdout is not None
        return started, int(started.stdout.readline())

    def gateway(self, port: int = 0) -> tuple[subprocess.Popen[bytes], int]:
        """`sublet gateway` on the stand's database, at a port or a free one."""
        environment = {"SUBLET_DATA_DIR": str(self.folder), "SUBLET_GATEWAY_PORT": str(port), "SUBLET_LOG_LEVEL": "error"}
        started = subprocess.Popen(
            [sys.executable, "-m", "sublet.main", "gateway"],
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=os.environ | environment | {"COLUMNS": "200"},
        )
        self._stack.callback(_end, started)
        assert started.stderr is not None
        line = started.stderr.readline().decode()
        return started, int(line.rsplit(":", 1)[1].split("/", 1)[0])

    def litellm(self, program: Path, stub: int) -> int:
        """LiteLLM's proxy, one worker, in front of the stub; its port once it answers."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = int(taken.getsockname()[1])
        config = self.folder / "litellm.yaml"
        config.write_text(_LITELLM.format(stub=stub, key=LITELLM_KEY))
        words = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        with (self.folder / "litellm.log").open("wb") as log:
            started = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | {"LITELLM_LOG": "ERROR"})
        self._stack.callback(_end, started)
        until = time.monotonic() + _LITELLM_S
        while time.monotonic() < until and started.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=1):
                return port
            time.sleep(0.2)
        tail = (self.folder / "litellm.log").read_text(errors="replace")[-500:]
        raise Unavailable(f"LiteLLM's proxy did not start: {tail}", hint="install it: pip install 'litellm[proxy]'")

    def close(self) -> None:
        """End all of it."""
        self._stack.close()


def _end(program: "subprocess.Popen[bytes]") -> None:
    program.terminate()
    try:
        program.wait(_END_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    for pipe in (program.stdout, program.stderr):
        if pipe is not None:
            pipe.close()
