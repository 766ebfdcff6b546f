"""Requests as clients send them, good and bad: the official client unmodified, and everything else answered in its words."""

import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from api_house import House, house

from event_loop import run
from sublet.app import keys
from sublet.app import tenants as tenant_use
from sublet.bench.gateway.talker import ARGUMENTS, Talker, answer_to, rendered
from sublet.core.ids import TenantId
from sublet.core.model import ReplicaState, Tier
from sublet.core.token_terms import TokenTerms
from sublet.store import keys as key_rows
from sublet.store import models, token_terms

ACME = TenantId("acme")
HELLO = [{"role": "user", "content": "hello"}]


def asked(home: House, key: str, document: Any, path: str = "/chat/completions", **headers: str) -> tuple[int, Any, Any]:
    """(status, document, headers)."""

    async def once() -> tuple[int, Any, Any]:
        sent = {"data": document} if isinstance(document, bytes) else {"json": document}
        told = {"Authorization": f"Bearer {key}"} | headers
        async with aiohttp.ClientSession() as session, session.post(home.url + path, headers=told, **sent) as answer:
            return answer.status, await answer.json(), answer.headers

    return run(once())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with house(tmp_path_factory.mktemp("api")) as made:
        made.key = made.tenant()  # type: ignore[attr-defined]
        made.model(aliases=("gpt-4o-mini",))
        made.replica("a", made.talker("a", Talker()))
        made.open()
        yield made


def test_the_official_client_works_unmodified(home: Any) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=home.url, api_key=home.key, max_retries=0)
    whole = client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, max_tokens=10, temperature=0, service_tier="flex"
    )
    assert whole.choices[0].message.content == answer_to(rendered(HELLO), 10)
    assert whole.usage.completion_tokens == 10 and whole.service_tier == "default" and whole.model == "llama"
    stream = client.chat.completions.create(
        model="llama", messages=HELLO, max_tokens=10, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == answer_to(rendered(HELLO), 10)
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].usage.completion_tokens == 10
    told = client.completions.create(model="llama", prompt="once", max_tokens=5, temperature=0)
    assert told.choices[0].text == answer_to("once", 5)
    assert [model.id for model in client.models.list()] == ["llama"]
    assert client.models.retrieve("gpt-4o-mini").id == "llama"
    assert len(client.embeddings.create(model="llama", input=["a b", "c"]).data) == 2
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="none", messages=HELLO)
    assert missing.value.code == "model_not_found" and missing.value.param == "model"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=home.url, api_key="sk_no", max_retries=0).models.list()


