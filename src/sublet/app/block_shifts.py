"""A block that waits for its start moves to another pool of its kind, in the transaction that applies the plan.

Nothing that was sold changes: nodes, times, price, terms and site stay, and so do its hold and what its tenant may do with
it. A block that moved since the plan was made, or whose rest is for sale by now, stays where it is.
"""

from dataclasses import replace

from sublet.core.lease import State
from sublet.core.plan import Plan
from sublet.store import blocks, events, leases
from sublet.store.database import Tx
from sublet.store.events import Entry


def apply(tx: Tx, plan: Plan) -> int:
    """Apply the plan's shifts; how many of their blocks had moved since."""
    if not plan.shifts:
        return 0
    known = {lease.id: lease for lease in leases.some(tx, [one.lease for one in plan.shifts], lock=True)}
    orders = {order.lease: order for order in blocks.of_leases(tx, known)}
    moved, told = [], []
    for one in plan.shifts:
        block, order = known.get(one.lease), orders.get(one.lease)
        waits = block is not None and block.is_bought and block.state is State.QUEUED
        if block is None or order is None or not waits or (block.version, block.pool) != (one.version, one.home):
            continue
        if blocks.resting_sell(tx, block.id) is not None:
            continue
        moved.append((order, block, replace(block, pool=one.to, version=block.version + 1, reason=one.reason)))
        data = {"from": one.home, "to": one.to, "order": order.id, "nodes": block.nodes, "gpus": block.gpus}
        told.append(Entry(plan.at_us, "block.moved", one.reason, block.tenant, block.id, one.to, data))
    leases.save_all(tx, [(block, new) for _, block, new in moved])
    blocks.move_all(tx, [(order, new.pool) for order, _, new in moved])
    events.append(tx, told)
    return len(plan.shifts) - len(moved)
