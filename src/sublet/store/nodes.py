"""Nodes of the fleet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from sublet.core.ids import NodeId, PoolId
from sublet.store.bulk import among, portions
from sublet.store.schema import nodes


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as the store keeps it; `since_us` is when it joined."""

    id: NodeId
    pool: PoolId
    gpus: int
    gpu_model: str
    down: bool = False
    reason: str = ""
    since_us: int = 0
    rack: str = ""  # "": not known
    pod: str = ""


def insert_all(tx: Connection, new: Iterable[NodeRow]) -> None:
    """Add nodes to the fleet."""
    rows: list[dict[str, Any]] = [
        {
            "id": n.id,
            "pool": n.pool,
            "gpus": n.gpus,
            "gpu_model": n.gpu_model,
            "down": n.down,
            "reason": n.reason,
            "since_us": n.since_us,
            "rack": n.rack,
            "pod": n.pod,
        }
        for n in new
    ]
    if rows:
        tx.execute(insert(nodes), rows)


def set_down(tx: Connection, node: NodeId, *, down: bool, reason: str) -> None:
    """Take a node out of offers, or put it back."""
    tx.execute(update(nodes).where(nodes.c.id == node).values(down=down, reason=reason))


def set_locations(tx: Connection, where: Mapping[NodeId, tuple[str, str]]) -> None:
    """Say in which (pod, rack) nodes stand."""
    rows = [{"node": node, "to_pod": pod, "to_rack": rack} for node, (pod, rack) in where.items()]
    if rows:
        change = update(nodes).where(nodes.c.id == bindparam("node"))
        tx.execute(change.values(pod=bindparam("to_pod"), rack=bindparam("to_rack")), rows)


_COLUMNS = [nodes.c[field.name] for field in fields(NodeRow)]


def everything(tx: Connection, *, pool: PoolId | None = None) -> list[NodeRow]:
    """All nodes (of one pool, or of all) by name."""
    query = select(*_COLUMNS).order_by(nodes.c.id)
    return [NodeRow(*row) for row in tx.execute(query if pool is None else query.where(nodes.c.pool == pool))]


def some(tx: Connection, wanted: Iterable[NodeId]) -> list[NodeRow]:
    """Some of them, by name."""
    found = [
        tx.execute(select(*_COLUMNS).where(among(nodes.c.id, part)).order_by(nodes.c.id)) for part in portions(sorted(wanted))
    ]
    return [NodeRow(*row) for part in found for row in part]


def sizes(tx: Connection, *, pool: PoolId | None = None) -> list[tuple[PoolId, int, int]]:
    """(pool, GPUs of a node, how many nodes have so many), of one pool or of all."""
    query = select(nodes.c.pool, nodes.c.gpus, func.count()).group_by(nodes.c.pool, nodes.c.gpus)
    rows = tx.execute(query if pool is None else query.where(nodes.c.pool == pool))
    return [(PoolId(pool), gpus, number) for pool, gpus, number in rows]
