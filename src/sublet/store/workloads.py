"""What runs on each lease and owner job."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, insert, select

from sublet.core.residency import Label
from sublet.core.workload import Endpoint, Workload
from sublet.store.bulk import among, insert_all, portions
from sublet.store.schema import workloads

_LABEL = TypeAdapter(Label)


def put(tx: Connection, holder: str, workload: Workload, label: Label | None = None) -> None:
    """Add the workload of a lease or owner job, with what it states about its data; a label that states nothing is not kept."""
    stated = None if label is None or label.silent else _LABEL.dump_json(label).decode()
    tx.execute(insert(workloads), [{"holder": holder, "document": json.dumps(asdict(workload)), "label": stated}])


def put_all(tx: Connection, pairs: Iterable[tuple[str, Workload]]) -> None:
    """Add the workloads of several holders."""
    rows = [{"holder": holder, "document": json.dumps(asdict(workload))} for holder, workload in pairs]
    insert_all(tx, workloads, rows)


def get_all(tx: Connection, holders: Iterable[str]) -> dict[str, Workload]:
    """The workloads of some holders; one without is absent."""
    found: dict[str, Workload] = {}
    for part in portions(holders):
        mine = among(workloads.c.holder, part)
        for holder, document in tx.execute(select(workloads.c.holder, workloads.c.document).where(mine)):
            found[holder] = _read(json.loads(document))
    return found


def labels(tx: Connection, holders: Iterable[str]) -> dict[str, Label]:
    """What some holders state about their data; one that states nothing is absent."""
    found: dict[str, Label] = {}
    for part in portions(holders):
        stated = select(workloads.c.holder, workloads.c.label).where(
            among(workloads.c.holder, part), workloads.c.label.is_not(None)
        )
        for holder, label in tx.execute(stated):
            found[holder] = _LABEL.validate_json(label)
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
        tx.execute(delete(workloads).where(among(workloads.c.holder, part)))
