"""What a gateway that is gone had reserved comes back: at once where its journal is found, else when a day has passed."""

import shutil
from pathlib import Path

import aiohttp
import orjson
from api_house import House, house

from event_loop import run
from sublet.app import audit, token_journal
from sublet.app.lost_gateways import EVERY_US, LOST_US, SILENT_US, LostGateways
from sublet.core.ids import TenantId
from sublet.core.ledger import receivable
from sublet.core.purse import Gateway
from sublet.store import events, gateways, ledger, model_requests, purses

ACME = TenantId("acme")
DAMAGED = b'{"id": "chatcmpl-bit-rot", "tenant": "acme", "amount_mic'
"""What a disk made of a record; what was confirmed before and after it counts."""


def asked(home: House, key: str, number: int) -> None:
    async def some() -> None:
        body = {"model": "llama", "messages": [{"role": "user", "content": "x"}], "max_tokens": 8}
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            for _ in range(number):
                async with session.post(f"{home.url}/chat/completions", json=body) as answer:
                    assert answer.status == 200

    run(some())


def left_behind(home: House, folder: Path) -> tuple[Path, int]:
    """A folder as a killed gateway leaves it: with what it has not booked; and how much its tenant had spent."""
    key = home.tenant(limit_micro=10_000_000)
    home.model()
    home.replica("a", home.talker("a"))
    home.open()
    assert home.gateway is not None
    asked(home, key, 3)
    name, own = home.gateway.name, home.folder / "gateway" / "main"
    kept = folder / "left"
    shutil.copytree(own, kept)  # its journal may hold what is booked in a moment, too
    home.shut()
    with home.database.write() as tx:
        spent = ledger.account(tx, receivable(ACME)).debits_micro
        purse = purses.open_one(tx, id="purse-left", tenant=ACME, gateway=name, now_us=home.clock.now_us())
        purses.fill(tx, purse.id, need_micro=5_000, want_micro=5_000, now_us=home.clock.now_us())
        one = model_requests.page(tx, tenant=ACME)[0]
    line = token_journal.files(kept)[0]
    record = {"id": "chatcmpl-late", "purse": purse.id, "posting": "", "booked_us": 0}
    raw = orjson.loads(orjson.dumps(one)) | record
    line.write_bytes(
        line.read_bytes().rstrip(b"\0")
        + (DAMAGED + b"\n" + orjson.dumps(raw) + b"\n" + b'{"id": "half\0\0\n{"id": "after a hole"}\n')
    )
    return kept, spent + one.amount_micro


def test_the_journal_of_a_gateway_that_is_gone_is_settled_here(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        kept, spent = left_behind(home, tmp_path)
        now_us = home.clock.now_us()
        with home.database.write() as tx:
            (mine,) = gateways.with_purses(tx)
            gateways.beat(tx, Gateway(mine.id, str(kept), now_us))
        lost = LostGateways(home.database)
        lost.tick(now_us + SILENT_US)
        with home.database.read() as tx:
            assert len(purses.every_open(tx)) == 1, "not silent for long enough"
        held = token_journal.taken(kept)
        assert held is not None
        lost.tick(now_us + SILENT_US + EVERY_US)
        with home.database.read() as tx:
            assert len(purses.every_open(tx)) == 1, "whoever has its lock lives"
        held.close()
        lost.tick(now_us + SILENT_US + 2 * EVERY_US)
        with home.database.read() as tx:
            account = ledger.account(tx, receivable(ACME))
            assert (account.debits_micro, account.held_micro) == (spent, 0)
            assert model_requests.get(tx, "chatcmpl-late").amount_micro > 0 and audit.check_money(tx) == []
            (told,) = [entry for entry in events.page(tx, limit=1_000) if entry.kind == "gateway.lost"]
            assert told.tenant == ACME and "given back" in told.reason and purses.every_open(tx) == []
        home.open()  # its own next start finds nothing that is not booked
        home.shut()
        with home.database.read() as tx:
            assert ledger.account(tx, receivable(ACME)).debits_micro == spent


def test_a_gateway_that_cannot_be_looked_into_keeps_its_purses_for_a_day(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        left_behind(home, tmp_path)
        now_us = home.clock.now_us()
        with home.database.write() as tx:
            (mine,) = gateways.with_purses(tx)
            gateways.beat(tx, Gateway(mine.id, "/nowhere/gateway/main", now_us))
            spent = ledger.account(tx, receivable(ACME)).debits_micro
        lost = LostGateways(home.database)
        for at_us in (now_us + 2 * SILENT_US, now_us + 3 * SILENT_US, now_us + LOST_US - 1):
            lost.tick(at_us)
        with home.database.read() as tx:
            kinds = [entry.kind for entry in events.page(tx, limit=1_000) if entry.kind.startswith("gateway.")]
            assert kinds == ["gateway.silent"] and len(purses.every_open(tx)) == 1, "told once, and kept"
        with home.database.write() as tx:  # it is heard of again: its day begins anew
            gateways.beat(tx, Gateway(mine.id, "/nowhere/gateway/main", now_us + LOST_US))
        lost.tick(now_us + LOST_US + EVERY_US)
        with home.database.read() as tx:
            assert len(purses.every_open(tx)) == 1
        lost.tick(now_us + 2 * LOST_US)
        with home.database.read() as tx:
            account = ledger.account(tx, receivable(ACME))
            assert (account.debits_micro, account.held_micro) == (spent, 0) and audit.check_money(tx) == []
            assert any(entry.kind == "gateway.lost" for entry in events.page(tx, limit=1_000))
