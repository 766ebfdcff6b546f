"""How a block that was bought starts on its start: the round makes room beforehand, and then gives it its nodes.

Until its start the owner comes first: what his jobs need is served before, and a block waits. From its start on the nodes are
the block's, and only force moves it. Room is made by ending leases that end by mere notice, so long before that their GPUs are
clean in time; leases with a guarantee were kept away from the nodes when they were granted (`clearance`).
"""

from dataclasses import replace

import numpy as np

from sublet.core.blocks.calendar import is_kept, kept_leases, kept_until, node_size, whole
from sublet.core.blocks.contract import hold_of
from sublet.core.draft import Draft, Ground
from sublet.core.fleet import Masks, Placement
from sublet.core.ids import JobId
from sublet.core.lease import HELD, Cause, Event, Lease, State
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.plan import Alarm, Grant, Notice
from sublet.core.reclaim import Shortage, Victims, make_room, reclaimable
from sublet.core.standing import Standing
from sublet.core.tables import CLASSES, NEVER


def start_due(ground: Ground, draft: Draft) -> None:
    """Give the blocks whose start has come their nodes, before the owner's jobs are looked at."""
    for block in _in_order(ground.standing, until_us=draft.now_us):
        assert block.ends_us is not None
        free = ground.now.copy()
        free.free &= ~ground.standing.kept  # what waits for a job of the owner was his before
        found = _find(free, block, ground.standing)
        if found is not None:
            _grant(ground, draft, block, found)
        elif draft.now_us >= min(block.ends_us, block.not_before_us + ground.view.pool.promise.within_us):
            _break(ground, draft, block)
        else:
            _keep_coming(ground, draft, block)


def make_way(ground: Ground, draft: Draft) -> None:
    """Make room for the blocks that start soon, after the owner was served."""
    if not ground.standing.blocks:
        return
    lead = lead_us(ground.standing)
    for block in _in_order(ground.standing, until_us=draft.now_us + lead):
        if block.not_before_us <= draft.now_us:
            continue
        shortage = _shortage(ground, draft, block)
        if shortage.placement is None:
            _warn(ground, draft, block)
            continue
        _give_notice(ground, draft, block, shortage)
        ground.give(shortage.placement)


def lead_us(standing: Standing) -> int:
    """How long before a start room is made: the longest hand-back of a lease that ends by mere notice (µs)."""
    pool = standing.pool
    free = np.array([not is_kept(pool.terms.get(name)) for name in CLASSES], np.bool_)
    rows = standing.held.rows
    graces = rows["grace_us"][rows["used"] & free[rows["lease_class"]]]
    usual = [terms for terms in pool.terms.values() if not is_kept(terms)]
    grace = max(int(graces.max(initial=0)), max((terms.grace_us for terms in usual), default=0))
    return pool.longest_handback_us(grace, max((terms.exempt_us for terms in usual), default=0))


def starts_soon(standing: Standing, *, now_us: int) -> bool:
    """Whether rounds have to look for the nodes of a block now."""
    return bool(standing.blocks) and bool(_in_order(standing, until_us=now_us + lead_us(standing)))


def next_start_us(standing: Standing, *, after_us: int) -> int:
    """When a block next asks for a decision: room for its start, or the start; NEVER if none does."""
    if not standing.blocks:
        return NEVER
    lead = lead_us(standing)
    marks = (at for block in standing.blocks.values() for at in (block.not_before_us - lead, block.not_before_us))
    return min((at for at in marks if at > after_us), default=NEVER)


def _in_order(standing: Standing, *, until_us: int) -> list[Lease]:
    """Waiting blocks that start by an instant, the earliest first, the older among equals."""
    due = [block for block in standing.blocks.values() if block.not_before_us <= until_us]
    return sorted(due, key=lambda block: (block.not_before_us, standing.order_of(block.id)))


def _find(room: Room, block: Lease, standing: Standing) -> Placement | None:
    """Whole nodes for a block, all of them or none."""
    if block.gpus_per_node != node_size(standing):
        return None
    return room.find(gpus_per_node=block.gpus_per_node, nodes=block.nodes, whole=True)


def _grant(ground: Ground, draft: Draft, block: Lease, placement: Placement) -> None:
    assert block.ends_us is not None
    ground.give(placement)
    draft.grant(
        Grant(
            lease=block.id,
            version=draft.version(block),
            placement=placement,
            price_micro=block.bid_micro,
            exempt_until_us=draft.now_us,
            hold_micro=hold_of(block),
            funded_until_us=block.ends_us,
            reason=f"the block starts, at {block.bid_micro / 1e6:.4f} a GPU-hour as bought",
        ),
    )


