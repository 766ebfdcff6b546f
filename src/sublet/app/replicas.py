"""The loop that keeps replicas: it asks those that run, asks for those that lack, and lets go of those that are too many.

Like every loop it takes no input and may be repeated: leases, replicas and wishes are in the database. Leases are asked for
as any tenant asks; a round grants them from what is lendable (decision 0029).
"""

import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from sublet.app import leases as leasing
from sublet.app import weights
from sublet.app.forecasting import Forecaster
from sublet.app.lost_gateways import LostGateways
from sublet.app.own_programs import own_program
from sublet.app.probing import Probed, Prober
from sublet.app.requests import drafted, shop
from sublet.app.tasks import LeaseRequest
from sublet.app.tuning_runs import TuningRuns
from sublet.core import scaling
from sublet.core.errors import Invalid, SubletError, Unavailable
from sublet.core.ids import LeaseId, ModelName, PoolId, ReplicaId
from sublet.core.lease import WAITING, Access, Lease, LeaseClass, State
from sublet.core.lifecycle import goes_on
from sublet.core.model import (
    TIER_CLASS,
    Model,
    Replica,
    ReplicaEvent,
    ReplicaState,
    Serving,
    Tier,
    step_replica,
)
from sublet.core.residency import Label
from sublet.core.scaling import Kept
from sublet.core.server_program import Address, Hardware, ServerProgram
from sublet.core.terms import Pool
from sublet.core.units import MINUTE_US, SECOND_US
from sublet.core.workload import Endpoint, Workload
from sublet.engines.protocol import Capabilities, Engine
from sublet.store import events, leases, models, pools, workloads
from sublet.store.database import Database, Tx
from sublet.store.events import Entry

SETTLE_US = 2 * SECOND_US
"""A replica that drains is given back once it is idle, not before this after its notice: callers look twice a second."""
DRAIN_US = MINUTE_US
"""One that we drain ourselves is given back then, whatever it still works on."""
MISSES = 3
"""Silent so often in a row, a replica that was ready gets no more requests."""
SILENT_US = 30 * SECOND_US
START_US = 30 * MINUTE_US
KEEP_US = 60 * MINUTE_US
_GIVEN_BACK = frozenset({State.STOPPING, State.HANDOVER})
_ENDING = _GIVEN_BACK | {State.NOTICED}
_SUPERVISE = "sublet.gateway.servers.supervise"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Premises:
    """What an installation has for its models."""

    servers: Mapping[str, ServerProgram]
    ports: range
    weights: Path  # where what was fetched lies
    tunings: Path  # where fine-tuning jobs' copies of their files lie


