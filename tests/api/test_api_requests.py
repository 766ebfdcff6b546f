"""Requests as such: idempotency keys, limits, pages, and problem documents."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from doors import TASK, Doors, good, refused
from sublet.store.database import Database


def test_a_repeated_request_has_one_effect_and_one_answer(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    once = {"Idempotency-Key": "order-1"}
    first = acme.post("/v1/leases", json=TASK, headers=once)
    again = acme.post("/v1/leases", json=TASK, headers=once)
    assert good(first) == good(again) and again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first.headers
    assert len(good(acme.get("/v1/leases"))["items"]) == 1


def test_the_same_key_for_another_request_is_refused(doors: Doors) -> None:
    acme = doors.tenant("acme")
    once = {"Idempotency-Key": "order-1"}
    good(acme.post("/v1/leases", json=TASK, headers=once))
    problem = refused(acme.post("/v1/leases", json={**TASK, "name": "other"}, headers=once), 422)
    assert problem["field"] == "Idempotency-Key"
    assert len(good(acme.get("/v1/leases"))["items"]) == 1


def test_the_keys_of_two_callers_do_not_meet(doors: Doors) -> None:
    once = {"Idempotency-Key": "order-1"}
    one, two = doors.tenant("one"), doors.tenant("two")
    assert good(one.post("/v1/leases", json=TASK, headers=once)) != good(two.post("/v1/leases", json=TASK, headers=once))


def test_a_refused_request_may_be_repeated_with_the_same_key(everywhere: Doors) -> None:
    once = {"Idempotency-Key": "order-1"}
    acme = everywhere.tenant("acme", limit_micro=0)
    refused(acme.post("/v1/leases", json=TASK, headers=once), 402)
    good(everywhere.owner.put("/v1/tenants/acme/limit", json={"limit_micro": 100_000_000}))
    good(acme.post("/v1/leases", json=TASK, headers=once))


def test_requests_at_the_same_time_with_one_key_have_one_effect(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    answers: list[httpx.Response] = []
    begin = threading.Barrier(4)

    def ask() -> None:
        with everywhere.client(acme.headers["Authorization"].split()[1]) as client:
            begin.wait()
            answers.append(client.post("/v1/leases", json=TASK, headers={"Idempotency-Key": "order-1"}))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({good(answer)["id"] for answer in answers}) == 1
    assert len(good(acme.get("/v1/leases"))["items"]) == 1


def test_a_replayed_key_never_shows_its_secret_again(doors: Doors) -> None:
    body, once = {"scope": "finance", "name": "books"}, {"Idempotency-Key": "k"}
    secret = good(doors.owner.post("/v1/keys", json=body, headers=once))["secret"]
    assert good(doors.owner.post("/v1/keys", json=body, headers=once))["secret"] is None
    with doors.plane.database.read() as tx:
        stored = tx.exec_driver_sql("SELECT body FROM replies").scalars().all()
    assert stored and all(secret not in body for body in stored)


@pytest.mark.parametrize("sent", ["at once", "in parts"])
def test_a_body_that_is_too_large_is_refused(doors: Doors, sent: str) -> None:
    large = b'{"run": "' + b"x" * 1_100_000 + b'"}'
    parts = (large[i : i + 65_536] for i in range(0, len(large), 65_536))
    headers = {"Content-Type": "application/json"}
    answer = doors.owner.post("/v1/jobs", content=parts if sent == "in parts" else large, headers=headers)
    assert "1048576 bytes" in refused(answer, 413)["detail"]


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "not JSON"), (b"[1]", "object"), (b'"x"', "object"), (b"", "missing"), (b"\xff\xfe", "")]
)
def test_a_body_that_is_no_task_is_refused(doors: Doors, content: bytes, said: str) -> None:
    answer = doors.owner.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert said in refused(answer, answer.status_code)["detail"] or said in answer.text


def test_every_wrong_field_is_named_with_what_was_meant(doors: Doors) -> None:
    body = {"run": "x", "num_nodes": 0, "lease": {"clas": "spot", "hours": "9x"}, "resources": {"acelerators": "H100:1"}}
    problem = refused(doors.tenant("acme").post("/v1/leases", json=body), 422)
    told = {error["field"]: error for error in problem["errors"]}
    assert set(told) == {"num_nodes", "lease.clas", "lease.hours", "resources.acelerators"}
    assert told["lease.clas"]["hint"] == "did you mean 'class'?"
    assert told["resources.acelerators"]["hint"] == "did you mean 'accelerators'?"


@pytest.mark.parametrize("name", ["a\u0000b", "\ud800"])
def test_text_that_no_database_holds_is_refused(everywhere: Doors, name: str) -> None:
    escaped = '{"run": "x", "name": "a\\u0000b"}' if "\0" in name else '{"run": "x", "name": "\\ud800"}'
    answer = everywhere.owner.post("/v1/jobs", content=escaped, headers={"Content-Type": "application/json"})
    refused(answer, 422)


def test_pages_cover_everything_once(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    made = [good(acme.post("/v1/leases", json=TASK))["id"] for _ in range(7)]
    seen, after = [], None
    while True:
        page = good(acme.get("/v1/leases", params={"limit": 3} | ({"after": after} if after else {})))
        seen += [lease["id"] for lease in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize("after", ["xyz", "AAAA", "MTIz", "%%%"])
def test_a_cursor_that_we_did_not_give_is_refused(doors: Doors, after: str) -> None:
    assert refused(doors.owner.get("/v1/leases", params={"after": after}), 422)["field"] == "after"


def test_unknown_addresses_and_methods_are_problems_too(doors: Doors) -> None:
    refused(doors.owner.get("/v1/nothing"), 404)
    answer = doors.owner.patch("/v1/pools")
    refused(answer, 405)
    assert "GET" in answer.headers["allow"]


def test_every_answer_carries_the_name_of_its_request(doors: Doors) -> None:
    assert len({doors.owner.get("/v1/pools").headers["X-Request-Id"] for _ in range(3)}) == 3


def test_a_database_that_is_full_is_a_clear_503(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SQLITE_FULL: the database may not grow any more."""
    import shutil

    from doors import open_doors

    file = shutil.copy(sqlite_template, tmp_path / "full.db")
    database = Database(f"sqlite:///{file}")
    with open_doors(database, tmp_path / "data") as doors:
        acme = doors.tenant("acme")
        from sqlalchemy import event

        @event.listens_for(database._engine, "begin")
        def no_room(connection: Any) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite takes the present size as the least

        task = {**TASK, "run": "#" + "x" * 60_000}
        answers = [acme.post("/v1/leases", json=task) for _ in range(30)]
        full = [answer for answer in answers if answer.status_code == 503]
        assert full, [answer.status_code for answer in answers]
        problem = refused(full[-1], 503)
        assert "full" in problem["detail"] and "free some space" in problem["hint"]
        assert full[-1].headers["Retry-After"]
        granted = [answer for answer in answers if answer.status_code == 201]
        assert len(good(acme.get("/v1/leases"))["items"]) == len(granted)
    database.close()
