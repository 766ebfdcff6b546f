"""No concurrency, disconnect, retry or kill of the gateway passes a limit, loses a charge or makes one twice."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from api_house import PRICES, House, house

from event_loop import run
from sublet.app import audit, invoicing
from sublet.bench.gateway.talker import Talker
from sublet.core.ids import TenantId
from sublet.core.ledger import receivable
from sublet.core.tokens import Tokens, charge_tokens_micro, input_tokens_max, reserve_tokens_micro
from sublet.store import ledger, model_requests

ACME = TenantId("acme")


def body(nth: int, *, stream: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"question {nth}"}]
    return {"model": "llama", "messages": messages, "max_tokens": 8, "temperature": 0, "stream": stream}


async def ask(session: aiohttp.ClientSession, url: str, key: str, nth: int, rng: random.Random) -> tuple[str, str, Any]:
    """One request as clients make them: whole, streamed, or left in the middle. Returns (how it ended, its id, usage)."""
    stream, leaves = rng.random() < 0.5, rng.random() < 0.1
    headers = {"Authorization": f"Bearer {key}"}
    document = body(nth, stream=stream) | ({"stream_options": {"include_usage": True}} if stream else {})
    try:
        async with session.post(f"{url}/chat/completions", json=document, headers=headers) as answer:
            name = answer.headers.get("x-request-id", "")
            if answer.status != 200:
                found = await answer.json()
                return found["error"]["code"], name, None
            if not stream:
                return "whole", name, (await answer.json())["usage"]
            usage, ended = None, False
            async for line in answer.content:
                if leaves:
                    return "left", name, None
                if line.startswith(b"data: [DONE]"):
                    ended = True
                elif line.startswith(b"data: "):
                    usage = orjson.loads(line[6:]).get("usage") or usage
            return ("whole" if ended else "cut"), name, usage
    except aiohttp.ClientError:
        return "no answer", "", None


def gateway(home: House) -> tuple[subprocess.Popen[bytes], str]:
    """A gateway in a process of its own, and its base URL."""
    config = home.folder / "gateway.toml"
    config.write_text(
        f'data_dir = "{home.folder}"\ngateway_port = 0\ngateway_requests_per_min = 10000000\n'
        'gateway_tokens_per_min = 1000000000\nlog_level = "error"\n'
    )
    started = subprocess.Popen(
        [sys.executable, "-m", "sublet.main", "gateway", "--config", str(config)],
        stderr=subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert started.stderr is not None
    line = started.stderr.readline().decode()
    return started, line.rsplit(" ", 1)[1].strip()


def check_books(home: House, *, limit_micro: int) -> Counter[str]:
    """The books balance, every charge is right and there once; returns what each request cost."""
    with home.database.read() as tx:
        assert audit.check_money(tx) == []
        account = ledger.account(tx, receivable(ACME))
        rows = model_requests.page(tx, tenant=ACME, limit=100_000)
    assert account.debits_micro <= limit_micro and account.used_micro <= limit_micro
    assert account.debits_micro == sum(row.amount_micro for row in rows)
    for row in rows:
        used = Tokens(row.input_tokens, row.cached_tokens, row.output_tokens)
        assert row.amount_micro == (0 if row.outcome == "broken" else charge_tokens_micro(used, PRICES))
    return Counter({row.id: 1 for row in rows})


@pytest.mark.parametrize("seed", [1])
def test_a_spent_out_budget_holds_over_kills_of_the_gateway(tmp_path: Path, seed: int) -> None:  # noqa: C901 (one story)
    rng, number = random.Random(seed), 1_200
    cost = charge_tokens_micro(Tokens(12, 0, 8), PRICES)
    limit = cost * number // 4
    with house(tmp_path) as home:
        key = home.tenant(limit_micro=limit)
        home.model()
        for name in "ab":
            home.replica(name, home.talker(name, Talker(pause_s=0.002)))

        async def everything(url: str, first: int, killed: subprocess.Popen[bytes] | None) -> list[tuple[str, str, Any]]:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:
                running = [asyncio.create_task(ask(session, url, key, nth, rng)) for nth in range(first, first + number // 3)]
                if killed is not None:
                    while sum(task.done() for task in running) < number // 8:  # noqa: ASYNC110 (a number of them)
                        await asyncio.sleep(0.01)
                    killed.send_signal(signal.SIGKILL)
                done = await asyncio.gather(*running)
                if killed is None:
                    await asyncio.sleep(0.6)
                    refused = 0
                    while refused < 2:  # one after the other, until nothing is left, also of those who went away
                        done.append(await ask(session, url, key, first + len(done), rng))
                        refused = refused + 1 if done[-1][0] == "insufficient_quota" else 0
                        if refused:
                            await asyncio.sleep(0.6)
                return done

        told: list[tuple[str, str, Any]] = []
        for part in range(3):
            running, url = gateway(home)
            told += run(everything(url, part * number, running if part < 2 else None))
            if part == 2:
                running.terminate()
            running.wait(20)
            assert running.stderr is not None
            running.stderr.close()
        found = check_books(home, limit_micro=limit)
        whole = [name for how, name, _ in told if how == "whole"]
        assert len(set(whole)) == len(whole) and set(whole) <= set(found)  # who saw the end of an answer finds it billed
        assert {"whole", "left", "no answer", "insufficient_quota"} <= {how for how, _, _ in told}
        with home.database.read() as tx:
            account = ledger.account(tx, receivable(ACME))
            rows = {row.id: row for row in model_requests.page(tx, tenant=ACME, limit=100_000)}
        assert account.held_micro == 0
        bound = reserve_tokens_micro(input_tokens_max(160, 1, 8_192), 8, PRICES)
        assert limit - account.debits_micro < bound  # nothing that fits was refused
        for how, name, usage in told:
            if how == "whole":
                assert usage["completion_tokens"] == rows[name].output_tokens
                assert usage["prompt_tokens"] == rows[name].input_tokens


def test_what_was_used_is_on_the_invoice_and_late_bookings_on_the_next(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        key = home.tenant()
        home.model()
        home.replica("a", home.talker("a"))
        home.open()

        async def some(number: int) -> None:
            async with aiohttp.ClientSession() as session:
                for nth in range(number):
                    headers = {"Authorization": f"Bearer {key}"}
                    async with session.post(
                        f"{home.url}/chat/completions", json=body(nth, stream=False), headers=headers
                    ) as answer:
                        assert answer.status == 200

        run(some(3))
        home.shut()
        now = home.clock.now_us() + 2_000_000
        first = invoicing.issue(home.database, ACME, from_us=0, to_us=now, now_us=now)
        assert [(line.model, line.requests) for line in first.tokens] == [("llama", 3)]
        assert first.totals.due_micro == first.tokens[0].amount_micro > 0
        home.open()
        run(some(2))  # stamped before the first invoice's end, booked after it was issued
        home.shut()
        second = invoicing.draft(home.database, ACME, from_us=now, to_us=now + 60_000_000)
        assert [line.requests for line in second.tokens] == [2]
        with home.database.read() as tx:
            debits = ledger.account(tx, receivable(ACME)).debits_micro
        assert debits == first.totals.due_micro + second.totals.due_micro


def test_leases_and_tokens_share_one_limit(tmp_path: Path) -> None:
    """What a lease holds is not there for tokens."""
    with house(tmp_path) as home:
        key = home.tenant(limit_micro=1_000)
        home.model()
        home.replica("a", home.talker("a"))
        with home.database.write() as tx:
            ledger.set_limit(tx, ACME, 20)
        home.open()

        async def once() -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {key}"}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{home.url}/chat/completions", json=body(1, stream=False), headers=headers) as answer,
            ):
                return answer.status, await answer.json()

        status, found = run(once())
        assert (status, found["error"]["type"]) == (429, "insufficient_quota")
        with home.database.write() as tx:
            ledger.set_limit(tx, ACME, 1_000_000)
        run(asyncio.sleep(0.6))
        assert run(once())[0] == 200
