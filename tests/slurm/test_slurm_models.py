"""Models served from the nodes of a real cluster: real llama.cpp, behind the real model API."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from model_house import ModelHouse, answered, house
from model_shop import Shop, shop, until

from slurm_cluster import Cluster
from sublet.app import tenants
from sublet.core.ids import TenantId
from sublet.core.model import ReplicaState
from sublet.engines.slurm.make import make
from sublet.engines.slurm.site import Cluster as Site
from sublet.store import leases, models

pytest.importorskip("xllamacpp", reason="the embedded llama.cpp is not installed: pip install 'sublet[models]'")
ASKED: dict[str, Any] = {"model": "tiny", "prompt": "os.path.join", "max_tokens": 120, "temperature": 0}
METHOD = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 1}}}


@pytest.fixture
def nodes(eight_nodes: Cluster, on: Callable[..., Site], sqlite_template: Path, tmp_path: Path) -> Iterator[ModelHouse]:
    (tmp_path / "sublet.db").write_bytes(sqlite_template.read_bytes())
    eight_nodes.preempts(on=False)
    site = on(eight_nodes, rest=True, programs=str(Path(sys.prefix, "bin")))
    url = f"sqlite:///{tmp_path / 'sublet.db'}"
    with house(tmp_path, url, engine=lambda: make(site), slurm_shared=site.shared) as made:
        yield made
        eight_nodes.cancel_all()


@pytest.fixture
def door(nodes: ModelHouse) -> Iterator[Shop]:
    nodes.add()
    with nodes.database.write() as tx:
        tenants.add(tx, tenant=TenantId("ada"), name="Ada", currency="USD", limit_micro=None, now_us=nodes.now)
    with shop(nodes) as made:
        yield made


def test_answers_go_on_while_the_owner_takes_a_replica_s_node(door: Shop, nodes: ModelHouse, eight_nodes: Cluster) -> None:
    """Seven whole nodes for the owner: six are free, so one of two replicas has to go, and no caller may notice."""
    nodes.serve(2, 2, gpus=8)
    until(nodes, lambda: len(nodes.in_state(ReplicaState.READY)) == 2)
    before = {one.id: one for one in nodes.in_state(ReplicaState.READY)}
    assert all(one.url.startswith("http://127.0.0.1:") for one in before.values()), "as Slurm reaches its nodes"
    undisturbed = answered(next(iter(before.values())), ASKED["prompt"], max_tokens=120)["choices"][0]["text"]
    client, texts, over = door.client(), [], threading.Event()

    def ask() -> None:
        while not over.is_set():
            pieces = client.completions.create(**ASKED, stream=True)
            texts.append("".join(piece.choices[0].text for piece in pieces if piece.choices))

    callers = [threading.Thread(target=ask) for _ in range(2)]
    for caller in callers:
        caller.start()
    job = eight_nodes.submit("sleep 1", "--gres=gpu:8", "-N7")
    until(nodes, lambda: eight_nodes.state(job) in {"RUNNING", "COMPLETED"})
    until(nodes, lambda: len(set(before) & {one.id for one in nodes.in_state(ReplicaState.READY)}) == 1)
    over.set()
    for caller in callers:
        caller.join()
    assert texts and set(texts) == {undisturbed}
    until(nodes, lambda: len(nodes.in_state(ReplicaState.READY)) == 2)


def test_a_replica_listens_on_its_node_for_those_who_have_its_key(nodes: ModelHouse) -> None:
    nodes.add()
    nodes.serve(gpus=8)
    (replica,) = nodes.ready()
    assert replica.lease is not None
    with nodes.database.read() as tx:
        ((node, _),) = leases.get(tx, replica.lease).placement
    assert nodes.plane.engine.host_of(node) == "127.0.0.1"
    stranger = httpx.post(f"{replica.url}/completions", json=ASKED, trust_env=False)
    assert stranger.status_code == 401


def test_a_model_is_tuned_on_a_node(door: Shop, nodes: ModelHouse) -> None:
    line = {
        "messages": [{"role": "user", "content": "What is a lease?"}, {"role": "assistant", "content": "GPUs for a while."}]
    }
    client, shared = door.client(), nodes.settings["slurm_shared"]
    file = client.files.create(file=("words.jsonl", f"{json.dumps(line)}\n".encode() * 4), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, method=METHOD)
    assert list((shared / "tunings").glob("*")), "where the nodes see it"
    ended = {"succeeded", "failed", "cancelled"}
    done = until(nodes, lambda: found if (found := client.fine_tuning.jobs.retrieve(job.id)).status in ended else None)
    assert (done.status, done.error) == ("succeeded", None)
    with nodes.database.read() as tx:
        assert Path(models.get(tx, done.fine_tuned_model).path).is_relative_to(shared)
