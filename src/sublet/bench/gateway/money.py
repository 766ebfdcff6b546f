"""One budget against everything at once: thousands of callers who hang up and come again, a batch, and a gateway killed -9.

Afterwards every charge is held against what its caller was told, and the ledger against every charge.
"""

import asyncio
import json
import random
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import orjson

from sublet.app import audit
from sublet.bench.gateway.stand import MODEL, TENANT, Stand
from sublet.core.ledger import receivable
from sublet.core.model import TokenPrices
from sublet.core.model_request import ModelRequest
from sublet.core.tokens import BATCH_PERCENT, Tokens, charge_tokens_micro, input_tokens_max, reserve_tokens_micro
from sublet.store import ledger, model_requests, purses

PRICES = TokenPrices(input_micro=100_000, cached_micro=50_000, output_micro=4_000_000)
_TALKER = "sublet.bench.gateway.talker"
_TOKENS = 32
_SLOTS = 3_000
_SHARE = 0.4  # of what all requests would cost is the limit
_LEAVES = 0.15  # of streams
_TRIES = 5
_AGAIN_S = (0.5, 2.0)
_QUIET_S = 0.7
_REFUSALS = 4  # in a row: longer than an idle purse keeps what it does not need
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class Told:
    """How one call ended for its caller: whole | left | cut | none | the code of a refusal."""

    how: str
    id: str = ""
    usage: dict[str, Any] | None = None


class _Gate:
    """The gateway, which is killed once so many answers were heard to their end, and started again at the same port."""

    def __init__(self, stand: Stand, kills: list[int]) -> None:
        self._stand, self._kills = stand, kills
        self.program, self.port = stand.gateway()
        self.whole, self.killed_at = 0, list[int]()
        self._lock = asyncio.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/openai/v1"

    async def heard(self) -> None:
        """One more answer came to its end."""
        self.whole += 1
        if self._kills and self.whole >= self._kills[0] and not self._lock.locked():
            async with self._lock:
                self._kills.pop(0)
                self.killed_at.append(self.whole)
                self.program.send_signal(signal.SIGKILL)
                self.program.wait()
                self.program, _ = await asyncio.to_thread(self._stand.gateway, self.port)


