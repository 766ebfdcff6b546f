"""What a server program gives on this machine: with our start options and with its own, in turns, in one run.

Both servers answer the same prompts, greedily, from as many callers at once; who goes first changes with every round, and
the ratio is that of neighbouring turns, so that whatever else this machine does hits both alike. Where weights fit twice
(CPU, or `together`) both stay loaded; else a GPU belongs to one at a time, which is started anew for its turn, warmed up and
asked `_PASSES` times. Our options with one of them changed may be measured beside.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from sublet.app.models import looked_at
from sublet.app.weights import BUILTIN, TINY
from sublet.bench.callers import Asked, Callers, Pass, calling
from sublet.bench.progress import Progress
from sublet.core.errors import Invalid, Unavailable
from sublet.core.ids import ModelName
from sublet.core.model import TOKENS, Model
from sublet.core.server_program import Address, Hardware, Launch, ServerProgram
from sublet.engines.local.devices import Devices, find_devices
from sublet.gateway.servers import SERVERS
from sublet.gateway.servers.supervise import answers

_START_S, _END_S, _FREE_S, _PAUSE_S = 1_800, 5.0, 60.0, 0.02
_PASSES, _WARMS_UP = 3, -1
"""Of each turn on a GPU; the number of a pass that does not count."""
_LAST_WORDS = 12
"""Lines of a server that ended instead of answering."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one server gave in one turn."""

    passes: tuple[Pass, ...]
    ready_s: float  # from its start until it answered

    @property
    def rate(self) -> float:
        """Tokens drawn a second, all callers together."""
        return sum(one.tokens for one in self.passes) / sum(one.seconds for one in self.passes)


def usual(*, streams: int | None, words: int | None, tokens: int | None) -> Asked:
    """What is asked where the caller leaves it open: a few short questions of a CPU, many longer ones of a GPU."""
    at_once, own, drawn, each = (4, 0, 128, 2) if _hardware(find_devices(None)).is_cpu else (256, 400, 256, 2)
    streams = streams or at_once
    return Asked(streams, each * streams, own if words is None else words, tokens or drawn)


def usual_rounds() -> int:
    """Rounds that tell a difference from noise: two where each turn starts a server, which then stays to itself."""
    return 7 if _hardware(find_devices(None)).is_cpu else 2