def test_the_calls_of_a_server_that_promises_them_go_through(tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    with house(tmp_path) as home:
        client = openai.OpenAI(base_url=_others(home), api_key=home.tenant(), max_retries=0)
        _calls_go_through(client)


def _others(home: House) -> str:
    home.model(server="url")
    home.replica("a", home.talker("a", Talker()))
    return home.open()


def _calls_go_through(client: Any) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    asked: dict[str, Any] = {"model": "llama", "messages": HELLO, "tools": [tool], "tool_choice": "required"}
    whole = client.chat.completions.create(**asked).choices[0]
    (call,) = whole.message.tool_calls
    assert (call.function.name, call.function.arguments, whole.finish_reason) == ("get_weather", ARGUMENTS, "tool_calls")
    with client.chat.completions.stream(**asked) as stream:
        told = stream.get_final_completion().choices[0]
    assert (told.message.tool_calls[0].function.arguments, told.finish_reason) == (ARGUMENTS, "tool_calls")
    assert told.message.tool_calls[0].id == "call_1" and not told.message.content


@pytest.mark.parametrize(
    ("document", "status", "code", "param"),
    [
        (b"{", 400, None, None),
        (b"[]", 400, None, None),
        ({"messages": HELLO}, 400, None, "model"),
        ({"model": "none", "messages": HELLO}, 404, "model_not_found", "model"),
        ({"model": "llama"}, 400, None, "messages"),
        ({"model": "llama", "messages": []}, 400, None, "messages"),
        ({"model": "llama", "messages": [{"content": "x"}]}, 400, None, "messages.0"),
        ({"model": "llama", "messages": HELLO, "max_tokens": 0}, 400, None, "max_tokens"),
        ({"model": "llama", "messages": HELLO, "n": 1_000}, 400, None, "n"),
        ({"model": "llama", "messages": HELLO, "service_tier": "gold"}, 400, None, "service_tier"),
        ({"model": "llama", "messages": HELLO, "response_format": {"type": "json_schema"}}, 400, None,
         "response_format.json_schema"),
        ({"model": "llama", "messages": HELLO, "stop": 3}, 400, None, "stop"),
        ({"model": "llama", "messages": [{"role": "user", "content": "w " * 5_000}]}, 400, "context_length_exceeded",
         "messages"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_in_openais_words(home: Any, document: Any, status: int, code: Any, param: Any) -> None:
    got, found, headers = asked(home, home.key, document)
    assert (got, found["error"]["code"], found["error"]["param"]) == (status, code, param)
    assert found["error"]["message"] and found["error"]["type"] == "invalid_request_error"
    assert headers["x-request-id"]


def test_rate_limits_are_told_and_kept(home: Any) -> None:
    key = home.tenant("slow")
    with home.database.write() as tx:
        token_terms.put(tx, TokenTerms(TenantId("slow"), requests_per_min=3, tokens_per_min=100_000))
    small = {"model": "llama", "messages": HELLO, "max_tokens": 4}
    for left in (2, 1, 0):
        status, _, headers = asked(home, key, small)
        assert (status, headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == (
            200,
            "3",
            str(left),
        )
    status, found, headers = asked(home, key, small)
    assert (status, found["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(headers["Retry-After"]) <= 21
    wordy = home.tenant("wordy")
    with home.database.write() as tx:
        token_terms.put(tx, TokenTerms(TenantId("wordy"), tokens_per_min=1_500))
    for _ in range(4):  # what was reserved and not used is given back
        assert asked(home, wordy, small)[0] == 200
    assert asked(home, wordy, small | {"max_tokens": 700, "stream": False})[0] == 200
    status, found, _ = asked(home, wordy, small | {"max_tokens": 700})
    assert (status, found["error"]["type"]) == (429, "tokens")


def test_a_revoked_key_and_a_suspended_tenant_are_out_within_a_second(home: Any) -> None:
    key = home.tenant("brief")
    small = {"model": "llama", "messages": HELLO, "max_tokens": 2}
    assert asked(home, key, small)[0] == 200
    with home.database.write() as tx:
        tenant_use.set_suspended(tx, TenantId("brief"), suspended=True, now_us=home.clock.now_us())
    time.sleep(1)
    status, found, _ = asked(home, key, small)
    assert (status, found["error"]["code"]) == (403, "tenant_suspended")
    with home.database.write() as tx:
        tenant_use.set_suspended(tx, TenantId("brief"), suspended=False, now_us=home.clock.now_us())
        row = key_rows.by_hash(tx, keys.digest(key))
        assert row is not None
        keys.revoke(tx, row.id, now_us=home.clock.now_us())
    time.sleep(1)
    assert asked(home, key, small)[0] == 401


def test_a_huge_body_and_a_caller_who_never_reads_cost_no_memory(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        key = home.tenant()
        home.model(context_length=0)
        home.replica("a", home.talker("a", Talker()))
        home.open()
        assert home.gateway is not None
        home.gateway.reception.stall_s = 0.5
        before = psutil.Process().memory_info().rss
        port = int(home.url.split(":")[2].split("/")[0])
        head = f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        with socket.create_connection(("127.0.0.1", port)) as huge:
            huge.sendall(f"{head}Content-Length: 104857600\r\n\r\n".encode())
            assert huge.recv(65_536).startswith(b"HTTP/1.1 413")
        with socket.create_connection(("127.0.0.1", port)) as endless:
            endless.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            answer = b""
            try:
                for _ in range(100):
                    endless.sendall(b"100000\r\n" + b"x" * 1_048_576 + b"\r\n")
            except OSError:
                pass
            endless.settimeout(5)
            try:
                answer = endless.recv(65_536)
            except OSError:
                answer = b"HTTP/1.1 413"  # it was reset while we were still sending
            assert answer.startswith(b"HTTP/1.1 413")
        body = b'{"model":"llama","messages":[{"role":"user","content":"x"}],"max_tokens":60000,"stream":true}'
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        until = time.monotonic() + 30
        while (not home.gateway.reception.streams) and time.monotonic() < until:
            time.sleep(0.05)
        while home.gateway.reception.streams and time.monotonic() < until:
            time.sleep(0.1)
        assert not home.gateway.reception.streams
        deaf.close()
        assert psutil.Process().memory_info().rss - before < 100 * 2**20


def test_who_finds_no_replica_waits_and_is_told_when_to_come_again(tmp_path: Path) -> None:
    with house(tmp_path, gateway_queue_s=0.3) as home:
        key = home.tenant()
        home.model()
        home.open()
        small = {"model": "llama", "messages": HELLO, "max_tokens": 2}
        status, found, headers = asked(home, key, small)
        assert (status, found["error"]["code"]) == (503, "service_unavailable") and headers["Retry-After"]
        home.replica("a", home.talker("a"))
        time.sleep(0.3)
        assert asked(home, key, small)[0] == 200
        home.put("a", ReplicaState.DRAINING)
        time.sleep(0.3)
        assert asked(home, key, small)[0] == 503


def test_another_model_answers_where_the_tenant_says_so_and_residency_is_kept(tmp_path: Path) -> None:
    def verdict(_tenant: TenantId, replica: Any) -> str:
        return "" if replica.site == "oslo" else "only Norway"

    with house(tmp_path, verdict=verdict, gateway_queue_s=0.3) as home:
        key = home.tenant()
        home.model()
        home.model("spare", server="url")
        home.replica("a", home.talker("a"), site="texas")
        home.open()
        small = {"model": "llama", "messages": HELLO, "max_tokens": 2}
        status, found, _ = asked(home, key, small)
        assert (status, found["error"]["code"]) == (403, "data_residency_mismatch")
        with home.database.write() as tx:
            token_terms.put(tx, TokenTerms(ACME, fallbacks={"llama": ("spare@oslo",)}))
        talker = Talker()
        home.replica("b", home.talker("b", talker), model="spare", site="oslo", tier=Tier.FLEX)
        time.sleep(1.2)
        status, found, _ = asked(home, key, small)
        assert (status, found["model"], found["service_tier"]) == (200, "spare", "flex")
        assert len(talker.asked) == 1
        with home.database.read() as tx:
            assert models.replica(tx, "a") is not None  # type: ignore[arg-type]
