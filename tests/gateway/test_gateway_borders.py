"""A tenant's words and files go only where it says: unknown means no, nothing is sent, and the verdicts are on record."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_house import House, house

from sublet.app import tenants
from sublet.bench.gateway.talker import Talker
from sublet.core.errors import Unavailable
from sublet.core.ids import TenantId
from sublet.core.model import ReplicaState
from sublet.core.site import Site
from sublet.core.token_terms import TokenTerms
from sublet.store import audit_log, sites, token_terms

openai = pytest.importorskip("openai")
ACME = TenantId("acme")
HELLO: Any = [{"role": "user", "content": "hello"}]


def client_of(home: House, key: str) -> Any:
    return openai.OpenAI(base_url=home.url, api_key=key, max_retries=0)


def test_words_go_only_where_their_tenant_says(tmp_path: Path) -> None:
    oslo, texas = Talker(), Talker()
    with house(tmp_path, gateway_queue_s=0.5) as home:
        key, free = home.tenant(), home.tenant("free")
        home.model()
        with home.database.write() as tx:
            sites.put(tx, Site("oslo", country="NO", operator="us", operator_country="NO"))
            sites.put(tx, Site("texas", country="US", operator="us", operator_country="US"))
            for name in ("acme", "free"):
                tenants.set_country(tx, TenantId(name), "NO", force=True, now_us=home.clock.now_us())
            token_terms.put(tx, TokenTerms(ACME, residency=("NO",)))
        home.replica("t", home.talker("t", texas), site="texas")
        home.replica("u", home.talker("u", texas), site="nobody-knows")
        home.open()
        with pytest.raises(openai.PermissionDeniedError) as denied:
            client_of(home, key).chat.completions.create(model="llama", messages=HELLO, max_tokens=2)
        assert denied.value.code == "data_residency_mismatch" and not texas.asked
        client_of(home, free).chat.completions.create(model="llama", messages=HELLO, max_tokens=2)
        assert len(texas.asked) == 1
        home.replica("o", home.talker("o", oslo), site="oslo")
        time.sleep(0.4)
        for _ in range(3):
            client_of(home, key).chat.completions.create(model="llama", messages=HELLO, max_tokens=2)
        assert (len(oslo.asked), len(texas.asked)) == (3, 1)
        home.put("o", ReplicaState.DRAINING)
        time.sleep(0.4)
        with pytest.raises(openai.APIStatusError):  # it does not move across the border either
            client_of(home, key).chat.completions.create(model="llama", messages=HELLO, max_tokens=2)
        assert len(texas.asked) == 1
        with pytest.raises(openai.PermissionDeniedError):
            client_of(home, key).files.create(file=("x", b"{}"), purpose="batch")
        assert not [one for one in (tmp_path / "files").glob("*") if one.is_file()]
        time.sleep(1.2)
        with home.database.read() as tx:
            assert any("oslo" in str(entry) for entry in audit_log.page(tx, limit=100))


def test_a_verdict_that_cannot_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with house(tmp_path, gateway_queue_s=0.5) as home:
        key = home.tenant()
        home.model()
        with home.database.write() as tx:
            token_terms.put(tx, TokenTerms(ACME, residency=("NO",)))
        home.replica("t", home.talker("t"), site="nobody-knows")
        failed: list[str] = []

        def full(*_: object, **__: object) -> None:
            failed.append("once more")
            raise Unavailable("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr("sublet.gateway.borders.record", full)
            home.open()
            with pytest.raises(openai.PermissionDeniedError):
                client_of(home, key).chat.completions.create(model="llama", messages=HELLO, max_tokens=2)
            until(lambda: bool(failed))
        until(lambda: "nobody-knows" in logged(home))


def logged(home: House) -> str:
    with home.database.read() as tx:
        return str(audit_log.page(tx, limit=100))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