def _keep_coming(ground: Ground, draft: Draft, block: Lease) -> None:
    """What is free and on its way back is the block's from its start on."""
    found = _find(ground.future.copy(), block, ground.standing)
    if found is not None:
        ground.give(found)
        draft.wait(block, "its start has come; its nodes are on their way back")
    else:
        _warn(ground, draft, block)


def _break(ground: Ground, draft: Draft, block: Lease) -> None:
    """The block could not be delivered. If the fleet became too small for it, that is nobody's choice; else the owner's."""
    standing = ground.standing
    others = sum(other.nodes for other in kept_leases(standing) if other.is_bought)
    if int(whole(standing).sum()) - others < block.nodes:
        reason, cause = "too few nodes are fit for use: the block could not be delivered, and costs nothing", Cause.FAILED
    else:
        reason, cause = "the owner kept its nodes: the block could not be delivered, and is credited", Cause.RECLAIMED
    draft.move(block, Event.REFUSE, reason, cause)


def _warn(ground: Ground, draft: Draft, block: Lease) -> None:
    pool = ground.view.pool.id
    reason = (
        f"block {block.id} needs {block.nodes} whole nodes at its start, and what holds them does not end by notice; "
        "end work of the owner's, or it is broken and credited"
    )
    draft.alarms.append(Alarm("block.at_risk", pool, reason))
    draft.wait(block, "what holds its nodes does not end by notice; the owner was told")


def _shortage(ground: Ground, draft: Draft, block: Lease) -> Shortage:
    """Whole nodes for a block that starts soon, and the leases that end for it: only such as end by mere notice."""
    standing = ground.standing
    in_time, late = _coming(ground, block.not_before_us, draft.now_us)
    found = _find(ground.room_of(in_time), block, standing)
    who = reclaimable(
        standing,
        now_us=draft.now_us,
        due_us=block.not_before_us,
        forced=False,
        nominal=np.zeros(len(standing.tenants), np.int64),
        spared=ground.noticed,
    )
    by_notice = np.array([not is_kept(standing.pool.terms.get(name)) for name in CLASSES], np.bool_)
    who = replace(who, may=who.may & by_notice[who.rows["lease_class"]])
    if found is not None:
        return Shortage(_stand_in(block), Victims(who, np.empty(0, np.int64), standing.held.keys), found)
    return make_room(_stand_in(block), ground.room_of(in_time | late), who, standing.held.keys)


def _coming(ground: Ground, at_us: int, now_us: int) -> tuple[Masks, Masks]:
    """(in time, late), uint64[n] each: what is free by an instant without any further decision, and what is only later.

    A lease that has its notice, or an end of its own, gives its GPUs back by then or not.
    """
    standing = ground.standing
    in_time, late = standing.free | (standing.coming & standing.fit), np.zeros_like(standing.fit)
    for lease in standing.leases.values():
        if lease.state not in HELD:
            continue
        over = kept_until(standing, lease, now_us=now_us)
        for node, mask in lease.placement:
            row, gpus = standing.row_of[node], np.uint64(mask)
            if lease.state is State.NOTICED and over > at_us:
                in_time[row] &= ~gpus
                late[row] |= gpus & standing.fit[row]
            elif lease.ends_us is not None and over <= at_us:
                in_time[row] |= gpus & standing.fit[row]
    return in_time, late


def _stand_in(block: Lease) -> OwnerJob:
    """The block as the search for room takes it: as a gang of whole nodes."""
    return OwnerJob(
        id=JobId(block.id),
        pool=block.pool,
        name=block.name,
        gpus=block.gpus,
        nodes=block.nodes,
        submitted_us=block.requested_us,
        since_us=block.since_us,
    )


def _give_notice(ground: Ground, draft: Draft, block: Lease, shortage: Shortage) -> None:
    """To whoever holds the nodes of a block that starts soon."""
    leases, who, rows = ground.standing.leases, shortage.victims.who, shortage.victims.rows
    why = f"the block {block.id} that was sold on these nodes starts in {(block.not_before_us - draft.now_us) / 1e6:g} s"
    for name, row in zip(shortage.victims.leases, rows.tolist(), strict=True):
        deadline, loss = int(who.deadline_us[row]), int(who.loss_micro[row])
        draft.announced.append(Notice(name, draft.version(leases[name]), Cause.RECLAIMED, deadline, why, loss_micro=loss))
    ground.noticed[rows] = True
