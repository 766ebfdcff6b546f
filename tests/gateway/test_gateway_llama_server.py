"""Against llama.cpp's own server with the small model that is shipped: real tokens, real logits."""

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
import orjson
import pytest
from api_house import House, house

import sublet.weights
from event_loop import run
from free_ports import free_port
from sublet.core.ids import ModelName, ReplicaId, TenantId
from sublet.core.model import Replica, ReplicaState, Tier
from sublet.gateway.dialects.dialect import Bears
from sublet.gateway.dialects.llamacpp import LlamaCpp
from sublet.gateway.shown import spelled
from sublet.gateway.upstream import Upstream
from sublet.store import model_requests

pytest.importorskip("xllamacpp", reason="llama.cpp's server comes with the extra `models`")
WEIGHTS = Path(sublet.weights.__file__).parent / "tiny.gguf"
SLOTS = 4


def started(*given: str) -> tuple["subprocess.Popen[bytes]", str]:
    port = free_port()
    words = ["--model", str(WEIGHTS), "--port", str(port), "--parallel", str(SLOTS), "--ctx-size", str(1_024 * SLOTS)]
    more = ["--threads", "1", "--cache-reuse", "0", "--cache-ram", "0", "--no-warmup", *given]
    module = [sys.executable, "-P", "-m", "sublet.gateway.servers.llama_server"]
    return subprocess.Popen([*module, *words, *more], stderr=subprocess.DEVNULL), f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def servers() -> Iterator[list[tuple[subprocess.Popen[bytes], str]]]:
    made = [started() for _ in range(3)]
    for _, root in made:
        wait_for(f"{root}/health")
    yield [(process, f"{root}/v1") for process, root in made]
    for process, _ in made:
        process.kill()
        process.wait()


