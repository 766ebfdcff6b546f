"""Nodes: what the fleet has, and what is kept out of offers."""

from collections import Counter
from collections.abc import Mapping

from sublet.app import fitness
from sublet.core.errors import NotFound
from sublet.core.ids import NodeId
from sublet.store import events, nodes
from sublet.store.database import Tx
from sublet.store.events import Entry
from sublet.store.nodes import NodeRow

_HINT = "`sublet pool nodes` lists them"


def everything(tx: Tx) -> list[NodeRow]:
    """All nodes by name."""
    return nodes.everything(tx)


def set_down(tx: Tx, node: NodeId, *, down: bool, reason: str, now_us: int) -> NodeRow:
    """Keep a node out of offers (what runs on it goes on), or offer it again."""
    found = _get(tx, node)
    if down:
        fitness.take_down(tx, found, reason or "taken down by the owner", at_us=now_us)
    else:
        fitness.put_up(tx, found, at_us=now_us)
    return _get(tx, node)


def set_locations(tx: Tx, where: Mapping[NodeId, tuple[str, str]], *, now_us: int) -> list[NodeRow]:
    """Say in which (pod, rack) nodes stand, "" for unknown; all of them or none."""
    known = {row.id: row for row in nodes.some(tx, where)}
    for node in where:
        if node not in known:
            raise NotFound(f"there is no node {node}", field="node", hint=_HINT)
    moved = {node: to for node, to in where.items() if (known[node].pod, known[node].rack) != to}
    nodes.set_locations(tx, moved)
    by_pool = Counter(known[node].pool for node in moved)
    events.append(tx, [Entry(now_us, "node.located", pool=pool, data={"nodes": many}) for pool, many in by_pool.items()])
    return nodes.some(tx, where)


def _get(tx: Tx, node: NodeId) -> NodeRow:
    found = nodes.some(tx, [node])
    if not found:
        raise NotFound(f"there is no node {node}", field="node", hint=_HINT)
    return found[0]
