"""What a tenant does with leases: ask, look, release. What happens to them afterwards is the loops' work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sublet.app import moves, names, requests, world
from sublet.app.forecasting import Forecaster
from sublet.app.tasks import LeaseRequest
from sublet.core import lifecycle
from sublet.core.admit import hold_micro, over_budget
from sublet.core.errors import Forbidden, NotFound, OverBudget
from sublet.core.ids import LeaseId, RunId, TenantId, lease_run
from sublet.core.lease import Lease, State
from sublet.core.round import decide
from sublet.core.usage import Usage
from sublet.engines.protocol import Engine
from sublet.store import events, leases, usage, workloads
from sublet.store.database import Tx
from sublet.store.events import Entry

TIMELINE_MAX = 10_000
_GIVEN_BACK = frozenset({State.STOPPING, State.HANDOVER})


@dataclass(frozen=True, slots=True)
class Explained:
    """A lease with everything that happened to it, oldest first."""

    lease: Lease
    timeline: Sequence[Entry]


def request(tx: Tx, forecaster: Forecaster, asked: LeaseRequest, *, tenant: TenantId, now_us: int) -> Lease:
    """Ask for a lease; raises what is wrong with it, or the lease as it waits for the next round."""
    open_shop = requests.shop(tx, forecaster, tenant, now_us=now_us)
    if open_shop.tenant.suspended:
        raise Forbidden(f"tenant {tenant} is suspended", field="tenant", hint="ask the owner")
    view, lease = requests.drafted(open_shop, asked, lease=names.lease_id(), now_us=now_us)
    price = min(requests.price_now_micro(open_shop, view, lease.lease_class, lease.term_us), lease.bid_micro)
    needed = hold_micro(view, lease, price)
    if over_budget(open_shop.tenant, needed):
        left = open_shop.tenant.headroom_micro or 0
        raise OverBudget(
            f"starting this reserves {needed / 1e6:.2f} {view.pool.currency}, and the spend limit leaves {left / 1e6:.2f}",
            field="tenant.limit",
            hint="ask for fewer GPUs or hours, release a lease, or let the owner raise it: `sublet tenant limit`",
        )
    leases.insert_all(tx, [lease])
    workloads.put(tx, lease.id, asked.workload, asked.label)
    data = {
        "gpus": lease.gpus,
        "nodes": lease.nodes,
        "name": lease.name,
        "class": lease.lease_class,
        "bid_micro": lease.bid_micro,
    }
    said = f"asked for {lease.gpus} GPUs as {lease.lease_class}, at most {lease.bid_micro / 1e6:.4f} a GPU-hour"
    events.append(tx, [Entry(now_us, "lease.requested", said, tenant, lease.id, lease.pool, data)])
    return lease


def release(tx: Tx, lease: LeaseId, *, tenant: TenantId | None, now_us: int) -> Lease:
    """Give a lease back: it is not billed from now on, and not queued again. Releasing it twice is harmless."""
    found = leases.get(tx, lease, tenant=tenant, lock=True)
    if found.state is State.ENDED:
        return found
    at = max(now_us, found.since_us)
    if found.state in _GIVEN_BACK:
        if not found.restartable:
            return found
        final = replace(found, restartable=False, version=found.version + 1)
        leases.save_all(tx, [(found, final)])
        return final
    given = lifecycle.released(found, at_us=at)
    moves.save_leases(tx, [(found, given)])
    return given


def explain(tx: Tx, forecaster: Forecaster, lease: LeaseId, *, tenant: TenantId | None, now_us: int) -> Explained:
    """Everything that was decided about a lease, with the reasons of the time; of one that waits, why it does now."""
    found = leases.get(tx, lease, tenant=tenant)
    if found.state is State.QUEUED:
        found = replace(found, reason=_waits_now(tx, forecaster, found, now_us))
    return Explained(found, events.page(tx, lease=lease, limit=TIMELINE_MAX))


def _waits_now(tx: Tx, forecaster: Forecaster, lease: Lease, now_us: int) -> str:
    """What the next round would say to it, with the numbers of now: what is kept changes only with the sentence."""
    view = world.read_view(tx, forecaster, now_us=now_us, pool=lease.pool)
    unsaid = tuple(replace(one, reason="") if one.id == lease.id else one for one in view.leases)
    plan = decide(replace(view, leases=unsaid), now=now_us)
    return next((wait.reason for wait in plan.waits if wait.lease == lease.id), lease.reason)


def intervals(tx: Tx, lease: LeaseId, *, tenant: TenantId | None) -> list[Usage]:
    """What was measured of a lease."""
    leases.get(tx, lease, tenant=tenant)
    return usage.of_lease(tx, lease)


def run_of(lease: Lease, attempt: int | None) -> RunId:
    """The run of one attempt, the present one if none is named."""
    if lease.attempt == 0:
        raise NotFound(f"lease {lease.id} has not started yet", field="lease", hint=f"`sublet explain {lease.id}` says why")
    if attempt is not None and not 1 <= attempt <= lease.attempt:
        raise NotFound(f"lease {lease.id} has no attempt {attempt}", field="attempt", hint=f"it has 1 to {lease.attempt}")
    return lease_run(lease.id, attempt or lease.attempt)


def printed(engine: Engine, run: RunId, *, offset: int, at_most: int) -> bytes:
    """What a run printed from a byte offset on, at most so many bytes."""
    text = bytearray()
    for part in engine.logs(run, offset=offset):
        text += part
        if len(text) >= at_most:
            break
    return bytes(text[:at_most])
