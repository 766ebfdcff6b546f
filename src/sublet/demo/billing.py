"""The end of the day on paper: an invoice for each tenant, issued through the API and kept as a page."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sublet.core.errors import Unavailable
from sublet.core.ids import TenantId
from sublet.demo.stage import Stage
from sublet.store import usage

_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Bill:
    """What a tenant has to pay (micro-units, refunds and credits negative), and the page that says so."""

    usage_micro: int
    refund_micro: int
    credit_micro: int
    due_micro: int
    file: Path


def wait_until_booked(stage: Stage) -> int:
    """Wait until the billing loop has booked all that happened; returns the instant (µs) at which that was so."""
    plane = stage.server.plane
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        now_us = plane.clock.now_us()
        with plane.database.read() as tx:
            waiting = sum(usage.open_before(tx, TenantId(tenant), now_us) for tenant in stage.tenants)
        if not waiting:
            return plane.clock.now_us()
        time.sleep(0.1)
    raise Unavailable(f"{waiting} leases or charges were not booked in {_WAIT_S:g} s", hint="the log says what failed")


def issue_invoices(stage: Stage, folder: Path, *, from_us: int, to_us: int) -> Mapping[str, Bill]:
    """Issue each tenant's invoice of the period and write its page."""
    folder.mkdir(exist_ok=True)
    return {tenant: _issued(stage, folder, {"tenant": tenant, "from_us": from_us, "to_us": to_us}) for tenant in stage.tenants}


def _issued(stage: Stage, folder: Path, body: Mapping[str, Any]) -> Bill:
    answer = stage.owner.post("/v1/invoices", body)
    totals = answer["invoice"]["totals"]
    file = folder / f"{body['tenant']}.html"
    file.write_text(stage.owner.raw(f"/v1/invoices/{answer['invoice']['id']}/page").text, encoding="utf-8")
    return Bill(totals["usage_micro"], totals["refund_micro"], totals["credit_micro"], answer["due_micro"], file)