def measured(
    model: Model,
    asked: Asked,
    *,
    rounds: int,
    hour_micro: int,
    currency: str,
    progress: Progress,
    changed: Mapping[str, Model] | None = None,
    together: bool = False,
    logs: Path | None = None,
) -> dict[str, Any]:
    """The figures of a model on this machine; `hour_micro` is what one of its GPUs (or CPU slots) costs an hour.

    `changed`: the model with other options, by what to call it. `together`: the GPU's memory holds them all at once.
    What the servers print, and each turn, is kept in the folder `logs`, if one is given.
    """
    server = SERVERS[model.server]
    if server.launch is None or server.plain is None:
        raise Invalid(f"{server.name} runs elsewhere: there is nothing to start here", field="server")
    devices = find_devices(None)
    hardware = _hardware(devices)
    launches = {"ours": server.launch(model, hardware, _address()), "defaults": server.plain(model, hardware, _address())}
    launches |= {name: server.launch(other, hardware, _address()) for name, other in (changed or {}).items()}
    with ExitStack() as stack:
        folder = logs or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sublet-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        callers = stack.enter_context(calling(asked, os.cpu_count() or 1))
        stand = _Stand(server, launches, model.name, devices, callers, folder)
        take = stand.side_by_side if hardware.is_cpu or together else stand.one_at_a_time
        found = take(rounds, progress)
    seen = {name: _figures(turns, hour_micro * hardware.gpus) for name, turns in found.items()}
    ratios = {name: _ratio(turns, found["defaults"]) for name, turns in found.items()}
    return {
        "benchmark": "model",
        "model": model.name,
        "server": server.name,
        "hardware": {"model": hardware.gpu_model, "gpus": hardware.gpus, "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "asked": asdict(asked),
        "rounds": rounds,
        "passes": len(found["ours"][0].passes),
        "ours": seen["ours"],
        "defaults": seen["defaults"],
        "ratio": ratios["ours"],
        "changed": {name: seen[name] | {"ratio": ratios[name]} for name in changed or {}},
        "hour_micro": hour_micro,
        "currency": currency,
        "options": list(launches["ours"].why),
        "started": {name: " ".join(launch.argv) for name, launch in launches.items()},
    }


@dataclass(frozen=True, slots=True)
class _Stand:
    """What turns are taken with."""

    server: ServerProgram
    launches: Mapping[str, Launch]
    model: str
    devices: Devices
    callers: Callers
    folder: Path

    def side_by_side(self, rounds: int, progress: Progress) -> dict[str, list[Turn]]:
        """All are started at once and stay loaded; a turn is one pass."""
        found: dict[str, list[Turn]] = {name: [] for name in self.launches}
        with ExitStack() as stack:
            progress("they start", 0.0)
            with ThreadPoolExecutor(len(self.launches)) as starting:
                ready = dict(
                    zip(self.launches, starting.map(lambda name: self._started(name, stack), self.launches), strict=True)
                )
            for one in ready.values():
                self.callers.ask(one.at, self.model, _WARMS_UP)
            for number, name in self._order(rounds, progress):
                found[name].append(self._turn(name, ready[name], [number]))
        return found

    def one_at_a_time(self, rounds: int, progress: Progress) -> dict[str, list[Turn]]:
        """Each is started anew for its turn, which is some passes."""
        found: dict[str, list[Turn]] = {name: [] for name in self.launches}
        for number, name in self._order(rounds, progress):
            with ExitStack() as stack:
                ready = self._started(name, stack)
                self.callers.ask(ready.at, self.model, _WARMS_UP)
                found[name].append(self._turn(name, ready, range(number * _PASSES, (number + 1) * _PASSES)))
        return found

    def _order(self, rounds: int, progress: Progress) -> Iterator[tuple[int, str]]:
        for number in range(rounds):
            for name in sorted(self.launches, reverse=bool(number % 2)):
                progress(f"{name}, round {number + 1}", number / rounds)
                yield number, name

    def _started(self, name: str, stack: ExitStack) -> "_Ready":
        return stack.enter_context(_running(self.server, self.launches[name], self.folder / f"{name}.log", self.devices))

    def _turn(self, name: str, ready: "_Ready", passes: Iterable[int]) -> Turn:
        turn = Turn(tuple(self.callers.ask(ready.at, self.model, one) for one in passes), ready.seconds)
        firsts_ms = [round(1_000 * first, 1) for one in turn.passes for first in one.first_s]
        known = {"server": name, "tokens_per_second": round(turn.rate, 1), "ready_s": round(turn.ready_s, 1)}
        with (self.folder / "turns.jsonl").open("a") as out:  # for whoever cannot wait for the end
            out.write(json.dumps(known | {"first_token_ms": firsts_ms}) + "\n")
        return turn


def _ratio(turns: Sequence[Turn], plain: Sequence[Turn]) -> dict[str, float]:
    """Of neighbouring turns."""
    ratios = [one.rate / other.rate for one, other in zip(turns, plain, strict=True)]
    return {"median": round(median(ratios), 3), "least": round(min(ratios), 3), "most": round(max(ratios), 3)}


def builtin() -> Model:
    """The model that is shipped, for whoever runs no control plane."""
    return Model(ModelName("tiny"), "llamacpp", BUILTIN, 0, context_length=2_048, path=str(TINY))


def not_added(name: str, server: str, source: str, context: int) -> Model:
    """A model of which no control plane knows, from weights on this machine."""
    whole = source if source == BUILTIN else str(Path(source).expanduser().resolve())
    return Model(ModelName(name), server, whole, 0, context_length=context)


def with_options(model: Model, options: dict[str, Any]) -> Model:
    """The model with these options of its server before those it has; raises what is wrong with them, or with its weights."""
    return looked_at(SERVERS, replace(model, options={**model.options, **options}))


def _hardware(devices: Devices) -> Hardware:
    cores = os.cpu_count() or 1
    return Hardware(devices.model, cores if devices.model == "cpu" else devices.count, cores if devices.model == "cpu" else 0)


def _figures(turns: list[Turn], hour_micro: int) -> dict[str, Any]:
    rate = median(one.rate for one in turns)
    firsts = sorted(first for turn in turns for one in turn.passes for first in one.first_s)
    return {
        "tokens_per_second": round(rate, 1),
        "rates": [round(one.rate, 1) for one in turns],
        "first_token_ms_p50": round(1_000 * median(firsts), 1),
        "first_token_ms_p99": round(1_000 * firsts[min(len(firsts) - 1, int(0.99 * len(firsts)))], 1),
        "ready_s": [round(one.ready_s, 1) for one in turns],
        "micro_per_million_tokens": round(hour_micro / 3_600 / rate * TOKENS),
    }


def _address() -> Address:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", free.getsockname()[1], secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class _Ready:
    """A server that answers."""

    at: tuple[str, str]  # (base URL, key)
    seconds: float  # it took


@contextmanager
def _running(server: ServerProgram, launch: Launch, log: Path, devices: Devices) -> Iterator[_Ready]:
    """A server that is ready; at the end it and all that it started are gone, and its devices are free again."""
    words = list(launch.argv)
    host, port = words[words.index("--host") + 1], words[words.index("--port") + 1]
    key = next(value for name, value in launch.env.items() if name.endswith("API_KEY"))
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', os.defpath)}"  # as a run on the local engine finds it
    with log.open("ab") as out:
        env = {**os.environ, "PATH": path, **launch.env}
        try:
            running = subprocess.Popen(words, env=env, stdout=out, stderr=out, start_new_session=True)
        except OSError as error:
            raise Unavailable(
                f"{words[0]} cannot be started: {error.strerror}", hint="--option program=PATH says where it is"
            ) from None
        try:
            began = time.monotonic()
            while not answers(f"http://{host}:{port}{server.health}"):
                if running.poll() is not None or time.monotonic() - began > _START_S:
                    last = log.read_text(errors="replace").splitlines()[-_LAST_WORDS:]
                    hint = "its last words: " + " | ".join(last)
                    raise Unavailable(f"{words[0]} did not become ready", hint=hint)
                time.sleep(_PAUSE_S)
            yield _Ready((f"http://{host}:{port}/v1", key), time.monotonic() - began)
        finally:
            _end(running)
            _await_free(devices)


def _end(running: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then end all that is left of its session: nobody waits for its answers any more."""
    running.terminate()
    with suppress(subprocess.TimeoutExpired):
        running.wait(_END_S)
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def _await_free(devices: Devices) -> None:
    """A server that starts while another one's memory is still being freed would see less than there is."""
    until = time.monotonic() + _FREE_S
    while not devices.check(range(devices.count))[0] and time.monotonic() < until:
        time.sleep(_PAUSE_S)


def of_view(view: dict[str, Any]) -> Model:
    """A model as the API shows it."""
    if not view["path"]:
        raise Unavailable(
            f"the weights of {view['name']} are not there yet: {view['detail']}", hint="wait for them, then measure"
        )
    names = ("server", "source", "created_us", "context_length", "path", "options")
    model = Model(ModelName(view["name"]), **{name: view[name] for name in names})
    return replace(model, aliases=tuple(view["aliases"]))