def wait_for(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def post(url: str, document: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


BODIES: list[tuple[str, dict[str, Any]]] = [
    *(
        ("/chat/completions", {"messages": [{"role": "user", "content": f"What is {word}?"}], "max_tokens": 250})
        for word in ("a class", "an exception", "the sea", "überall naïve")
    ),
    *(("/completions", {"prompt": text, "max_tokens": 250}) for text in ("The function returns", "An object is", "Å café in ")),
    ("/completions", {"prompt": "The following", "max_tokens": 250, "stop": ["ing the", "zzz"]}),
    ("/chat/completions", {"messages": [{"role": "user", "content": "list"}], "max_tokens": 300, "logprobs": True}),
    ("/chat/completions", {"messages": [
        {"role": "user", "content": "How much is it?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "weigh", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "3 kg"}], "max_tokens": 250}),
    ("/chat/completions", {"messages": [{"role": "user", "content": "one"}], "max_tokens": 40,
     "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
         "type": "object", "properties": {"a": {"type": "string", "maxLength": 20}}, "required": ["a"]}}}}),
]  # fmt: skip


class Progress:
    """How many chunks came, over all streams."""

    def __init__(self) -> None:
        self.chunks = 0

    async def reached(self, chunks: int, running: list[asyncio.Task[Any]]) -> None:
        """So many came, or all streams are over: an answer that moved where its server is in two minds may be a short one."""
        async with asyncio.timeout(20):
            while self.chunks < chunks and not all(task.done() for task in running):  # noqa: ASYNC110 (each says no more)
                await asyncio.sleep(0.001)


async def said(
    session: aiohttp.ClientSession, home: House, path: str, body: dict[str, Any], progress: Progress
) -> tuple[str, Any]:
    text, usage, ended = "", None, False
    document = body | {"model": "llama", "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"Authorization": f"Bearer {home.key}"}  # type: ignore[attr-defined]
    async with session.post(home.url + path, json=document, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if line.startswith(b"data: [DONE]"):
                ended = True
            elif line.startswith(b"data: "):
                chunk = orjson.loads(line[6:])
                usage = chunk.get("usage") or usage
                for choice in chunk["choices"]:
                    text += choice.get("text") or choice.get("delta", {}).get("content") or ""
                progress.chunks += 1
    assert ended
    return text, usage


def undisturbed(url: str, path: str, body: dict[str, Any]) -> tuple[str, Any, list[tuple[int, float]]]:
    """The answer of a server that nobody disturbs: text, usage, and for each token (its end in bytes, how clear it was).

    How clear a token was is the distance of its logarithmic probability to that of the next likely one.
    """
    chances = {"logprobs": True, "top_logprobs": 2} if path.startswith("/chat") else {"logprobs": 2}
    shown = {"messages": spelled(body["messages"])} if "messages" in body else {}
    whole = post(url + path, body | shown | {"temperature": 0, "model": "llama"} | chances)
    choice = whole["choices"][0]
    clear, end = [], 0
    for one in choice["logprobs"]["content"]:
        end += len(one["bytes"])
        first, second = (other["logprob"] for other in one["top_logprobs"][:2])
        clear.append((end, first - second))
    return (choice.get("text") if "text" in choice else choice["message"]["content"]), whole["usage"], clear


ROUNDING = 0.05
"""Logits of a prompt that is read at once differ by so much from those of the same tokens drawn one by one, at most."""


def assert_same(text: str, whole: str, clear: list[tuple[int, float]], body: dict[str, Any]) -> bool:
    """Byte for byte, or up to a token at which the server itself is in two minds; whether it was the former."""
    if text == whole:
        return True
    told, alone = text.encode(), whole.encode()
    same = next(
        (nth for nth, (one, other) in enumerate(zip(told, alone, strict=False)) if one != other), min(len(told), len(alone))
    )
    gap = next(gap for end, gap in clear if end > same)
    assert gap < ROUNDING, (body, whole[:same][-40:], text[same:][:40], whole[same:][:40])
    return False


NOTE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["short", "long"]},
        "marks": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "minItems": 60, "maxItems": 64},
        "sure": {"type": "boolean"},
    },
    "required": ["kind", "marks", "sure"],
}
CALL: dict[str, Any] = {
    "model": "llama",
    "messages": [{"role": "user", "content": "Take a note."}],
    "tools": [
        {"type": "function", "function": {"name": "note", "description": "Keep a text", "parameters": NOTE}},
        {"type": "function", "function": {"name": "note_again", "parameters": NOTE}},
    ],
    "tool_choice": "required",
    "max_tokens": 800,
}


GREEDY = CALL | {"temperature": 0}


async def called(
    session: aiohttp.ClientSession, home: House, body: dict[str, Any], *, at: int = 0, do: Any = None
) -> tuple[list[Any], str, Any]:
    """A streamed call: (its heads, its arguments, the usage). After so many pieces something is done."""
    heads, arguments, usage, ended, pieces = [], "", None, False, 0
    document = body | {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"Authorization": f"Bearer {home.key}"}  # type: ignore[attr-defined]
    async with session.post(f"{home.url}/chat/completions", json=document, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            ended = ended or line.startswith(b"data: [DONE]")
            if not line.startswith(b"data: {"):
                continue
            chunk = orjson.loads(line[6:])
            assert "error" not in chunk, chunk
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                assert not choice["delta"].get("content") and choice["finish_reason"] in {None, "tool_calls"}
                for call in choice["delta"].get("tool_calls", ()):
                    heads += [call] if "id" in call else []
                    arguments += call["function"]["arguments"]
                    pieces += 1
            if do is not None and pieces >= at:
                do = await do()
    assert ended
    return heads, arguments, usage


def test_a_streamed_call_goes_on_elsewhere(tmp_path: Path, servers: Any) -> None:
    """Its server stands still in the middle and is then drained: the rest comes from another."""
    (process, first), (_, second), _ = servers
    with house(tmp_path) as home:
        home.key = home.tenant()  # type: ignore[attr-defined]
        home.model(context_length=1_024)
        home.replica("first", first)
        home.open()

        async def drain() -> None:
            process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(home.replica, "second", second)
            await asyncio.to_thread(home.put, "first", ReplicaState.DRAINING)

        async def both() -> Any:
            async with aiohttp.ClientSession() as session:
                return await called(session, home, GREEDY, at=4, do=drain)

        try:
            heads, arguments, usage = run(both())
        finally:
            process.send_signal(signal.SIGCONT)
        home.shut()
        with home.database.read() as tx:
            (row,) = model_requests.page(tx, tenant=TenantId("acme"))
    assert len(heads) == 1 and heads[0]["function"]["name"] in {"note", "note_again"} and heads[0]["id"].startswith("call_")
    jsonschema_rs.validate(NOTE, json.loads(arguments))
    assert (row.moves, row.counted, row.outcome) == (1, "server", "done")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (row.input_tokens, row.output_tokens)


KNOWS_TOOLS = """{% for tool in tools or [] %}<|user|>{{ tool | tojson }}</s>{% endfor %}\
{% for message in messages %}<|{{ message.role }}|>{{ message.content or '' }}\
{% for call in message.tool_calls or [] %}{{ call.function.name }} {{ call.function.arguments | tojson }}{% endfor %}</s>\
{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""


def test_a_template_that_shows_tools_is_left_to_it(tmp_path: Path) -> None:
    template = tmp_path / "tools.jinja"
    template.write_text(KNOWS_TOOLS)
    process, root = started("--chat-template-file", str(template))
    try:
        wait_for(f"{root}/health")
        with house(tmp_path) as home:
            home.key = home.tenant()  # type: ignore[attr-defined]
            home.model(context_length=1_024)
            home.replica("one", f"{root}/v1")
            home.open()

            async def both() -> Any:
                upstream = Upstream()
                replica = Replica(ReplicaId("x"), ModelName("llama"), Tier.FLEX, f"{root}/v1", "", "here", 0)
                bears = await LlamaCpp().bears(upstream, replica)
                await upstream.close()
                async with aiohttp.ClientSession() as session:
                    return bears, await called(session, home, GREEDY)

            bears, (heads, arguments, usage) = run(both())
    finally:
        process.kill()
        process.wait()
    assert bears == Bears(tools=True, turns=True) and len(heads) == 1
    jsonschema_rs.validate(NOTE, json.loads(arguments))
    assert usage["prompt_tokens"] > 100, "its template shows the tools"


def test_streams_move_between_llama_servers_byte_for_byte(tmp_path: Path, servers: Any) -> None:
    """Two servers are killed in the middle of all streams."""
    (first_process, first), (second_process, second), (_, third) = servers
    alone = [undisturbed(third, path, body) for path, body in BODIES]
    with house(tmp_path) as home:
        home.key = home.tenant()  # type: ignore[attr-defined]
        home.model(context_length=1_024)
        home.replica("first", first, slots=100)
        home.open()

        async def everything() -> list[Any]:
            progress = Progress()
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
                await asyncio.to_thread(home.replica, "second", second, slots=100, tier=Tier.FLEX)  # taken when the first fails
                await asyncio.sleep(0.3)
                running = [asyncio.create_task(said(session, home, path, body, progress)) for path, body in BODIES]
                await progress.reached(60, running)
                first_process.kill()
                await asyncio.to_thread(home.replica, "third", third, slots=100, tier=Tier.FLEX)
                await progress.reached(300, running)
                await asyncio.sleep(0.2)  # until the third is known
                second_process.kill()
                return list(await asyncio.gather(*running))

        told = run(everything())
        home.shut()
        with home.database.read() as tx:
            rows = model_requests.page(tx, tenant=TenantId("acme"), limit=100)
    exact = 0
    for (_, body), (whole, used, clear), (text, usage) in zip(BODIES, alone, told, strict=True):
        exact += assert_same(text, whole, clear, body)
        if text == whole:
            assert usage["prompt_tokens"] == used["prompt_tokens"]
            assert usage["completion_tokens"] == used["completion_tokens"]
    assert exact >= len(BODIES) // 2
    assert sum(row.moves for row in rows) >= 2
    assert {row.counted for row in rows} == {"server"}


def test_a_prompt_that_is_too_long_and_a_schema_that_cannot_be_read(tmp_path: Path, servers: Any) -> None:
    with house(tmp_path) as home:
        key = home.tenant()
        home.model(context_length=1_024)
        home.replica("third", servers[2][1])
        home.open()

        async def once(body: dict[str, Any]) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {key}"}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{home.url}/chat/completions", json=body | {"model": "llama"}, headers=headers) as answer,
            ):
                return answer.status, await answer.json()

        long = {"messages": [{"role": "user", "content": "word " * 3_000}], "max_tokens": 4}
        for stream in (False, True):
            status, found = run(once(long | {"stream": stream}))
            assert (status, found["error"]["code"]) == (400, "context_length_exceeded")
        bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
        status, found = run(once({"messages": [{"role": "user", "content": "x"}], "response_format": bad, "max_tokens": 4}))
        assert status == 400 and found["error"]["type"] == "invalid_request_error"
        tool = {"type": "function", "function": {"name": "x", "parameters": {"type": "object", "properties": {
            "a": {"type": "nonsense"}}, "required": ["a"]}}}  # fmt: skip
        call = {"messages": [{"role": "user", "content": "x"}], "tools": [tool], "tool_choice": "required", "max_tokens": 4}
        for stream in (False, True):
            status, found = run(once(call | {"stream": stream}))
            assert (
                status == 400 and found["error"]["type"] == "invalid_request_error" and "nonsense" in found["error"]["message"]
            )
