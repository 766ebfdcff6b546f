"""Streams while their replicas are reclaimed: each told answer is held against what the talker says undisturbed."""

import asyncio
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import orjson

from sublet.bench.gateway.stand import MODEL, TENANT, Stand
from sublet.bench.gateway.talker import answer_to, rendered
from sublet.core.ids import ReplicaId
from sublet.core.model import Replica, ReplicaState, Tier
from sublet.store import model_requests, models

_PAUSE_S = 0.25
_GRACE_S = (0.3, 2.0)
_TALKER = "sublet.bench.gateway.talker"


def measure(folder: Path, *, number: int, replicas: int, tokens: int, seed: int) -> dict[str, Any]:
    """All figures of one run."""
    stand = Stand(folder)
    try:
        made = [stand.program(_TALKER, "--pause", str(_PAUSE_S)) for _ in range(replicas)]
        stand.model("llamacpp", [port for _, port in made])
        _, port = stand.gateway()
        told = asyncio.run(_all(stand, made, port, number=number, tokens=tokens, seed=seed))
        wrong = [nth for nth, (text, ended, _) in enumerate(told) if ended and text != _undisturbed(nth, tokens)]
        pauses = sorted(pause for _, _, stops in told for pause in stops)
        moves = _moves(stand)
    finally:
        stand.close()
    longest = sorted(max(stops, default=0.0) for _, _, stops in told)
    return {
        "streams": number,
        "tokens_each": tokens,
        "moves": moves,
        "broken": sum(not ended for _, ended, _ in told),
        "wrong": len(wrong),
        "pause_between_chunks_p50_ms": pauses[len(pauses) // 2] * 1e3,
        "longest_pause_of_a_stream_p50_ms": longest[len(longest) // 2] * 1e3,
        "longest_pause_of_a_stream_p99_ms": longest[len(longest) * 99 // 100] * 1e3,
        "pace_ms": _PAUSE_S * 1e3,
    }


async def _all(
    stand: Stand, made: list[tuple["subprocess.Popen[bytes]", int]], port: int, *, number: int, tokens: int, seed: int
) -> list[tuple[str, bool, list[float]]]:
    url = f"http://127.0.0.1:{port}/openai/v1/chat/completions"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=300)
    ) as session:
        running = [asyncio.create_task(_said(session, url, stand.key, nth, tokens)) for nth in range(number)]
        reclaiming = asyncio.create_task(_reclaim(stand, made, random.Random(seed), running))  # noqa: S311 (moments)
        told = await asyncio.gather(*running)
        reclaiming.cancel()
        return told


async def _said(session: aiohttp.ClientSession, url: str, key: str, nth: int, tokens: int) -> tuple[str, bool, list[float]]:
    """One stream: (its text, whether it came to its end, the seconds between its chunks)."""
    body = {"model": MODEL, "messages": _conversation(nth), "max_tokens": tokens, "temperature": 0, "stream": True}
    text, ended, stops, last = "", False, [], 0.0
    try:
        async with session.post(url, json=body, headers={"Authorization": f"Bearer {key}"}) as answer:
            async for line in answer.content:
                if line.startswith(b"data: [DONE]"):
                    ended = True
                elif line.startswith(b"data: "):
                    now = perf_counter()
                    stops += [now - last] if last else []
                    last = now
                    for choice in orjson.loads(line[6:]).get("choices", ()):
                        text += choice["delta"].get("content") or ""
    except aiohttp.ClientError:
        ended = False
    return text, ended, stops


async def _reclaim(
    stand: Stand, made: list[tuple["subprocess.Popen[bytes]", int]], chance: random.Random, running: list["asyncio.Task[Any]"]
) -> None:
    """Drain a replica, end it after its grace, start another in its place; every third ends without notice."""
    nth = 0
    while not all(task.done() for task in running):
        await asyncio.sleep(chance.uniform(0.3, 1.2))
        nth += 1
        program, port = made.pop(chance.randrange(len(made)))
        fresh = await asyncio.to_thread(stand.program, _TALKER, "--pause", str(_PAUSE_S))
        await asyncio.to_thread(_add, stand, fresh[1])
        made.append(fresh)
        if nth % 3:
            await asyncio.to_thread(_put, stand, port, ReplicaState.DRAINING)
            await asyncio.sleep(chance.uniform(*_GRACE_S))
        program.kill()
        await asyncio.to_thread(_put, stand, port, ReplicaState.GONE)


def _add(stand: Stand, port: int) -> None:
    url, now_us = f"http://127.0.0.1:{port}/v1", stand.clock.now_us()
    fresh = Replica(ReplicaId(f"r{port}"), MODEL, Tier.DEFAULT, url, "", "here", now_us, ReplicaState.READY, slots=10_000)
    with stand.database.write() as tx:
        models.insert_replicas(tx, [fresh])


def _put(stand: Stand, port: int, state: ReplicaState) -> None:
    with stand.database.write() as tx:
        found = models.replica(tx, ReplicaId(f"r{port}"))
        assert found is not None, "it was added before"
        models.save_replica(tx, found, replace(found, state=state))


def _moves(stand: Stand) -> int:
    with stand.database.read() as tx:
        return sum(one.moves for one in model_requests.page(tx, tenant=TENANT, limit=100_000))


def _conversation(nth: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"tell me of number {nth}"}]


def _undisturbed(nth: int, tokens: int) -> str:
    return answer_to(rendered(_conversation(nth)), tokens)
