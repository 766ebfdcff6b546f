"""Replicas as they live: real llama.cpp on real leases of CPU slots, reclaimed, killed, and taken up again."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from model_house import TINY, ModelHouse, answered, house

from sublet.app import models as serving
from sublet.core.errors import Conflict
from sublet.core.ids import LeaseId, ModelName, RunId, TenantId
from sublet.core.lease import Cause, State
from sublet.core.model import Model, Replica, ReplicaState, Serving, Tier
from sublet.core.owner import JobState
from sublet.engines.local import processes
from sublet.store import events, jobs, leases, models

pytest.importorskip("xllamacpp", reason="the embedded llama.cpp is not installed: pip install 'sublet[models]'")
PROMPT = "<|user|>What does os.path.join do?</s><|assistant|>"


@pytest.fixture
def cpu(tmp_path: Path, sqlite_template: Path) -> Iterator[ModelHouse]:
    url = f"sqlite:///{tmp_path / 'sublet.db'}"
    (tmp_path / "sublet.db").write_bytes(sqlite_template.read_bytes())
    tmp_path.chmod(0o711)
    with house(tmp_path, url) as made:
        yield made


def server_pid(replica: Replica) -> int:
    """The server process of a replica, by its port: what runs in a sandbox is seen from outside."""
    port = replica.url.rpartition(":")[2].partition("/")[0]
    for path in Path("/proc").glob("[0-9]*"):
        words = (path / "cmdline").read_bytes().split(b"\0") if (path / "cmdline").exists() else []
        if b"sublet.gateway.servers.llama_server" in words[:5] and port.encode() in words:
            return int(path.name)
    raise AssertionError("its server does not run")


def test_a_served_model_answers_only_to_its_key(cpu: ModelHouse) -> None:
    cpu.add()
    cpu.serve()
    (replica,) = cpu.ready()
    first = answered(replica, PROMPT)
    assert first["usage"]["completion_tokens"] > 5 and first == {**answered(replica, PROMPT), **changing(first)}
    assert replica.lease is not None and replica.id == f"{replica.lease}.1" and replica.site == "local" and replica.slots == 4
    nobody = httpx.post(f"{replica.url}/completions", json={"prompt": PROMPT}, trust_env=False)
    assert nobody.status_code == 401
    with cpu.database.read() as tx:
        lease = leases.get(tx, replica.lease)
        assert (lease.state, lease.name, lease.tenant) == (State.ACTIVE, "tiny:flex", "models")
        with pytest.raises(Conflict, match="tiny is being served"):
            serving.remove(tx, TINY, now_us=cpu.now)


def changing(answer: dict[str, object]) -> dict[str, object]:
    """What differs between two answers to the same question."""
    return {name: answer[name] for name in ("id", "created", "timings", "usage") if name in answer}


def test_a_reclaim_drains_a_replica_with_its_notice_and_its_gpus_come_back_early(cpu: ModelHouse) -> None:
    """Two slots, two replicas; the owner wants one. The notice is 20 s long, yet he waits only until the replica is idle."""
    cpu.add()
    cpu.serve(2, 2)
    before = {one.id for one in cpu.ready(2)}
    job = cpu.submit(1)

    def noticed() -> list[Replica]:
        with cpu.database.read() as tx:  # one state of the database: never a noticed lease with a replica that takes requests
            for lease in leases.serving(tx):
                replica = next((one for one in models.living(tx) if one.lease == lease.id), None)
                assert not (lease.state is State.NOTICED and replica is not None and replica.state is ReplicaState.READY)
        return cpu.in_state(ReplicaState.DRAINING)

    (draining,) = cpu.until(noticed)
    assert answered(draining, PROMPT)["usage"]["completion_tokens"] > 5, "what runs there goes on until the end"

    def owner_runs() -> bool:
        with cpu.database.read() as tx:
            return jobs.get(tx, job).state in {JobState.RUNNING, JobState.HANDOVER, JobState.ENDED}

    cpu.until(owner_runs)
    assert draining.lease is not None
    with cpu.database.read() as tx:
        ended = leases.get(tx, draining.lease)
        wanted = [one for one in events.page(tx, limit=1_000) if one.kind == "replica.wanted"]
    assert ended.cause is Cause.RECLAIMED and ended.stopped_us is not None and ended.noticed_us is not None
    assert ended.stopped_us - ended.noticed_us < 15_000_000, "given back before its notice ran out"
    assert len(wanted) == 3, "the next replica was asked for"
    later = cpu.ready(2)
    assert {one.id for one in later} != before and {one.id for one in later} & before


def test_a_server_that_dies_is_the_next_attempt(cpu: ModelHouse) -> None:
    cpu.add()
    cpu.serve()
    (first,) = cpu.ready()
    cpu.until(lambda: b"ready after" in b"".join(cpu.plane.engine.logs(RunId(first.id))))  # its supervisor has seen it, too
    os.kill(server_pid(first), signal.SIGKILL)
    second = cpu.until(lambda: next((one for one in cpu.in_state(ReplicaState.READY) if one.id != first.id), None))
    assert (second.lease, second.id) == (first.lease, f"{first.lease}.2")
    assert answered(second, PROMPT)["choices"]


def test_a_restart_takes_replicas_up_again(cpu: ModelHouse) -> None:
    cpu.add()
    cpu.serve()
    before = cpu.ready()
    pid = server_pid(before[0])
    cpu.reopen()
    for _ in range(3):
        cpu.pass_time()
    assert cpu.ready() == before and processes.look(pid) is not None
    cpu.serve(0, 0)
    cpu.until(lambda: not cpu.replicas())
    with cpu.database.write() as tx:
        lease = leases.get(tx, LeaseId(str(before[0].lease)))
        assert lease.cause is Cause.RELEASED
    cpu.until(lambda: not cpu.plane.mirror.runs)
    with cpu.database.write() as tx:
        serving.remove(tx, TINY, now_us=cpu.now)
        assert models.everything(tx) == []


def test_a_server_that_cannot_start_is_not_tried_for_ever(cpu: ModelHouse) -> None:
    cpu.add(options={"program": "/bin/false"})
    cpu.serve()

    def failed() -> Serving | None:
        with cpu.database.read() as tx:
            found = models.serving_of(tx, TINY, Tier.FLEX)
        return found if found is not None and found.failures else None

    served = cpu.until(failed)
    assert (
        served.retry_us > cpu.now
        and "a server ended before it was ready" in served.detail
        and "sublet logs lease-" in served.detail
    )
    for _ in range(5):
        cpu.pass_time()
    with cpu.database.read() as tx:
        assert len([one for one in events.page(tx, limit=1_000) if one.kind == "replica.wanted"]) == 1


def test_an_outside_address_takes_requests_once_it_has_answered(cpu: ModelHouse) -> None:
    """Outside, here: a replica of our own, asked as a stranger would ask it."""
    cpu.add()
    cpu.serve()
    (own,) = cpu.ready()
    outside = Model(ModelName("far"), "url", own.url, cpu.now, sites=("oslo",))
    wanted = Serving(outside.name, Tier.DEFAULT, TenantId("models"), 1, 1)
    for secret, state in (("wrong", ReplicaState.STARTING), (own.secret, ReplicaState.READY)):
        with cpu.database.write() as tx:
            if secret == "wrong":
                serving.add(tx, cpu.plane.premises, outside)
            plane = cpu.plane
            serving.serve(
                tx, plane.forecaster, plane.premises, plane.engine.capabilities, wanted, secret=secret, now_us=cpu.now
            )
        cpu.pass_time()
        far = next(one for one in cpu.replicas() if one.model == "far")
        assert (far.state, far.lease, far.site, far.url) == (state, None, "oslo", own.url)
    off = replace(wanted, replicas_min=0, replicas_max=0)
    with cpu.database.write() as tx:
        serving.serve(tx, plane.forecaster, plane.premises, plane.engine.capabilities, off, now_us=cpu.now)
    assert [one.model for one in cpu.replicas()] == ["tiny"]
