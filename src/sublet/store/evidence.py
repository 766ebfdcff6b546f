"""Proof of each hand-over: what was killed, wiped and checked before GPUs changed hands."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from sublet.core.ids import RunId
from sublet.store.bulk import insert_new
from sublet.store.schema import evidence


@dataclass(frozen=True, slots=True)
class HandOver:
    """The evidence of one run's hand-over; `holder` is its lease or owner job."""

    run: RunId
    holder: str
    at_us: int
    clean: bool
    document: Mapping[str, str]


def put_all(tx: Connection, records: Iterable[HandOver]) -> None:
    """Keep evidence; the first word on a run stands."""
    rows = [
        {"run": r.run, "holder": r.holder, "at_us": r.at_us, "clean": r.clean, "document": json.dumps(dict(r.document))}
        for r in records
    ]
    insert_new(tx, evidence, rows, key=[evidence.c.run])