def measure(folder: Path, *, number: int, lines: int, kills: int, seed: int) -> dict[str, Any]:
    """All figures of one run."""
    stand, began = Stand(folder), perf_counter()
    each = charge_tokens_micro(Tokens(16, 0, _TOKENS), PRICES)
    limit = int(each * (number + lines * BATCH_PERCENT // 100) * _SHARE)
    try:
        talkers = [stand.program(_TALKER, "--pause", "0.02")[1] for _ in range(2)]
        stand.model("llamacpp", talkers, prices=PRICES, slots=_SLOTS)
        with stand.database.write() as tx:
            ledger.set_limit(tx, TENANT, limit)
        expected = int(number * _SHARE)
        gate = _Gate(stand, [expected * (nth + 1) // (2 * kills + 1) for nth in range(kills)])
        told, batch = asyncio.run(_all(stand, gate, number=number, lines=lines, seed=seed))
        said = asyncio.run(_said_by(talkers))
        gate.program.terminate()
        gate.program.wait(60)
        found = _held_against_books(stand, told, batch, limit=limit, said=said)
    finally:
        stand.close()
    asked = {"requests": number, "concurrent": number, "batch_lines": lines, "kills_at_whole": gate.killed_at}
    return {**asked, **found, "seconds": round(perf_counter() - began, 1)}


async def _all(stand: Stand, gate: _Gate, *, number: int, lines: int, seed: int) -> tuple[list[list[Told]], dict[str, Any]]:
    """Everything at once, and then one call after the other until nothing is left."""
    headers = {"Authorization": f"Bearer {stand.key}"}
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout, headers=headers) as session:
        batch = await _batch(session, gate.url, lines)
        chances = [random.Random(f"{seed}-{nth}") for nth in range(number)]  # noqa: S311 (who hangs up)
        told = await asyncio.gather(*(_caller(session, gate, nth, chance) for nth, chance in enumerate(chances)))
        ended = await _until_ended(session, gate.url, batch)
        last, refused = list[Told](), 0
        while refused < _REFUSALS:  # until nothing is left, also of those who went away
            last.append(await _call(session, gate, number + len(last), stream=False, leaves=False))
            refused = refused + 1 if last[-1].how == "insufficient_quota" else 0
            if refused:
                await asyncio.sleep(_QUIET_S)
    return [*told, *([one] for one in last)], ended


async def _caller(session: aiohttp.ClientSession, gate: _Gate, nth: int, chance: random.Random) -> list[Told]:
    """One caller, as clients are: who gets no answer, or none now, asks again a little later."""
    stream = chance.random() < 0.5
    tries: list[Told] = []
    for _ in range(_TRIES):
        tries.append(await _call(session, gate, nth, stream=stream, leaves=stream and chance.random() < _LEAVES))
        if tries[-1].how in {"whole", "left"}:
            break
        await asyncio.sleep(chance.uniform(*_AGAIN_S))
    return tries


async def _call(session: aiohttp.ClientSession, gate: _Gate, nth: int, *, stream: bool, leaves: bool) -> Told:
    body: dict[str, Any] = _body(nth) | {"stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    name = ""
    try:
        async with session.post(f"{gate.url}/chat/completions", json=body) as answer:
            name = answer.headers.get("x-request-id", "")
            if answer.status != 200:
                return Told((await answer.json())["error"]["code"], name)
            if not stream:
                usage = (await answer.json())["usage"]
                await gate.heard()
                return Told("whole", name, usage)
            usage, ended = None, False
            async for line in answer.content:
                if leaves:
                    return Told("left", name)
                if line.startswith(b"data: [DONE]"):
                    ended = True
                elif line.startswith(b"data: "):
                    usage = orjson.loads(line[6:]).get("usage") or usage
            if ended:
                await gate.heard()
            return Told("whole" if ended else "cut", name, usage)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return Told("cut" if name else "none", name)


async def _batch(session: aiohttp.ClientSession, url: str, lines: int) -> str:
    """A batch of so many lines; its name."""
    asked = [
        json.dumps({"custom_id": f"line-{nth}", "method": "POST", "url": "/v1/chat/completions", "body": _body(-nth - 1)})
        for nth in range(lines)
    ]
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", "\n".join(asked), filename="lines.jsonl")
    async with session.post(f"{url}/files", data=form) as answer:
        file = (await answer.json())["id"]
    wanted = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    async with session.post(f"{url}/batches", json=wanted) as answer:
        return str((await answer.json())["id"])


async def _until_ended(session: aiohttp.ClientSession, url: str, batch: str) -> dict[str, Any]:
    while True:
        async with session.get(f"{url}/batches/{batch}") as answer:
            found: dict[str, Any] = await answer.json()
        if found["status"] in _ENDED:
            break
        await asyncio.sleep(_QUIET_S)
    usages: dict[str, Any] = {}
    if found["output_file_id"]:
        async with session.get(f"{url}/files/{found['output_file_id']}/content") as answer:
            for line in (await answer.text()).splitlines():
                response = orjson.loads(line)["response"]
                usages[response["request_id"]] = response["body"]["usage"]
    return {"status": found["status"], "counts": found["request_counts"], "usages": usages}


async def _said_by(ports: list[int]) -> int:
    """How many tokens the talkers have made."""
    total = 0
    async with aiohttp.ClientSession() as session:
        for port in ports:
            async with session.get(f"http://127.0.0.1:{port}/said") as answer:
                total += (await answer.json())["tokens"]
    return total


def _held_against_books(
    stand: Stand, told: list[list[Told]], batch: dict[str, Any], *, limit: int, said: int
) -> dict[str, Any]:
    """What callers were told beside what is in the books: whatever is not as it must be is counted."""
    with stand.database.read() as tx:
        findings = audit.check_money(tx)
        account = ledger.account(tx, receivable(TENANT))
        rows = {row.id: row for row in model_requests.page(tx, tenant=TENANT, limit=1_000_000)}
        opened = purses.every_open(tx)
    calls = [one for tries in told for one in tries]
    whole = {one.id: one.usage for one in calls if one.how == "whole"} | batch["usages"]
    other = {one.id for one in calls if one.how not in {"whole", "left"}}
    wrong = [row.id for row in rows.values() if row.amount_micro != _due_micro(row)]
    differs = [name for name, usage in whole.items() if name in rows and not _same(rows[name], usage)]
    return {
        "calls": len(calls),
        "retries": len(calls) - len(told),
        "ended": dict(sorted(Counter(one.how for one in calls).items())),
        "batch": {"status": batch["status"], **batch["counts"]},
        "limit_micro": limit,
        "spent_micro": account.debits_micro,
        "left_micro": limit - account.debits_micro,
        "most_a_request_can_cost_micro": reserve_tokens_micro(input_tokens_max(160, 1, 4_096), _TOKENS, PRICES),
        "charges": len(rows),
        "charged_tokens": sum(row.output_tokens for row in rows.values() if row.amount_micro),
        "made_tokens": said,
        "charged_and_end_not_seen": sum(row.id in other and row.amount_micro > 0 for row in rows.values()),
        "must_be_zero": {
            "overspent_micro": max(0, account.debits_micro - limit),
            "batch_lines_without_an_end": batch["counts"]["total"] - batch["counts"]["completed"] - batch["counts"]["failed"],
            "answers_without_a_charge": sum(name not in rows for name in whole),
            "answers_told_under_one_id": sum(one.how == "whole" for one in calls) + len(batch["usages"]) - len(whole),
            "charges_that_differ_from_what_was_told": len(differs),
            "charges_not_by_the_prices": len(wrong),
            "refused_and_charged": sum(one.id in rows for one in calls if one.how not in {"whole", "left", "cut", "none"}),
            "ledger_and_charges_differ_micro": abs(account.debits_micro - sum(row.amount_micro for row in rows.values())),
            "held_micro": account.held_micro,
            "open_purses": len(opened),
            "findings_of_the_audit": len(findings),
        },
    }


def _due_micro(row: ModelRequest) -> int:
    used = Tokens(row.input_tokens, row.cached_tokens, row.output_tokens)
    percent = BATCH_PERCENT if row.batch else 100
    return 0 if row.outcome == "broken" else charge_tokens_micro(used, PRICES, percent=percent)


def _same(row: ModelRequest, usage: dict[str, Any] | None) -> bool:
    return usage is not None and (usage["prompt_tokens"], usage["completion_tokens"]) == (row.input_tokens, row.output_tokens)


def _body(nth: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"tell me of number {nth}"}]
    return {"model": MODEL, "messages": messages, "max_tokens": _TOKENS, "temperature": 0}
