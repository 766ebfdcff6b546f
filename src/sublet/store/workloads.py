"""What runs on each lease and owner job."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from sublet.core.workload import Endpoint, Workload
from sublet.store.bulk import portions
from sublet.store.schema import workloads


def put(tx: Connection, holder: str, workload: Workload) -> None:
    """Add the workload of a lease or owner job."""
    put_all(tx, [(holder, workload)])


def put_all(tx: Connection, pairs: Iterable[tuple[str, Workload]]) -> None:
    """Add the workloads of several holders."""
    rows = [{"holder": holder, "document": json.dumps(asdict(workload))} for holder, workload in pairs]
    if rows:
        tx.execute(insert(workloads), rows)


def get_all(tx: Connection, holders: Iterable[str]) -> dict[str, Workload]:
    """The workloads of some holders; one without is absent."""
    found: dict[str, Workload] = {}
    for part in portions(holders):
        for holder, document in tx.execute(select(workloads).where(workloads.c.holder.in_(part))):
            found[holder] = _read(json.loads(document))
    return found


def _read(fields: dict[str, Any]) -> Workload:
    endpoint = fields.get("endpoint")
    return Workload(
        **fields | {"reads": tuple(fields.get("reads", ())), "endpoint": None if endpoint is None else Endpoint(**endpoint)}
    )


def get(tx: Connection, holder: str) -> Workload | None:
    """The workload of one holder."""
    return get_all(tx, [holder]).get(holder)


def delete_all(tx: Connection, holders: Iterable[str]) -> None:
    """Forget the workloads of some holders, their secrets with them."""
    for part in portions(holders):
        tx.execute(delete(workloads).where(workloads.c.holder.in_(part)))
