"""Models: what the owner adds, serves and removes. What follows from it is the work of the loop in `replicas.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sublet.app import tenants, weights
from sublet.app.complaints import meant
from sublet.app.forecasting import Forecaster
from sublet.app.replicas import Premises, asked_for, check_reachable, term_us
from sublet.app.requests import drafted, shop
from sublet.core.errors import Conflict, Invalid, NotFound
from sublet.core.ids import LeaseId, ReplicaId, TenantId
from sublet.core.model import OUTSIDE, Model, Replica, ReplicaEvent, ReplicaState, Serving, Tier, step_replica
from sublet.core.server_program import ServerProgram
from sublet.engines.protocol import Capabilities
from sublet.store import events, leases, pools
from sublet.store import models as store
from sublet.store import tenants as known_tenants
from sublet.store.database import Tx
from sublet.store.events import Entry

HOUSE = TenantId("models")
"""The tenant whose leases replicas are, unless another is named: made when it is first needed, without a spend limit."""
_GONE_SHOWN = 20
_OUTSIDE_SLOTS = 64
"""How much an outside address takes at once is not known; so much is sent to it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A model with everything that serves it, the youngest replicas first; `waits` says why leases wait."""

    model: Model
    servings: tuple[Serving, ...]
    replicas: tuple[Replica, ...]
    waits: Mapping[str, str]


def server_named(servers: Mapping[str, ServerProgram], name: str) -> ServerProgram:
    """The server program of that name; raises `Invalid` with the nearest one."""
    found = servers.get(name)
    if found is None:
        raise Invalid(f"there is no server program {name!r}", field="server", hint=meant(name, list(servers)))
    return found


def looked_at(servers: Mapping[str, ServerProgram], model: Model) -> Model:
    """The model with what a look at its weights found; raises what is wrong with its server, options or weights."""
    server = server_named(servers, model.server)
    for option in model.options:
        if option not in server.options:
            known = "; ".join(f"{name}: {said}" for name, said in server.options.items())
            raise Invalid(f"{server.name} has no option {option!r}", field="options", hint=known)
    looked = weights.look(model.source, server, checksum=model.checksum)
    length = model.context_length or looked.context_length
    if looked.context_length and length > looked.context_length:
        hint = f"{looked.context_length} at most"
        raise Invalid(f"{model.name} was made for {looked.context_length} tokens", field="context_length", hint=hint)
    return replace(model, path=looked.path, detail=looked.detail, context_length=length)


def add(tx: Tx, premises: Premises, model: Model) -> Model:
    """Add a model after a look at its weights; raises what is wrong with it."""
    made = looked_at(premises.servers, model)
    names = {model.name, *model.aliases}
    for other in store.everything(tx):
        taken = sorted(names & {other.name, *other.aliases})
        if taken and other.name != model.name:
            hint = "choose another; `sublet model list` shows names and aliases"
            raise Conflict(f"{taken[0]} is a name of the model {other.name}", field="aliases", hint=hint)
    store.insert_one(tx, made)
    data = {"model": made.name, "server": made.server, "source": made.source}
    events.append(tx, [Entry(made.created_us, "model.added", f"model {made.name} was added", data=data)])
    return made


def remove(tx: Tx, name: str, *, now_us: int) -> Model:
    """Forget a model that nobody serves any more."""
    model = store.get(tx, name)
    if store.servings_all(tx, model=model.name) or any(one.name.startswith(f"{name}:") for one in leases.serving(tx)):
        hint = f"`sublet model serve {name} --tier TIER --replicas 0` first, and wait until its replicas are gone"
        raise Conflict(f"{name} is being served", field="model", hint=hint)
    store.remove(tx, model.name)
    events.append(tx, [Entry(now_us, "model.removed", f"model {name} was removed", data={"model": name})])
    return model


def serve(
    tx: Tx,
    forecaster: Forecaster,
    premises: Premises,
    engine: Capabilities,
    wanted: Serving,
    *,
    secret: str = "",
    now_us: int,
) -> Serving | None:
    """Keep so many replicas of a model for a tier, none at all with a most of 0; raises what would keep a lease from coming."""
    model = store.get(tx, wanted.model)
    server = server_named(premises.servers, model.server)
    if wanted.replicas_max == 0:
        _stop(tx, model, wanted.tier, now_us=now_us)
        return None
    if wanted.replicas_min > wanted.replicas_max:
        raise Invalid("the least number of replicas is above the most", field="replicas_min", hint="write MIN..MAX")
    if server.runs:
        _could_run(tx, forecaster, engine, wanted, model, now_us=now_us)
    else:
        _point_at(tx, model, wanted.tier, secret, now_us=now_us)
    before = store.serving_of(tx, wanted.model, wanted.tier)
    kept = wanted if before is None else replace(wanted, asked_us=before.asked_us)
    store.put_serving(tx, kept)
    said = f"{model.name} is served for {wanted.tier} by {wanted.replicas_min} to {wanted.replicas_max} replicas"
    events.append(tx, [Entry(now_us, "model.served", said, data={"model": model.name, "tier": wanted.tier})])
    return kept


def show(tx: Tx, name: str) -> Shown:
    """A model with everything that serves it."""
    model = store.get(tx, name)
    replicas = store.replicas_of(tx, name)
    alive = [one for one in replicas if one.state is not ReplicaState.GONE]
    gone = [one for one in replicas if one.state is ReplicaState.GONE][:_GONE_SHOWN]
    waiting = {lease.id: lease for lease in leases.serving(tx) if lease.name.startswith(f"{name}:") and not lease.placement}
    waits = {str(lease.id): lease.reason or "waits for the next round" for lease in waiting.values()}
    return Shown(model, tuple(store.servings_all(tx, model=name)), (*alive, *gone), waits)


def _could_run(tx: Tx, forecaster: Forecaster, engine: Capabilities, wanted: Serving, model: Model, *, now_us: int) -> None:
    """Raise `Invalid` if no round could ever grant a replica's lease."""
    check_reachable(engine)
    if wanted.pool is None and not pools.everything(tx):
        raise Invalid("there is no pool to lease from", field="pool", hint="the owner adds one: `sublet pool set`")
    _ensure_tenant(tx, wanted, now_us=now_us)
    asked = asked_for(wanted, model)
    open_shop = shop(tx, forecaster, wanted.tenant, now_us=now_us)
    known = [row.pool for row in pools.everything(tx)]
    drafted(
        open_shop, replace(asked, term_us=term_us(known, wanted.pool, asked.lease_class)), lease=LeaseId("draft"), now_us=now_us
    )


