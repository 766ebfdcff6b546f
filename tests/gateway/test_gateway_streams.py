"""A stream outlives its replica: drained or killed, its caller sees one answer, without repeat or gap."""

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from api_house import House, house

from event_loop import run
from sublet.bench.gateway.talker import Talker, answer_to, rendered
from sublet.core.ids import TenantId
from sublet.core.model import ReplicaState
from sublet.store import model_requests


async def said(
    session: aiohttp.ClientSession, house: House, key: str, body: dict[str, Any], path: str = "/chat/completions"
) -> tuple[str, list[Any], bool]:
    """Everything a stream tells: (text, chunks, whether it came to its end)."""
    text, ended = "", False
    chunks: list[Any] = []
    async with session.post(
        house.url + path, json=body | {"stream": True}, headers={"Authorization": f"Bearer {key}"}
    ) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if line.startswith(b"data: [DONE]"):
                ended = True
            elif line.startswith(b"data: "):
                chunk = orjson.loads(line[6:])
                chunks.append(chunk)
                for choice in chunk.get("choices", ()):
                    text += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return text, chunks, ended


def conversation(nth: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"tell me of number {nth}"}]


@pytest.mark.parametrize("fail", [0.0, 0.02])
def test_streams_go_on_while_replicas_are_drained_and_killed(tmp_path: Path, fail: float) -> None:
    """Three replicas, of which one after the other is drained and then ends, or breaks at chance moments."""
    limit, number = 60, 60
    with house(tmp_path) as home:
        key = home.tenant()
        home.model()
        for name in "abc":
            home.replica(name, home.talker(name, Talker(pause_s=0.01, fail=fail, seed=ord(name))))
        home.open()

        async def everything() -> list[Any]:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                bodies = [
                    {"model": "llama", "messages": conversation(nth), "max_tokens": limit, "temperature": 0,
                     "stream_options": {"include_usage": True}}
                    for nth in range(number)
                ]  # fmt: skip
                running = [asyncio.create_task(said(session, home, key, body)) for body in bodies]
                await asyncio.sleep(0.2)
                await asyncio.to_thread(home.put, "a", ReplicaState.DRAINING)
                await asyncio.sleep(0.25)
                await asyncio.to_thread(home.silence, "a")
                await asyncio.to_thread(home.silence, "b")  # without a word
                return list(await asyncio.gather(*running))

        told = home.loop.do(everything())
        moved = 0
        for nth, (text, chunks, ended) in enumerate(told):
            assert ended
            assert text == answer_to(rendered(conversation(nth)), limit)
            assert chunks[-1]["usage"]["completion_tokens"] == limit
            assert len({chunk["id"] for chunk in chunks}) == 1
        home.shut()
        with home.database.read() as tx:
            rows = model_requests.page(tx, tenant=TenantId("acme"), limit=1_000)
        assert len(rows) == number
        assert {row.output_tokens for row in rows} == {limit}
        moved = sum(row.moves for row in rows)
        assert moved >= number // 3


def test_text_completions_move_too_and_stop_words_hold(tmp_path: Path) -> None:
    whole = answer_to("once upon a time", 80)
    stop = whole.split()[60]
    with house(tmp_path) as home:
        key = home.tenant()
        home.model()
        home.replica("a", home.talker("a", Talker(pause_s=0.01)))
        home.open()

        async def drained() -> Any:
            async with aiohttp.ClientSession() as session:
                body = {"model": "llama", "prompt": "once upon a time", "max_tokens": 80, "temperature": 0, "stop": [stop]}
                running = asyncio.create_task(said(session, home, key, body, "/completions"))
                await asyncio.sleep(0.2)
                await asyncio.to_thread(home.replica, "b", await asyncio.to_thread(_talk, home))
                await asyncio.to_thread(home.put, "a", ReplicaState.DRAINING)
                return await running

        def _talk(home: House) -> str:
            return home.talker("b", Talker())

        async def run() -> Any:
            return await drained()

        text, _, ended = _run(home, drained)
        assert ended
        assert text == answer_to("once upon a time", 80, [stop])


def _run(home: House, work: Any) -> Any:
    """On a loop of its own: the house's loop serves the talkers."""
    return run(work())


def test_no_replica_left_is_said_and_costs_nothing(tmp_path: Path) -> None:
    with house(tmp_path, gateway_queue_s=0.5) as home:
        key = home.tenant()
        home.model()
        home.replica("a", home.talker("a", Talker(pause_s=0.02)))
        home.open()

        async def killed() -> Any:
            async with aiohttp.ClientSession() as session:
                body = {"model": "llama", "messages": conversation(1), "max_tokens": 60, "temperature": 0}
                running = asyncio.create_task(said(session, home, key, body))
                await asyncio.sleep(0.3)
                await asyncio.to_thread(home.silence, "a")
                return await running

        with pytest.raises(aiohttp.ClientPayloadError):
            run(killed())
        home.shut()
        with home.database.read() as tx:
            (row,) = model_requests.page(tx, tenant=TenantId("acme"))
        assert (row.outcome, row.amount_micro) == ("broken", 0)


def test_an_answer_drawn_by_chance_goes_on_from_its_text(tmp_path: Path) -> None:
    """No two draws are alike: what counts is that nothing is told twice."""
    rng = random.Random(4)
    with house(tmp_path) as home:
        key = home.tenant()
        home.model()
        for name in "ab":
            home.replica(name, home.talker(name, Talker(pause_s=0.005, fail=0.03, seed=rng.randrange(99))))
        home.open()

        async def told() -> Any:
            async with aiohttp.ClientSession() as session:
                body = {"model": "llama", "messages": conversation(3), "max_tokens": 50, "temperature": 0.8}
                return await said(session, home, key, body)

        text, _, ended = run(told())
        assert ended
        assert text == answer_to(rendered(conversation(3)), 50)  # this talker draws nothing, so its text shows repeats and gaps
