"""The contract of a block: the lease that a won order becomes, what it costs, and what giving it back is worth.

A tenant owes the price of the whole block, used or not. What it gives back is bought by the owner for a published share, or by
another tenant for what was asked. The nodes are the tenant's until `turnround_us` before the end, so that the next block can
start on its start; that time costs nothing.
"""

from dataclasses import replace

from sublet.core.blocks.order import BlockOrder
from sublet.core.lease import Access, Cause, Event, Lease, LeaseClass, State, step
from sublet.core.rating import hold_micro
from sublet.core.terms import Pool
from sublet.core.units import charge_micro
from sublet.core.usage import Attempt

FORGONE_BY = frozenset({Cause.COMPLETED, Cause.FAILED, Cause.RELEASED})
"""Ends that are the tenant's own: the rest of the block is still his to pay, and the owner's to buy."""


def lease_of(order: BlockOrder, pool: Pool, price_micro: int, *, at_us: int) -> Lease:
    """The lease of an order that has won, as it waits for its start."""
    ends = order.end_us - pool.turnround_us
    asked = Lease(
        id=order.lease,
        tenant=order.tenant,
        pool=order.pool,
        name=order.name,
        lease_class=LeaseClass.BLOCK,
        access=Access.BATCH,
        gpus=order.gpus,
        nodes=order.nodes,
        bid_micro=price_micro,
        grace_us=pool.terms[LeaseClass.BLOCK].grace_us,
        requested_us=at_us,
        since_us=at_us,
        term_us=ends - order.start_us,
        restartable=False,
        whole_nodes=True,
        not_before_us=order.start_us,
        ends_us=ends,
    )
    return step(asked, Event.ADMIT, at=at_us, reason=f"bought at {price_micro / 1e6:.4f} a GPU-hour; it waits for its start")


def hold_of(lease: Lease) -> int:
    """What is reserved for a block at its purchase: all of its price, in micro-units."""
    assert lease.term_us is not None, f"{lease.id} has no end"
    return hold_micro(lease.gpus, lease.term_us, lease.bid_micro)


def total_micro(pool: Pool, gpus: int, start_us: int, end_us: int, price_micro: int) -> int:
    """What a block costs in all."""
    return charge_micro(gpus * (end_us - pool.turnround_us - start_us), price_micro)


def rest_micro(lease: Lease, from_us: int) -> int:
    """The price of a block's rest from an instant on, micro-units."""
    assert lease.ends_us is not None, f"{lease.id} has no end"
    return charge_micro(lease.gpus * max(0, lease.ends_us - max(from_us, lease.not_before_us)), lease.bid_micro)


def forgone_micro(lease: Lease, attempt: Attempt) -> int:
    """The price of what was left of a block when its tenant let it end; 0 where it was not the tenant who ended it.

    A run that was lost with its node (no exit code), or never began, is nobody's choice: the rest costs nothing.
    """
    lost = attempt.cause is Cause.FAILED and (attempt.exit_code is None or attempt.started_us is None)
    if not lease.is_bought or attempt.cause not in FORGONE_BY or lost:
        return 0
    return rest_micro(lease, attempt.stopped_us)


def bought_back_micro(pool: Pool, price_micro: int) -> int:
    """What the owner pays for a rest of this price, by the pool's published share."""
    return price_micro * pool.blocks.sell_back_bps // 10_000


def shortened(lease: Lease, pool: Pool, from_us: int) -> Lease:
    """A block whose rest from `from_us` (µs) on is no longer its tenant's; it starts before."""
    assert lease.not_before_us < from_us, f"{lease.id} is given back altogether"
    ends = from_us - pool.turnround_us
    reason = "the rest of the block was sold back" if lease.state is State.QUEUED else lease.reason
    return replace(lease, ends_us=ends, term_us=ends - lease.not_before_us, version=lease.version + 1, reason=reason)


def never_started(lease: Lease) -> Attempt:
    """The record of a block that ended before it had any GPUs, so that its money is settled like any other's."""
    assert lease.is_bought and lease.cause is not None and lease.attempt == 0, f"{lease.id} is no block that never started"
    return Attempt(
        lease=lease.id,
        attempt=1,
        tenant=lease.tenant,
        pool=lease.pool,
        lease_class=lease.lease_class,
        gpus=lease.gpus,
        price_micro=lease.bid_micro,
        term_us=lease.term_us,
        granted_us=lease.since_us,
        started_us=None,
        noticed_us=None,
        deadline_us=None,
        stopped_us=lease.since_us,
        checkpoint_us=None,
        cause=lease.cause,
        exit_code=None,
    )
