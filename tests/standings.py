"""What a standing says, so that two can be compared whatever rows they use."""

from typing import Any

from sublet.core.standing import Standing
from sublet.core.tables import Table


def canonical(standing: Standing) -> dict[str, Any]:
    """Everything a standing says, whatever rows it uses for it."""
    return {
        "masks": [masks.tolist() for masks in (standing.slots, standing.fit, standing.owner, standing.leased, standing.coming)],
        "capacity": standing.capacity,
        "demand": standing.demand,
        "waiting": list(standing.waiting.values()),
        "jobs": standing.jobs,
        "leases": standing.leases,
        "requested": standing.requested,
        "paused": standing.paused,
        "blocks": standing.blocks,
        "held": _rows(standing, standing.held),
        "queue": _rows(standing, standing.queue),
        "holds": sorted(
            (standing.held.keys[lease], node, mask) for lease, node, mask in standing.holds.rows.tolist() if lease >= 0
        ),
    }


def _rows(standing: Standing, table: Table) -> dict[str, dict[str, Any]]:
    """The rows in use by key, numbers given names, and each lease's place among all instead of its number."""
    names = table.rows.dtype.names or ()
    found = {}
    for key, row in zip(table.keys, table.rows.tolist(), strict=True):
        values = dict(zip(names, row, strict=True))
        if not values["used"]:
            continue
        values["tenant"] = standing.tenants[values["tenant"]]
        values["order"] = sorted(map(standing.order_of, standing.leases)).index(values["order"])
        if "product" in values:
            values["product"] = standing.products[values["product"]]
        found[key] = values
    return found
