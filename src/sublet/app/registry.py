"""Nodes that an engine shows for the first time join the fleet."""

import re

from sublet.core.ids import NodeId, PoolId
from sublet.core.ledger import pool_accounts
from sublet.core.terms import Pool
from sublet.engines.protocol import Engine
from sublet.store import ledger, nodes, pools
from sublet.store.database import Tx
from sublet.store.nodes import NodeRow


def register_nodes(tx: Tx, engine: Engine, *, now_us: int) -> None:
    """Enter the engine's unknown nodes, each into the pool of its GPU model, which is made with default terms if need be.

    Where the engine knows the rack or pod of a node of which nothing is known, that is noted; what the owner said stands.
    """
    known = {node.id: node for node in nodes.everything(tx)}
    located: dict[NodeId, tuple[str, str]] = {}
    sold = {row.pool.gpu_model: row.pool.id for row in pools.everything(tx)}
    for seen in engine.nodes():
        if seen.id in known:
            node = known[seen.id]
            if not (node.rack or node.pod) and (seen.rack or seen.pod):
                located[seen.id] = (seen.pod, seen.rack)
            continue
        if seen.gpu_model not in sold:
            pool = Pool(id=_pool_name(seen.gpu_model), gpu_model=seen.gpu_model)
            add_pool(tx, pool, now_us=now_us)
            sold[seen.gpu_model] = pool.id
        row = NodeRow(seen.id, sold[seen.gpu_model], seen.gpus, seen.gpu_model, since_us=now_us, rack=seen.rack, pod=seen.pod)
        nodes.insert_all(tx, [row])
    nodes.set_locations(tx, located)


def add_pool(tx: Tx, pool: Pool, *, now_us: int) -> None:
    """Enter a pool with its accounts, or change its settings."""
    pools.put(tx, pool, now_us=now_us)
    ledger.open_accounts(tx, pool_accounts(pool.id, pool.currency))


def _pool_name(gpu_model: str) -> PoolId:
    return PoolId(re.sub(r"[^a-z0-9]+", "-", gpu_model.lower()).strip("-") or "pool")
