"""Callers of a server program: streams at once, from processes of their own, so that the one who measures is not measured."""

import json
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing.pool import Pool
from typing import Any
from urllib.parse import urlsplit

from sublet.core.errors import Unavailable

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
_THREADS, _PROCESSES_MAX = 16, 12
"""Streams that one process reads without falling behind, and how many processes there are at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server is asked in one pass."""

    streams: int  # at once
    requests: int  # in all
    words: int  # of each request's own text, beside what all share
    tokens: int  # drawn for each, exactly

    def __post_init__(self) -> None:
        if min(self.streams, self.requests, self.tokens) < 1 or self.words < 0:
            raise ValueError("a pass asks for at least one stream, one request and one token")


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass gave."""

    tokens: int
    seconds: float
    first_s: tuple[float, ...]  # until the first token, of each request


class Callers:
    """Processes that ask."""

    def __init__(self, asked: Asked, pool: Pool, processes: int) -> None:
        self.asked, self._pool, self._processes = asked, pool, processes

    def ask(self, at: tuple[str, str], model: str, number: int) -> Pass:
        """Every question of pass `number` once, `streams` at a time, of the server at (base URL, key)."""
        questions = _questions(self.asked, number)
        shards = [questions[nth :: self._processes] for nth in range(self._processes)]
        threads = -(-self.asked.streams // self._processes)
        began = time.perf_counter()
        done = self._pool.starmap(_ask_all, [(at, model, shard, self.asked.tokens, threads) for shard in shards], chunksize=1)
        seconds = time.perf_counter() - began
        answers = [answer for some in done for answer in some]
        return Pass(sum(tokens for tokens, _ in answers), seconds, tuple(first for _, first in answers))


@contextmanager
def calling(asked: Asked, cores: int) -> Iterator[Callers]:
    """Callers that are ready."""
    processes = max(1, min(asked.streams // _THREADS, cores // 2, _PROCESSES_MAX))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(time.sleep, [0.01] * processes)  # they have started
        yield Callers(asked, pool, processes)


def _questions(asked: Asked, number: int) -> list[str]:
    """The same for every server; no two alike in their own text, so that only what is shared can be remembered."""
    drawn = random.Random(number)  # noqa: S311 (texts, not secrets)
    vocabulary = _SHARED.split()
    texts = []
    for nth in range(asked.requests):
        own = " ".join(drawn.choice(vocabulary) for _ in range(asked.words))
        texts.append(f"{own} ({number}.{nth}) What does {_ASKED[nth % len(_ASKED)]} do?".strip())
    return texts


def _ask_all(at: tuple[str, str], model: str, questions: Sequence[str], tokens: int, threads: int) -> list[tuple[int, float]]:
    with ThreadPoolExecutor(threads) as callers:
        return list(callers.map(lambda question: _ask(at, model, question, tokens), questions))


def _ask(at: tuple[str, str], model: str, question: str, limit: int) -> tuple[int, float]:
    """(tokens drawn, seconds until the first)."""
    (url, key), began, first, tokens = at, time.perf_counter(), 0.0, 0
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": _SHARED}, {"role": "user", "content": question}],
        "max_tokens": limit,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    base = urlsplit(url)
    connection = HTTPConnection(base.netloc, timeout=600)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", f"{base.path}/chat/completions", json.dumps(body), headers)
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