class Keeper:
    """One pass over all models is a `tick`."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        now_us: Callable[[], int],
        premises: Premises,
        *,
        forecaster: Forecaster,
        wake: Callable[[], None],
    ) -> None:
        """`wake` lets the other loops look at what was asked for or given back."""
        self._database, self._engine, self._now_us, self._premises = database, engine, now_us, premises
        self._forecaster, self._wake = forecaster, wake
        self._prober = Prober(premises.servers, engine.logs)
        self._fetcher = weights.Fetcher(database, premises.weights)
        self._tunings = TuningRuns(database, engine, forecaster, folder=premises.weights, data=premises.tunings, wake=wake)
        self._lost = LostGateways(database)
        self._misses: dict[ReplicaId, int] = {}

    def close(self) -> None:
        """End what it began."""
        self._prober.close()
        self._fetcher.close()

    def settle(self) -> None:
        """Wait until what was begun with weights is done."""
        self._fetcher.settle()

    def tick(self) -> bool:
        """One pass; whether something is on its way, so that the next one should come soon."""
        self._lost.tick(self._now_us())
        with self._database.read() as tx:
            known = {model.name: model for model in models.everything(tx)}
            replicas = models.living(tx)
        if not known:
            return False
        self._fetcher.begin(known.values())
        self._note(replicas, known)
        moving = self._tunings.tick(self._now_us())
        with self._database.read() as tx:
            servings = models.servings_all(tx)
            kept = _kept(tx)
        for serving in servings:
            model = known.get(serving.model)
            if model is not None and self._premises.servers[model.server].runs:
                moving |= self._keep(serving, model, kept.get((serving.model, serving.tier), []))
        self._let_go(kept, {(one.model, one.tier) for one in servings})
        with self._database.write() as tx:
            models.purge(tx, before_us=self._now_us() - KEEP_US)
        return moving or any(one.state in {ReplicaState.STARTING, ReplicaState.DRAINING} for one in replicas)

    def _note(self, replicas: Sequence[Replica], known: Mapping[ModelName, Model]) -> None:
        """Ask all replicas, and write what is news."""
        meant = [replica for replica in replicas if replica.model in known]
        asked = [self._addressed(replica) for replica in meant]
        answers = self._prober.ask([(replica, known[replica.model]) for replica in asked])
        now = self._now_us()
        news = [
            (before, after)
            for before, replica, probed in zip(meant, asked, answers, strict=True)
            if (after := self._after(replica, probed, now)) != before
        ]
        if not news:
            return
        with self._database.write() as tx:
            for before, after in news:
                if models.save_replica(tx, before, after) and after.state is not before.state:
                    self._tell(tx, before, after)

    def _addressed(self, replica: Replica) -> Replica:
        """The replica where its node is reached, once it has one and the engine knows."""
        if replica.is_addressed or replica.lease is None:
            return replica
        with self._database.read() as tx:
            lease = leases.get(tx, replica.lease)
        if ReplicaId(lease.run) != replica.id or not lease.placement:
            return replica
        try:
            return replica.at(self._engine.host_of(lease.placement[0][0]))
        except SubletError as error:
            return replace(replica, progress=f"its node's address is not known: {error.message}")

    def _after(self, replica: Replica, probed: Probed, now_us: int) -> Replica:
        """A replica as its answer makes it."""
        load = probed.load
        seen = replica if load is None else replace(replica, busy=load.busy, queued=load.queued)
        missed = 0 if probed.answers else self._misses.get(replica.id, 0) + 1
        self._misses[replica.id] = missed
        if replica.state is ReplicaState.STARTING and probed.answers:
            return replace(step_replica(seen, ReplicaEvent.ANSWER, at_us=now_us), progress="ready")
        if replica.state is ReplicaState.STARTING:
            return replace(seen, progress=probed.progress or seen.progress)
        if replica.state is ReplicaState.READY and missed >= MISSES:
            return replace(step_replica(seen, ReplicaEvent.SILENCE, at_us=now_us), progress="does not answer any more")
        return seen

    def _tell(self, tx: Tx, before: Replica, after: Replica) -> None:
        serving = models.serving_of(tx, after.model, after.tier)
        if after.state is ReplicaState.READY and serving is not None:
            models.put_serving(tx, replace(serving, failures=0, retry_us=0, detail=""))
        took = (after.since_us - before.since_us) / SECOND_US
        said = f"replica {after.id} of {after.model} is {after.state}" + (
            f" after {took:.1f} s" if after.progress == "ready" else ""
        )
        data = {"model": after.model, "tier": after.tier, "replica": after.id, "state": after.state}
        events.append(tx, [Entry(after.since_us, f"replica.{after.state}", said, lease=after.lease, data=data)])

    def _keep(self, serving: Serving, model: Model, kept: Sequence[Kept]) -> bool:
        """Bring one serving to the number of replicas that it should have."""
        now = self._now_us()
        self._give_up_silent(kept, now)
        change = scaling.decide(serving, kept, now_us=now)
        if change.serving != serving:
            self._remember(serving, change.serving)
        for one in change.give_up:
            self._give_up(one, now)
        self._release_drained(kept, now)
        if not change.ask:
            return bool(change.give_up)
        try:
            self._ask(change.serving, model, change.ask)
        except SubletError as error:
            said = f"{error.message} ({error.hint})" if error.hint else error.message
            if serving.detail != said:
                _log.warning("no_replica", model=model.name, tier=serving.tier, reason=said)
            self._remember(serving, scaling.failed(change.serving, said, at_us=now))
        return True

    def _remember(self, before: Serving, after: Serving) -> None:
        """Write what is remembered of a serving, over what a caller has noted meanwhile of being asked for."""
        with self._database.write() as tx:
            found = models.serving_of(tx, before.model, before.tier)
            if found is not None and (found.replicas_min, found.replicas_max) == (before.replicas_min, before.replicas_max):
                models.put_serving(tx, replace(after, asked_us=found.asked_us))

    def _ask(self, serving: Serving, model: Model, number: int) -> None:
        """Ask for leases as any tenant does; raises what stands in the way."""
        engine = self._engine.capabilities
        check_reachable(engine)
        weights.check(model, self._premises.servers[model.server])
        with self._database.write() as tx:
            for _ in range(number):
                now = self._now_us()
                lease = request(tx, self._forecaster, self._premises, serving, model, engine=engine, now_us=now)
                reason = f"a replica of {model.name} for {serving.tier}"
                events.append(tx, [Entry(now, "replica.wanted", reason, serving.tenant, lease.id, lease.pool)])
        self._wake()

    def _give_up_silent(self, kept: Sequence[Kept], now_us: int) -> None:
        """A replica that does not answer any more, or never did, makes room for the next."""
        for one in kept:
            replica = one.replica
            if replica is None or replica.state is not ReplicaState.STARTING or one.ending:
                continue
            allowed = SILENT_US if replica.progress == "does not answer any more" else START_US
            if now_us - replica.since_us > allowed:
                self._give_up(one, now_us)

    def _give_up(self, one: Kept, now_us: int) -> None:
        """Withdraw a lease that waits; let a replica drain."""
        with self._database.write() as tx:
            replica = None if one.replica is None else models.replica(tx, one.replica.id)
            if replica is not None and replica.state is ReplicaState.READY:
                models.save_replica(tx, replica, step_replica(replica, ReplicaEvent.DRAIN, at_us=now_us))
                return
            leasing.release(tx, one.lease, tenant=None, now_us=now_us)
        self._wake()

    def _release_drained(self, kept: Sequence[Kept], now_us: int) -> None:
        """Give back replicas that drain and have nothing left to do: the owner need not wait for the end of a notice."""
        for one in kept:
            replica = one.replica
            if replica is None or replica.state is not ReplicaState.DRAINING or one.over:
                continue
            drained_us = now_us - replica.since_us
            idle = not (replica.busy or replica.queued) and self._misses.get(replica.id, 0) == 0
            if (idle and drained_us >= SETTLE_US) or (not one.ending and drained_us >= DRAIN_US):
                with self._database.write() as tx:
                    leasing.release(tx, one.lease, tenant=None, now_us=now_us)
                self._wake()

    def _let_go(self, kept: Mapping[tuple[ModelName, Tier], Sequence[Kept]], served: set[tuple[ModelName, Tier]]) -> None:
        """Leases of servings that are no longer kept."""
        now = self._now_us()
        for key, orphans in kept.items():
            if key not in served:
                for one in orphans:
                    if one.counts:
                        self._give_up(one, now)
                self._release_drained(orphans, now)


def _kept(tx: Tx) -> dict[tuple[ModelName, Tier], list[Kept]]:
    """The live leases that serve models, by model and tier."""
    live = leases.serving(tx)
    work = workloads.get_all(tx, [lease.id for lease in live])
    replicas = {one.id: one for one in models.living(tx)}
    found: dict[tuple[ModelName, Tier], list[Kept]] = {}
    for lease in live:
        at = work[lease.id].endpoint if lease.id in work else None
        if at is not None:
            key = (ModelName(at.model), Tier(at.tier))
            found.setdefault(key, []).append(_kept_of(lease, replicas.get(ReplicaId(lease.run))))
    return found


def _kept_of(lease: Lease, replica: Replica | None) -> Kept:
    waits = lease.state in WAITING or goes_on(lease)
    ending, over = not waits and lease.state in _ENDING, not waits and lease.state in _GIVEN_BACK
    return Kept(lease.id, waits, ending, over, None if waits else replica, lease.not_before_us)


def request(
    tx: Tx,
    forecaster: Forecaster,
    premises: Premises,
    serving: Serving,
    model: Model,
    *,
    engine: Capabilities,
    now_us: int,
) -> Lease:
    """Ask for the lease of one replica; raises `Invalid` if no round could ever grant it."""
    asked = asked_for(serving, model)
    open_shop = shop(tx, forecaster, serving.tenant, now_us=now_us)
    known = [row.pool for row in pools.everything(tx)]
    asked = replace(asked, term_us=term_us(known, serving.pool, asked.lease_class))
    view, _ = drafted(open_shop, asked, lease=LeaseId("draft"), now_us=now_us)
    address = Address(engine.endpoint_host, free_port(tx, premises.ports), secrets.token_urlsafe(24))
    work = workload(premises.servers[model.server], model, serving, view.pool, address, programs=engine.programs)
    return leasing.request(
        tx, forecaster, replace(asked, workload=work, pool=view.pool.id), tenant=serving.tenant, now_us=now_us
    )


def check_reachable(engine: Capabilities) -> None:
    """Raise `Invalid` where nobody can ask a server that a run of this engine starts."""
    if not engine.endpoint_host:
        hint = "add the model at an address of its own: --server url"
        raise Invalid(f"runs of the engine {engine.name} cannot be reached", field="server", hint=hint)


def asked_for(serving: Serving, model: Model) -> LeaseRequest:
    """The request for a replica's lease, before it is known what runs on it."""
    placeholder = Endpoint(model.name, serving.tier, "", "", 1)
    return LeaseRequest(
        Workload(run="", endpoint=placeholder),
        name=f"{model.name}:{serving.tier}",
        pool=serving.pool,
        gpus_per_node=serving.gpus,
        lease_class=TIER_CLASS[serving.tier],
        access=Access.ENDPOINT,
        bid_micro=serving.bid_micro,
        label=Label(residency=model.sites),
    )


