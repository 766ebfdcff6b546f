"""Nodes that an engine shows for the first time join the fleet."""

import re

from sublet.core.ids import NodeId, PoolId
from sublet.core.lease import HELD
from sublet.core.ledger import pool_accounts
from sublet.core.terms import Pool
from sublet.engines.protocol import Engine
from sublet.store import facts, jobs, leases, ledger, nodes, pools
from sublet.store.database import Tx
from sublet.store.nodes import NodeRow

PLACE = "engine_place"
"""The fact that says which engine keeps the runs."""


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


def runs_elsewhere(tx: Tx, engine: Engine) -> bool:
    """Whether leases or jobs hold GPUs that an engine of another place runs: this one would take all of them for lost."""
    place, known = engine.capabilities.place, facts.get(tx, PLACE)
    if known is None or known == place:
        return False
    return any(leases.counts(tx).get(state, 0) for state in HELD) or bool(jobs.held(tx))


def note_place(tx: Tx, engine: Engine) -> None:
    """Put down where runs are kept from now on."""
    if facts.get(tx, PLACE) != engine.capabilities.place:
        facts.put(tx, PLACE, engine.capabilities.place)


def add_pool(tx: Tx, pool: Pool, *, now_us: int) -> None:
    """Enter a pool with its accounts, or change its settings."""
    pools.put(tx, pool, now_us=now_us)
    ledger.open_accounts(tx, pool_accounts(pool.id, pool.currency))


def _pool_name(gpu_model: str) -> PoolId:
    return PoolId(re.sub(r"[^a-z0-9]+", "-", gpu_model.lower()).strip("-") or "pool")
