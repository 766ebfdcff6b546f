"""What runs is judged again when the owner restates where a site is, whose a pool's machines are, or where a tenant sits.

What may no longer be where it is gets its notice, as if the owner had reclaimed it: that is what he owes for it. It queues
again, and the next grant, which asks the rules anew, refuses it. Because that ends work, it has to be forced.
"""

from collections.abc import Callable, Iterable

from sublet.app import moves
from sublet.app.notices import announce
from sublet.app.residency import grouped, judged_leases, record
from sublet.core import lifecycle
from sublet.core.errors import Conflict
from sublet.core.ids import TenantId
from sublet.core.lease import Cause, Lease, State
from sublet.core.plan import Notice
from sublet.core.residency import Judgement
from sublet.core.terms import Pool
from sublet.store import leases, pools, sites
from sublet.store.database import Tx

_MAY_BE_TOLD = frozenset({State.RESERVED, State.STARTING, State.ACTIVE, State.NOTICED})
_NAMED = 3


def uphold_at(tx: Tx, site: str, *, force: bool, now_us: int) -> int:
    """Judge what runs at a site, or keeps its checkpoints or logs there; how many leases got their notice."""
    keeps = {one.id for one in sites.everything(tx) if site in {one.id, one.checkpoints_at, one.logs_at}} | {site}
    return _uphold(tx, (pool for pool in _pools(tx) if pool.site in keeps), lambda _: True, force=force, now_us=now_us)


def uphold_of(tx: Tx, tenant: TenantId, *, force: bool, now_us: int) -> int:
    """Judge what runs of one tenant."""
    return _uphold(tx, _pools(tx), lambda lease: lease.tenant == tenant, force=force, now_us=now_us)


def _pools(tx: Tx) -> Iterable[Pool]:
    return [row.pool for row in pools.everything(tx)]


def _uphold(tx: Tx, concerned: Iterable[Pool], meant: Callable[[Lease], bool], *, force: bool, now_us: int) -> int:
    """Give notice to what is denied, or raise `Conflict` where that is not forced. The caller's transaction ends with it."""
    running = [
        lease for pool in concerned for lease in leases.held(tx, pool=pool.id) if lease.state in _MAY_BE_TOLD and meant(lease)
    ]
    judged = judged_leases(tx, running)
    denied = [(lease, why) for lease in running if (why := _denial(judged.get(lease.id, ()))) is not None]
    if not denied:
        return 0
    if not force:
        named = ", ".join(lease.id for lease, _ in denied[:_NAMED])
        raise Conflict(
            f"{len(denied)} running leases may not be where they are if this is so: {named}",
            field="force",
            hint="with --force they get their notice, and what a reclaim would owe them; nothing was changed",
        )
    told = [(lease, _noticed(lease, why, now_us)) for lease, why in denied]
    chains = [(lease, after) for lease, after in told if after is not lease]
    moves.save_leases(tx, chains)
    announce(tx, [after for _, after in chains], at_us=now_us)
    record(tx, grouped({lease.id: judged[lease.id] for lease, _ in denied}), now_us=now_us)
    return len(chains)


def _denial(judged: Iterable[Judgement]) -> Judgement | None:
    return next((one for one in judged if not one.allowed), None)


def _noticed(lease: Lease, denial: Judgement, now_us: int) -> Lease:
    at = max(now_us, lease.since_us)
    deadline = at + lease.grace_us
    if lease.deadline_us is not None and lease.deadline_us <= deadline:
        return lease
    reason = f"its data may not be at {denial.place.name}: {denial.reason}"
    return lifecycle.noticed(lease, Notice(lease.id, lease.version, Cause.RECLAIMED, deadline, reason), at_us=at)
