"""What a server program gives on this machine: with our start options and with its own, in turns, in one run.

Both servers answer the same prompts, greedily, from `STREAMS` callers at once; who goes first changes with every round, and
the ratio is that of neighbouring rounds, so that whatever else this machine does hits both alike. Where weights fit twice
(CPU) both stay loaded; on a GPU the servers take turns.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

from sublet.app.weights import BUILTIN, TINY
from sublet.core.errors import Invalid, Unavailable
from sublet.core.ids import ModelName
from sublet.core.model import TOKENS, Model
from sublet.core.server_program import Address, Hardware, Launch, ServerProgram
from sublet.engines.local.devices import find_devices
from sublet.gateway.servers import SERVERS
from sublet.gateway.servers.supervise import answers

STREAMS, TOKENS_EACH = 4, 128
_SHARED = "You help people who write Python. Answer in one paragraph and name the module. " * 4
_ASKED = (
    "os.path.join",
    "math.sqrt",
    "json.dumps",
    "re.match",
    "itertools.chain",
    "shutil.copy",
    "random.choice",
    "heapq.merge",
)
_START_S, _PAUSE_S = 1_800, 0.02
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one server gave."""

    tokens: int
    seconds: float
    first_s: tuple[float, ...]  # until the first token, of each request

    @property
    def rate(self) -> float:
        """Tokens drawn a second, all callers together."""
        return self.tokens / self.seconds


def measured(model: Model, *, rounds: int, hour_micro: int, currency: str, progress: Progress) -> dict[str, Any]:
    """The figures of a model on this machine; `hour_micro` is what one of its GPUs (or CPU slots) costs an hour."""
    server = SERVERS[model.server]
    if server.launch is None or server.plain is None:
        raise Invalid(f"{server.name} runs elsewhere: there is nothing to start here", field="server")
    hardware = _hardware()
    launches = {"ours": server.launch, "defaults": server.plain}
    found: dict[str, list[Round]] = {name: [] for name in launches}
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="sublet-bench-") as folder:
        made = {name: make(model, hardware, _address()) for name, make in launches.items()}
        stay = hardware.is_cpu
        started = {name: stack.enter_context(_running(server, made[name], Path(folder) / name)) for name in made if stay}
        for number in range(-1, rounds):  # the first round warms up, and does not count
            names = ["ours", "defaults"] if number % 2 else ["defaults", "ours"]
            for name in names:
                progress(name, (number + 1) / (rounds + 1))
                with ExitStack() as turn:
                    at = started[name] if stay else turn.enter_context(_running(server, made[name], Path(folder) / name))
                    one = _round(at, model.name, number)
                if number >= 0:
                    found[name].append(one)
        why = list(made["ours"].why)
    ratios = [ours.rate / plain.rate for ours, plain in zip(found["ours"], found["defaults"], strict=True)]
    return {
        "model": model.name,
        "server": server.name,
        "hardware": {"model": hardware.gpu_model, "gpus": hardware.gpus, "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "streams": STREAMS,
        "rounds": rounds,
        **{name: _figures(some, hour_micro * hardware.gpus) for name, some in found.items()},
        "ratio": {"median": round(median(ratios), 3), "least": round(min(ratios), 3), "most": round(max(ratios), 3)},
        "hour_micro": hour_micro,
        "currency": currency,
        "options": why,
    }


def builtin() -> Model:
    """The model that is shipped, for whoever runs no control plane."""
    return Model(ModelName("tiny"), "llamacpp", BUILTIN, 0, context_length=2_048, path=str(TINY))


def _hardware() -> Hardware:
    devices = find_devices(None)
    cores = os.cpu_count() or 1
    return Hardware(devices.model, cores if devices.model == "cpu" else devices.count, cores if devices.model == "cpu" else 0)


def _figures(rounds: list[Round], hour_micro: int) -> dict[str, Any]:
    rate = median(one.rate for one in rounds)
    firsts = sorted(first for one in rounds for first in one.first_s)
    return {
        "tokens_per_second": round(rate, 1),
        "first_token_ms_p50": round(1_000 * median(firsts), 1),
        "first_token_ms_p99": round(1_000 * firsts[min(len(firsts) - 1, int(0.99 * len(firsts)))], 1),
        "micro_per_million_tokens": round(hour_micro / 3_600 / rate * TOKENS),
    }


def _address() -> Address:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", free.getsockname()[1], secrets.token_urlsafe(16))


@contextmanager
def _running(server: ServerProgram, launch: Launch, log: Path) -> Iterator[tuple[str, str]]:
    """A server that is ready, as (host:port, key); ended at the end."""
    words = list(launch.argv)
    host, port = words[words.index("--host") + 1], words[words.index("--port") + 1]
    key = next(value for name, value in launch.env.items() if name.endswith("API_KEY"))
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', os.defpath)}"  # as a run on the local engine finds it
    with log.open("ab") as out:
        running = subprocess.Popen(words, env={**os.environ, "PATH": path, **launch.env}, stdout=out, stderr=out)
        try:
            began = time.monotonic()
            while not answers(f"http://{host}:{port}{server.health}"):
                if running.poll() is not None or time.monotonic() - began > _START_S:
                    last = log.read_text(errors="replace").splitlines()[-5:]
                    hint = "its last words: " + " | ".join(last)
                    raise Unavailable(f"{words[0]} did not become ready", hint=hint)
                time.sleep(_PAUSE_S)
            yield f"{host}:{port}", key
        finally:
            running.terminate()
            running.wait(30)


def _round(at: tuple[str, str], model: str, number: int) -> Round:
    """Every question once, `STREAMS` at a time."""
    began = time.perf_counter()
    with ThreadPoolExecutor(STREAMS) as callers:
        done = list(callers.map(lambda name: _one(at, model, f"What does {name} do? ({number})"), _ASKED))
    return Round(sum(tokens for tokens, _ in done), time.perf_counter() - began, tuple(first for _, first in done))


def _one(at: tuple[str, str], model: str, question: str) -> tuple[int, float]:
    """(tokens drawn, seconds until the first)."""
    address, key = at
    body = {
        "model": model,
        "messages": [{"role": "system", "content": _SHARED}, {"role": "user", "content": question}],
        "max_tokens": TOKENS_EACH,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = HTTPConnection(address, timeout=600)
    began, first, tokens = time.perf_counter(), 0.0, 0
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise Unavailable(f"the server answered {answer.status}: {answer.read(500).decode(errors='replace')}")
    for line in answer:
        if line.startswith(b"data: {"):
            first = first or time.perf_counter() - began
            if b'"usage"' in line:
                usage = json.loads(line[6:]).get("usage") or {}
                tokens = int(usage.get("completion_tokens", tokens))
    connection.close()
    return tokens, first


def of_view(view: dict[str, Any]) -> Model:
    """A model as the API shows it."""
    if not view["path"]:
        raise Unavailable(
            f"the weights of {view['name']} are not there yet: {view['detail']}", hint="wait for them, then measure"
        )
    names = ("server", "source", "created_us", "context_length", "path", "options")
    model = Model(ModelName(view["name"]), **{name: view[name] for name in names})
    return replace(model, aliases=tuple(view["aliases"]))