def workload(
    server: ServerProgram, model: Model, serving: Serving, pool: Pool, address: Address, *, programs: str = ""
) -> Workload:
    """What runs on a replica's lease. `programs`: where the engine's runs find this package's."""
    cores = serving.gpus if pool.gpu_model.lower() == "cpu" else 0
    assert server.launch is not None, f"{server.name} starts nothing"
    launch = server.launch(model, Hardware(pool.gpu_model, serving.gpus, cores), address)
    words = [f"http://{address.beside_it}:{address.port}{server.health}", *launch.argv]
    return Workload(
        run=own_program(_SUPERVISE, words, programs=programs),
        env=launch.env,
        notice_signal="USR1",  # of `supervise`
        reads=launch.reads,
        endpoint=Endpoint(model.name, serving.tier, address.url, address.secret, launch.slots),
    )


def term_us(known: Sequence[Pool], pool: PoolId | None, lease_class: LeaseClass) -> int | None:
    """The longest term of a class that is sold in terms, in the pool that is meant or in any."""
    meant = [one for one in known if pool in {None, one.id} and lease_class in one.classes]
    terms = [max(one.terms[lease_class].terms_us) for one in meant if one.terms[lease_class].terms_us]
    return max(terms, default=None)


def free_port(tx: Tx, ports: range) -> int:
    """A port that no living lease's server has, and that nobody listens on here.

    Any of them, as chance has it: two installations on one machine that both took the first could take it in the same second,
    before the server of either listens, and llama.cpp's server shares a port with whoever has it.
    """
    live = leases.serving(tx)
    work = workloads.get_all(tx, [lease.id for lease in live]).values()
    taken = {int(one.endpoint.url.rpartition(":")[2].partition("/")[0]) for one in work if one.endpoint is not None}
    for port in secrets.SystemRandom().sample(ports, len(ports)):
        if port not in taken and _is_free(port):
            return port
    raise Unavailable(
        f"all {len(ports)} ports for replicas are taken", hint="widen replica_ports in the settings, or serve fewer replicas"
    )


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind(("127.0.0.1", port))
        return True
    return False
