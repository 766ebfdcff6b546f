"""Nodes that are fit for use, and those that are not: broken, drained, or quarantined after a failed hand-over."""

from sublet.core.ids import PoolId
from sublet.core.occupancy import Span
from sublet.store import events, facts, nodes, spans
from sublet.store.database import Tx
from sublet.store.events import Entry
from sublet.store.nodes import NodeRow

UNHEALTHY = "unhealthy: "
"""Begins the reason of a node that the engine reported; only such a node comes back by itself."""


def take_down(tx: Tx, node: NodeRow, reason: str, *, at_us: int) -> None:
    """Offer the node no longer. What runs on it goes on; its free GPUs are down from now on, the others as they come free."""
    nodes.set_down(tx, node.id, down=True, reason=reason)
    if node.down:
        return
    held = 0
    for span in spans.open_now(tx, node.id):
        held |= span.mask
    free = ((1 << node.gpus) - 1) & ~held
    if free:
        spans.open_all(tx, [Span(node.pool, node.id, free, "down", node.id, 0, at_us)])
    events.append(tx, [Entry(at_us, "node.down", reason, pool=node.pool, data={"node": node.id})])


def leave(tx: Tx, node: NodeRow, mask: int, *, at_us: int) -> None:
    """Some free GPUs of a node that is down are held by somebody from now on: the owner's scheduler let a job go on there."""
    spans.close(tx, [(node.id, at_us)])
    held = mask
    for span in spans.open_now(tx, node.id):
        held |= span.mask
    left = ((1 << node.gpus) - 1) & ~held
    if left:
        spans.open_all(tx, [Span(node.pool, node.id, left, "down", node.id, 0, at_us)])


def put_up(tx: Tx, node: NodeRow, *, at_us: int) -> None:
    """Offer the node again."""
    if not node.down:
        return
    nodes.set_down(tx, node.id, down=False, reason="")
    spans.close(tx, [(node.id, at_us)])
    facts.put(tx, _came_up(node.pool), str(at_us))
    events.append(tx, [Entry(at_us, "node.up", pool=node.pool, data={"node": node.id})])


def last_up_us(tx: Tx, pool: PoolId) -> int:
    """When a node of the pool last came back; 0 before the first."""
    return int(facts.get(tx, _came_up(pool)) or 0)


def _came_up(pool: PoolId) -> str:
    return f"node_up_us:{pool}"
