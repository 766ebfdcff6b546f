"""Nodes: what the fleet has, and what is kept out of offers."""

from sublet.app import fitness
from sublet.core.errors import NotFound
from sublet.core.ids import NodeId
from sublet.store import nodes
from sublet.store.database import Tx
from sublet.store.nodes import NodeRow


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


def _get(tx: Tx, node: NodeId) -> NodeRow:
    found = next((row for row in nodes.everything(tx) if row.id == node), None)
    if found is None:
        raise NotFound(f"there is no node {node}", field="node", hint="`sublet pool nodes` lists them")
    return found