def _ensure_tenant(tx: Tx, wanted: Serving, *, now_us: int) -> None:
    try:
        known_tenants.get(tx, wanted.tenant)
    except NotFound:
        if wanted.tenant != HOUSE:
            raise
        rows = pools.everything(tx)
        pool = next((row.pool for row in rows if row.pool.id == wanted.pool), rows[0].pool)
        name = "Models that are served"
        tenants.add(tx, tenant=HOUSE, name=name, currency=pool.currency, limit_micro=None, now_us=now_us)


def _point_at(tx: Tx, model: Model, tier: Tier, secret: str, *, now_us: int) -> None:
    """Enter the outside address as the replica of a tier; once it has answered it takes requests."""
    name = outside_name(model, tier)
    found = store.replica(tx, name)
    site = model.sites[0] if model.sites else OUTSIDE
    made = Replica(name, model.name, tier, model.source.rstrip("/"), secret, site, now_us, slots=_OUTSIDE_SLOTS)
    if found is None:
        store.insert_replicas(tx, [made])
    else:
        store.save_replica(tx, found, made)


def outside_name(model: Model, tier: Tier) -> ReplicaId:
    """The replica of an outside address."""
    return ReplicaId(f"{model.name}:{tier}@outside")


def _stop(tx: Tx, model: Model, tier: Tier, *, now_us: int) -> None:
    """Keep none any more: the loop drains and gives back those that are there; an outside address is left at once."""
    if store.serving_of(tx, model.name, tier) is None:
        hint = f"`sublet model show {model.name}` shows its tiers"
        raise NotFound(f"{model.name} is not served for {tier}", field="tier", hint=hint)
    store.drop_serving(tx, model.name, tier)
    found = store.replica(tx, outside_name(model, tier))
    if found is not None and found.state is not ReplicaState.GONE:
        store.save_replica(tx, found, step_replica(found, ReplicaEvent.END, at_us=now_us))
    said = f"{model.name} is no longer served for {tier}"
    events.append(tx, [Entry(now_us, "model.unserved", said, data={"model": model.name, "tier": tier})])
