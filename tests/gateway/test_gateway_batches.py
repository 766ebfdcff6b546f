"""Files and batches, with the official client: half price, each line once, also over a kill."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from api_house import PRICES, House, house

from sublet.app import audit
from sublet.bench.gateway.talker import Talker, answer_to, rendered
from sublet.core.batch import BATCH_NEXT, Batch, BatchEvent, BatchState, step_batch
from sublet.core.errors import IllegalStep
from sublet.core.ids import TenantId
from sublet.core.ledger import receivable
from sublet.core.tokens import Tokens, charge_tokens_micro
from sublet.store import ledger, model_requests

openai = pytest.importorskip("openai")
ACME = TenantId("acme")


def line(nth: int, **changed: Any) -> str:
    body = {"model": "llama", "messages": [{"role": "user", "content": f"number {nth}"}], "max_tokens": 6, "temperature": 0}
    return json.dumps({"custom_id": f"c{nth}", "method": "POST", "url": "/v1/chat/completions", "body": body | changed})


def client_of(home: House, key: str) -> Any:
    return openai.OpenAI(base_url=home.url, api_key=key, max_retries=0)


def made(client: Any, text: str) -> Any:
    file = client.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def ended(client: Any, batch: str, within_s: float = 30.0) -> Any:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = client.batches.retrieve(batch)
        if found.status in {"completed", "failed", "cancelled", "expired"}:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{found.status} after {within_s} s")


@pytest.mark.parametrize("state", BatchState)
@pytest.mark.parametrize("event", BatchEvent)
def test_only_the_table_moves_a_batch(state: BatchState, event: BatchEvent) -> None:
    batch = Batch("b", ACME, "k", "/v1/completions", "f", 0, 1, state=state)
    if (state, event) in BATCH_NEXT:
        assert step_batch(batch, event, at_us=5).instants == {BATCH_NEXT[state, event].value: 5}
    else:
        with pytest.raises(IllegalStep):
            step_batch(batch, event, at_us=5)


def test_a_batch_is_answered_at_half_price_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    number = 24
    with house(tmp_path) as home:
        key = home.tenant()
        home.model()
        home.replica("a", home.talker("a", Talker(pause_s=0.02)), slots=4)
        home.open()
        client = client_of(home, key)
        batch = made(client, "\n".join([*(line(nth) for nth in range(number)), line(99, model="none")]))
        while client.batches.retrieve(batch.id).request_counts.completed < 4:
            time.sleep(0.05)
        home.shut()
        home.open()
        client = client_of(home, key)
        found = ended(client, batch.id)
        assert (found.status, found.request_counts.completed, found.request_counts.failed) == ("completed", number, 1)
        answers = [json.loads(one) for one in client.files.content(found.output_file_id).text.splitlines()]
        told = {one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in answers}
        assert told == {
            f"c{nth}": answer_to(rendered([{"role": "user", "content": f"number {nth}"}]), 6) for nth in range(number)
        }
        (wrong,) = [json.loads(one) for one in client.files.content(found.error_file_id).text.splitlines()]
        assert wrong["response"]["status_code"] == 404
        home.shut()
        with home.database.read() as tx:
            assert audit.check_money(tx) == []
            rows = model_requests.page(tx, tenant=ACME, limit=1_000)
            account = ledger.account(tx, receivable(ACME))
        assert len(rows) == number and {row.batch for row in rows} == {batch.id}
        whole = sum(charge_tokens_micro(Tokens(row.input_tokens, 0, row.output_tokens), PRICES) for row in rows)
        assert account.debits_micro * 2 == pytest.approx(whole, abs=number)


def test_no_line_is_lost_from_the_count_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are answered while the count of those before is on its way to the database."""
    monkeypatch.setattr("sublet.gateway.batch_runs.EVERY_S", 0.001)
    number = 150
    with house(tmp_path) as home:
        key = home.tenant()
        home.model()
        home.replica("a", home.talker("a"), slots=64)
        home.open()
        client = client_of(home, key)
        found = ended(client, made(client, "\n".join(line(nth) for nth in range(number))).id)
        assert (found.status, found.request_counts.completed, found.request_counts.failed) == ("completed", number, 0)


def test_bad_files_fail_and_batches_are_cancelled(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        key, other = home.tenant(), home.tenant("other")
        home.model()
        home.open()  # no replica: nothing is answered
        client = client_of(home, key)
        failed = ended(client, made(client, "{\n" + line(1) + "\n" + line(1)).id)
        assert failed.status == "failed"
        assert [fault.code for fault in failed.errors.data] == ["invalid_json_line", "duplicate_custom_id"]
        waits = made(client, line(1))
        while client.batches.retrieve(waits.id).status == "validating":
            time.sleep(0.05)
        assert client.batches.cancel(waits.id).status == "cancelling"
        assert ended(client, waits.id).status == "cancelled"
        assert {one.id for one in client.batches.list()} == {failed.id, waits.id}
        stranger = client_of(home, other)
        assert list(stranger.batches.list()) == [] and list(stranger.files.list()) == []
        with pytest.raises(openai.NotFoundError):
            stranger.files.content(waits.input_file_id)
        assert client.files.delete(waits.input_file_id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(waits.input_file_id)
        with pytest.raises(openai.BadRequestError):
            client.files.create(file=("x", b"x"), purpose="nonsense")
