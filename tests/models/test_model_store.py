"""Models, servings and replicas come back as they were written."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sublet.core.errors import Conflict, IllegalStep, NotFound
from sublet.core.ids import LeaseId, ModelName, PoolId, ReplicaId, TenantId
from sublet.core.model import (
    REPLICA_NEXT,
    Model,
    Replica,
    ReplicaEvent,
    ReplicaState,
    Serving,
    Tier,
    TokenPrices,
    step_replica,
)
from sublet.store import models, tenants
from sublet.store.database import Database
from sublet.store.tenants import Tenant

LLAMA = Model(
    name=ModelName("llama"),
    server="llamacpp",
    source="builtin",
    created_us=7,
    checksum="ab" * 32,
    context_length=2_048,
    aliases=("gpt-4o-mini", "small"),
    prices=TokenPrices(100_000, 50_000, 400_000),
    options={"slots": 4, "flash": True, "dtype": "float32"},
    sites=("oslo", "bergen"),
    tenant=TenantId("models"),
)
SERVED = Serving(ModelName("llama"), Tier.FLEX, TenantId("models"), 1, 4, pool=PoolId("cpu"), bid_micro=9)
RUN = Replica(ReplicaId("l1.1"), ModelName("llama"), Tier.FLEX, "http://127.0.0.1:9/v1", "s", "oslo", 5, lease=LeaseId("l1"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """With the tenant to whom replicas belong."""
    made = Database(f"sqlite:///{tmp_path / 'models.db'}")
    made.migrate()
    with made.write() as tx:
        tenants.insert_one(tx, Tenant(TenantId("models"), "Models", "USD", 0))
    yield made
    made.close()


def test_all_come_back_as_they_were_written(database: Database) -> None:
    outside = replace(RUN, id=ReplicaId("llama@outside"), lease=None, state=ReplicaState.READY, secret="")
    with database.write() as tx:
        models.insert_one(tx, LLAMA)
        models.put_serving(tx, SERVED)
        models.insert_replicas(tx, [RUN, outside])
        models.insert_replicas(tx, [replace(RUN, url="http://elsewhere")])  # an order that is given again makes no second one
    with database.write() as tx:
        assert models.get(tx, "llama") == LLAMA and models.everything(tx) == [LLAMA]
        assert models.serving_of(tx, "llama", Tier.FLEX) == SERVED and models.servings_all(tx) == [SERVED]
        assert models.living(tx) == [RUN, outside]
        assert models.serving_of(tx, "llama", Tier.PRIORITY) is None
        with pytest.raises(Conflict, match="there is a model llama already"):
            models.insert_one(tx, LLAMA)
        with pytest.raises(NotFound, match="there is no model gpt"):
            models.get(tx, "gpt")
        models.note_asked(tx, "llama", Tier.FLEX, at_us=50)
        models.note_asked(tx, "llama", Tier.FLEX, at_us=40)
        asked = models.serving_of(tx, "llama", Tier.FLEX)
        assert asked is not None and asked.asked_us == 50
        models.remove(tx, LLAMA.name)
        assert models.everything(tx) == [] == models.living(tx) and models.servings_all(tx) == []


def test_of_two_who_step_a_replica_one_does(database: Database) -> None:
    with database.write() as tx:
        models.insert_replicas(tx, [RUN])
        draining = step_replica(RUN, ReplicaEvent.DRAIN, at_us=9)
        assert models.save_replica(tx, RUN, draining)
        assert not models.save_replica(tx, RUN, step_replica(RUN, ReplicaEvent.ANSWER, at_us=9))
        assert models.living(tx) == [draining]
        models.save_replica(tx, draining, step_replica(draining, ReplicaEvent.END, at_us=10))
        assert models.living(tx) == []
        models.purge(tx, before_us=10)
        assert [one.state for one in models.replicas_of(tx, "llama")] == [ReplicaState.GONE]
        models.purge(tx, before_us=11)
        assert models.replicas_of(tx, "llama") == []


def test_what_drains_never_comes_back() -> None:
    """A reclaim is final: whatever a probe says later, no new request goes there."""
    reached, waiting = set[ReplicaState](), [ReplicaState.DRAINING]
    while waiting:
        state = waiting.pop()
        reached.add(state)
        waiting += [after for (before, _), after in REPLICA_NEXT.items() if before is state and after not in reached]
    assert reached == {ReplicaState.DRAINING, ReplicaState.GONE}
    with pytest.raises(IllegalStep, match="is draining: it cannot take answer"):
        step_replica(replace(RUN, state=ReplicaState.DRAINING), ReplicaEvent.ANSWER, at_us=9)


def test_a_model_answers_to_its_aliases() -> None:
    assert LLAMA.answers_to("llama") and LLAMA.answers_to("small") and not LLAMA.answers_to("gpt-4o")
    assert RUN.root == "http://127.0.0.1:9"
