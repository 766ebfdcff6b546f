"""The journal's stream, and what a running workload is told: metadata and webhooks."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from doors import CHEAP_TERMS, TASK, Doors, good, refused
from sublet.app import metadata, webhooks
from sublet.app.metrics import Metrics
from sublet.core.ids import RunId
from sublet.store import webhooks as outbox
from sublet.store.database import Database
from sublet.store.webhooks import Webhook

SSE = {"Accept": "text/event-stream"}


def read(client: httpx.Client, count: int, **more: Any) -> list[dict[str, Any]]:
    """The first `count` events of a stream."""
    found = []
    with client.stream("GET", "/v1/events/stream", timeout=20, **more) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
            if len(found) == count:
                break
    return found


def test_a_stream_gives_what_happened_and_then_what_happens(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    later = threading.Timer(0.5, lambda: good(acme.post("/v1/leases", json=TASK)))
    later.start()
    added, asked = read(acme, 2, params={"after": 0}, headers=SSE)
    later.join()
    assert (added["kind"], asked["kind"]) == ("tenant.added", "lease.requested") and added["seq"] < asked["seq"]


def test_a_reader_that_comes_back_misses_nothing_and_repeats_nothing(doors: Doors) -> None:
    acme = doors.tenant("acme")
    for _ in range(4):
        good(acme.post("/v1/leases", json=TASK))
    first = read(acme, 2, params={"after": 0}, headers=SSE)
    rest = read(acme, 3, headers=SSE | {"Last-Event-ID": str(first[-1]["seq"])})
    page = good(acme.get("/v1/events"))["items"]
    assert [event["seq"] for event in first + rest] == [event["seq"] for event in page]


def test_a_reader_may_begin_with_what_happened_last(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    for _ in range(3):
        good(acme.post("/v1/leases", json=TASK))
    everywhere.tenant("other")
    mine = good(acme.get("/v1/events"))["items"]
    assert [event["seq"] for event in read(acme, 2, params={"back": 2}, headers=SSE)] == [event["seq"] for event in mine[-2:]]
    assert len(read(acme, len(mine), params={"back": 500}, headers=SSE)) == len(mine)


def test_a_reader_that_does_not_follow_gets_what_is_there(doors: Doors) -> None:
    doors.tenant("acme")
    text = doors.owner.get("/v1/events/stream", params={"after": 0}).text
    assert text.startswith("retry:") and "tenant.added" in text


def test_a_quiet_stream_shows_that_it_lives(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sublet.api.events.HEARTBEAT_S", 0.2)
    with doors.owner.stream("GET", "/v1/events/stream", headers=SSE, timeout=10) as answer:
        assert next(line for line in answer.iter_lines() if line.startswith(":")) == ": still here"


def test_streams_are_bounded(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sublet.api.events.POLL_S", 0.05)
    doors.plane.settings.__dict__["streams_max"] = 1
    with doors.owner.stream("GET", "/v1/events/stream", headers=SSE, timeout=10) as answer:
        lines = answer.iter_lines()  # kept: httpx ends the stream with its iterator
        assert next(lines)
        refused(doors.owner.get("/v1/events/stream"), 503)


def noticed(doors: Doors, task: dict[str, Any] = TASK) -> tuple[str, str]:
    """A lease that was given notice: its id, and the path of its metadata."""
    acme = doors.tenant("acme")
    good(doors.owner.put("/v1/pools/h100", json=CHEAP_TERMS))
    lease = good(acme.post("/v1/leases", json=task))["id"]
    doors.tick(3)
    address = doors.plane.metadata.env(RunId(f"{lease}.1"))["SUBLET_METADATA_URL"]
    assert doors.nobody.get(f"{address}/latest/meta-data/spot/instance-action").status_code == 404
    good(doors.owner.post("/v1/reclaim", json={"pool": "h100", "gpus": 4, "nodes": 2}))
    doors.tick()
    return lease, address


def test_a_notice_has_the_shape_that_agents_for_aws_know(doors: Doors) -> None:
    lease, address = noticed(doors)
    deadline = good(doors.owner.get(f"/v1/leases/{lease}"))["deadline_us"]
    token = doors.nobody.put(f"{address}/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    assert token.status_code == 200 and token.text
    told = good(doors.nobody.get(f"{address}/latest/meta-data/spot/instance-action"))
    assert told == {"action": "terminate", "time": metadata.iso(deadline)}
    assert doors.nobody.get(f"{address}/latest/meta-data/spot/termination-time").text == told["time"]
    assert doors.nobody.get(f"{address}/latest/meta-data/instance-id").text == f"{lease}.1"
    assert doors.nobody.get(f"{address}/latest/meta-data/events/recommendations/rebalance").status_code == 404


def test_the_metadata_of_others_cannot_be_guessed(doors: Doors) -> None:
    lease, address = noticed(doors)
    token = address.rpartition("/")[2]
    for guess in (f"{lease}.1", f"{lease}.1~{'0' * 40}", token.replace(".1~", ".2~"), token[:-1] + "z"):
        answer = doors.nobody.get(f"/metadata/{guess}/latest/meta-data/spot/instance-action")
        assert answer.status_code in {404, 422}


class Receiver:
    """A tenant's webhook receiver, on a real socket."""

    def __init__(self, *, answers: list[int]) -> None:
        self.answers = answers
        self.got: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(outer.answers.pop(0) if outer.answers else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@contextmanager
def receiver(*answers: int) -> Iterator[Receiver]:
    made = Receiver(answers=list(answers))
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_a_notice_reaches_the_webhook_once_it_answers(doors: Doors) -> None:
    metrics = Metrics()
    with receiver(500, 200) as hook, httpx.Client(trust_env=False) as client:
        lease, _ = noticed(doors, TASK | {"lease": {"webhook": hook.url}})
        now = doors.plane.clock.now_us()
        assert webhooks.deliver(doors.plane.database, now_us=now, client=client, metrics=metrics) == 1
        assert webhooks.deliver(doors.plane.database, now_us=now, client=client, metrics=metrics) == 0
        assert webhooks.deliver(doors.plane.database, now_us=now + 2_000_000, client=client, metrics=metrics) == 1
        assert webhooks.deliver(doors.plane.database, now_us=now + 10**12, client=client, metrics=metrics) == 0
    (first, body), (second, _) = hook.got
    assert first == second and body["lease"] == lease and body["action"] == "terminate"
    text = metrics.text(with_money=False).decode()
    assert 'outcome="retried"} 1.0' in text and 'outcome="delivered"} 1.0' in text


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x", "http://127.0.0.1:1/", "http://[bad", "https:///"])
def test_a_receiver_that_cannot_be_reached_is_given_up_in_the_end(database: Database, url: str) -> None:
    now, metrics = 1_000_000_000, Metrics()
    with database.write() as tx:
        outbox.put_all(tx, [Webhook("lease-a:1:5", url, "{}", now)])
        outbox.put_all(tx, [Webhook("lease-a:1:5", url, "{}", now)])
    tries = 0
    with httpx.Client(trust_env=False) as client:
        while webhooks.deliver(database, now_us=now, client=client, metrics=metrics):
            tries, now = tries + 1, now + 3_600_000_000
    assert tries == (webhooks.TRIES_MAX if url == "http://127.0.0.1:1/" else 1)
    assert 'outcome="abandoned"} 1.0' in metrics.text(with_money=False).decode()
