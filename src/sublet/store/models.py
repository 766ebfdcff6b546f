"""Models, how many replicas are kept of each, and the replicas."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from sublet.core.errors import Conflict, NotFound
from sublet.core.ids import LeaseId, ModelName, ReplicaId
from sublet.core.model import Model, Replica, ReplicaState, Serving, Tier, TokenPrices
from sublet.store.bulk import insert_new
from sublet.store.rows import plain, row_of
from sublet.store.schema_tokens import models, replicas, servings

_PRICES = ("input_micro", "cached_micro", "output_micro")


def insert_one(tx: Connection, model: Model) -> None:
    """Add a model, or raise `Conflict` if its name is taken."""
    try:
        with tx.begin_nested():
            tx.execute(insert(models).values(_model_row(model)))
    except IntegrityError as error:
        hint = "choose another name, or remove it first; `sublet model list` lists them"
        raise Conflict(f"there is a model {model.name} already", field="name", hint=hint) from error


def save(tx: Connection, model: Model) -> None:
    """Write what has changed of a model."""
    tx.execute(update(models).where(models.c.name == model.name).values(_model_row(model)))


def get(tx: Connection, name: str) -> Model:
    """One model, by its name."""
    row = tx.execute(select(models).where(models.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"there is no model {name}", field="model", hint="`sublet model list` lists them")
    return _model_of(row)


def everything(tx: Connection) -> list[Model]:
    """All models, by name."""
    return [_model_of(row) for row in tx.execute(select(models).order_by(models.c.name))]


def remove(tx: Connection, name: ModelName) -> None:
    """Forget a model, how it was served and its replicas that are gone."""
    tx.execute(delete(replicas).where(replicas.c.model == name))
    tx.execute(delete(servings).where(servings.c.model == name))
    tx.execute(delete(models).where(models.c.name == name))


def put_serving(tx: Connection, serving: Serving) -> None:
    """Say how many replicas of a model are kept for a tier."""
    row = row_of(serving)
    mine = (servings.c.model == serving.model) & (servings.c.tier == serving.tier)
    if tx.execute(update(servings).where(mine).values(row)).rowcount == 0:
        tx.execute(insert(servings).values(row))


def serving_of(tx: Connection, model: str, tier: Tier) -> Serving | None:
    """How a model is served for a tier; None: it is not."""
    mine = (servings.c.model == model) & (servings.c.tier == tier)
    row = tx.execute(select(servings).where(mine)).one_or_none()
    return None if row is None else _serving_of(row)


def servings_all(tx: Connection, *, model: str | None = None) -> list[Serving]:
    """How models are served, one row a model and tier."""
    query = select(servings).order_by(servings.c.model, servings.c.tier)
    return [_serving_of(row) for row in tx.execute(query if model is None else query.where(servings.c.model == model))]


def drop_serving(tx: Connection, model: str, tier: Tier) -> None:
    """Keep no replicas of a model for a tier any more."""
    tx.execute(delete(servings).where((servings.c.model == model) & (servings.c.tier == tier)))


def note_asked(tx: Connection, model: str, tier: Tier, *, at_us: int) -> None:
    """A caller found no replica that is ready: the loop that keeps replicas starts one where none was wanted."""
    mine = (servings.c.model == model) & (servings.c.tier == tier) & (servings.c.asked_us < at_us)
    tx.execute(update(servings).where(mine).values(asked_us=at_us))


def insert_replicas(tx: Connection, new: Iterable[Replica]) -> None:
    """Add replicas; one that is there already stays as it is."""
    insert_new(tx, replicas, [row_of(replica) for replica in new], key=[replicas.c.id])


def save_replica(tx: Connection, before: Replica, after: Replica) -> bool:
    """Write a replica's step; False if somebody else has stepped it since it was read."""
    mine = (replicas.c.id == before.id) & (replicas.c.state == before.state)
    return tx.execute(update(replicas).where(mine).values(row_of(after))).rowcount == 1


def replica(tx: Connection, name: ReplicaId) -> Replica | None:
    """One replica; None: there is none of this name."""
    row = tx.execute(select(replicas).where(replicas.c.id == name)).one_or_none()
    return None if row is None else _replica_of(row)


def living(tx: Connection) -> list[Replica]:
    """All replicas that are not gone, by id: what the request path chooses from."""
    query = select(replicas).where(replicas.c.state != ReplicaState.GONE).order_by(replicas.c.id)
    return [_replica_of(row) for row in tx.execute(query)]


def replicas_of(tx: Connection, model: str, *, limit: int = 100) -> list[Replica]:
    """The replicas of a model, the youngest first, with those that are gone."""
    query = select(replicas).where(replicas.c.model == model).order_by(replicas.c.since_us.desc(), replicas.c.id.desc())
    return [_replica_of(row) for row in tx.execute(query.limit(limit))]


def purge(tx: Connection, *, before_us: int) -> None:
    """Forget replicas that were gone before an instant."""
    tx.execute(delete(replicas).where((replicas.c.state == ReplicaState.GONE) & (replicas.c.since_us < before_us)))


def _model_row(model: Model) -> dict[str, Any]:
    flat = {name: value for name, value in row_of(model).items() if name != "prices"}
    texts = {name: json.dumps(value) for name, value in (("aliases", model.aliases), ("sites", model.sites))}
    return {**flat, **asdict(model.prices), **texts, "options": json.dumps(dict(model.options))}


def _model_of(row: Any) -> Model:
    fields = plain(row)
    prices = TokenPrices(**{name: fields.pop(name) for name in _PRICES})
    for name in ("aliases", "sites"):
        fields[name] = tuple(json.loads(fields[name]))
    return Model(**fields | {"options": json.loads(fields["options"]), "prices": prices})


def _serving_of(row: Any) -> Serving:
    fields = plain(row)
    return Serving(**fields | {"tier": Tier(fields["tier"])})


def _replica_of(row: Any) -> Replica:
    fields = plain(row)
    lease = None if fields["lease"] is None else LeaseId(fields["lease"])
    return Replica(**fields | {"tier": Tier(fields["tier"]), "state": ReplicaState(fields["state"]), "lease": lease})
