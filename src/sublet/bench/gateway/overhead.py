"""What the gateway adds to a request, beside a bare pass-through and, where one runs, LiteLLM's proxy: all in one run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil

from sublet.bench.gateway.plain import CHUNKS, PACE_S
from sublet.bench.gateway.stand import LITELLM_KEY, Stand

_SYNCS, _RECORD = 300, 400
Progress = Callable[[str, float], None]
_AIMS = {
    "added_p50_ms": 1.2,
    "added_p99_ms": 4.0,
    "requests_per_s": 1_500.0,
    "ratio_to_pass_through": 1 / 3,
    "ratio_to_litellm": 15.0,
    "streaming_share": 0.97,
    "cpu_s_per_1000": 0.65,
    "peak_mib": 120.0,
}


def measure(folder: Path, *, requests: int, repeats: int, litellm: Path | None, progress: Progress) -> dict[str, Any]:
    """All figures. `litellm` is the program of LiteLLM's proxy; None: it is left out."""
    stand = Stand(folder)
    try:
        _, stub = stand.program("sublet.bench.gateway.plain", "stub")
        bare, through = stand.program("sublet.bench.gateway.plain", "pass-through", f"http://127.0.0.1:{stub}")
        stand.model("url", [stub])
        gateway, port = stand.gateway()
        runs = []
        for number in range(repeats):
            progress(f"repetition {number + 1}", number / repeats)
            disk = _disk(folder)
            runs.append(_once(stub, (bare, through), (gateway, port), stand.key, requests=requests) | {"disk": disk})
        streams = _streams(stub, port, stand.key)
        found = {name: _median([run[name] for run in runs]) for name in runs[0]}
        peak_mib = psutil.Process(gateway.pid).memory_info().rss / 2**20
        if litellm is not None:  # last: it is busy by itself, which the others would feel
            proxy, number = stand.litellm(litellm, stub), max(320, requests // 20)
            theirs = [_load(proxy, "/v1", LITELLM_KEY, 32, number) for _ in range(repeats)]
            found["litellm_32"] = _median(theirs)
    finally:
        stand.close()
    return _summed_up(found, streams, peak_mib=peak_mib, repeats=repeats)


def _once(stub: int, bare: tuple[Any, int], ours: tuple[Any, int], key: str, *, requests: int) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for connections in (1, 32):
        number = requests if connections > 1 else requests // 3
        out[f"stub_{connections}"] = _load(stub, "/v1", key, connections, number)
        out[f"pass_through_{connections}"] = _load(bare[1], "/v1", key, connections, number, program=bare[0])
        out[f"gateway_{connections}"] = _load(ours[1], "/openai/v1", key, connections, number, program=ours[0])
    return out


def _disk(folder: Path) -> dict[str, float]:
    """What a record of the journal costs the disk alone at this moment: written over what is there, and synchronised."""
    took = []
    file = folder / "disk"
    file.write_bytes(bytes(_SYNCS * _RECORD))
    fd = os.open(file, os.O_WRONLY)
    os.fsync(fd)
    for _ in range(_SYNCS):
        began = perf_counter()
        os.write(fd, b"x" * _RECORD)
        os.fdatasync(fd)
        took.append((perf_counter() - began) * 1e3)
    os.close(fd)
    took.sort()
    return {"p50_ms": took[len(took) // 2], "p99_ms": took[len(took) * 99 // 100]}


def _load(
    port: int, path: str, key: str, connections: int, number: int, *, program: "subprocess.Popen[bytes] | None" = None
) -> dict[str, float]:
    process = None if program is None else psutil.Process(program.pid)
    before = 0.0 if process is None else sum(process.cpu_times()[:2])
    words = [sys.executable, "-m", "sublet.bench.gateway.load", str(port), path, key, str(connections), str(number)]
    found: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, timeout=300).stdout)
    if process is not None:
        done = found["requests"] + 20 * connections  # with those that warmed it up
        found["cpu_s_per_1000"] = (sum(process.cpu_times()[:2]) - before) * 1_000 / done
    return found


def _streams(stub: int, port: int, key: str) -> dict[str, float]:
    """32 streams at once, whose chunks come at a model's pace, from the stub itself and through the gateway."""
    rates = {}
    for name, at, path in (("stub", stub, "/v1"), ("gateway", port, "/openai/v1")):
        words = [sys.executable, "-m", "sublet.bench.gateway.load", str(at), path, key, "32", "32", "--stream"]
        found = json.loads(subprocess.run(words, check=True, capture_output=True, timeout=120).stdout)
        assert found["chunks"] == 32 * CHUNKS, f"{name}: {found}"
        rates[name] = found["chunks_per_s"]
    return rates


def _median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _summed_up(
    found: dict[str, dict[str, float]], streams: dict[str, float], *, peak_mib: float, repeats: int
) -> dict[str, Any]:
    ours, bare = found["gateway_32"], found["pass_through_32"]
    figures: dict[str, float | None] = {
        "added_p50_ms": found["gateway_1"]["p50_ms"] - found["stub_1"]["p50_ms"],
        "added_p99_ms": found["gateway_1"]["p99_ms"] - found["stub_1"]["p99_ms"],
        "requests_per_s": ours["requests_per_s"],
        "ratio_to_pass_through": ours["requests_per_s"] / bare["requests_per_s"],
        "ratio_to_litellm": ours["requests_per_s"] / found["litellm_32"]["requests_per_s"] if "litellm_32" in found else None,
        "streaming_share": streams["gateway"] / streams["stub"],
        "cpu_s_per_1000": ours["cpu_s_per_1000"],
        "peak_mib": peak_mib,
    }
    at_most = {"added_p50_ms", "added_p99_ms", "cpu_s_per_1000", "peak_mib"}
    met = {
        name: None if value is None else (value <= _AIMS[name] if name in at_most else value >= _AIMS[name])
        for name, value in figures.items()
    }
    return {
        "figures": figures,
        "aims": _AIMS,
        "met": met,
        "measured": found,
        "streams": {**streams, "streams": 32, "chunks_each": CHUNKS, "pace_ms": PACE_S * 1e3},
        "repeats": repeats,
        "on": "authentication, rate limits, purses and durable metering; SQLite; one process",
    }
