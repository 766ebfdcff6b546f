"""Plain twins of placement: what a node costs, which rack is tightest, who gets which nodes, by looking at all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from sublet.core.ids import NodeId
from sublet.core.kernels.bins import NODE_ROW, Bins, fill
from sublet.core.lease import LeaseClass
from sublet.core.packing import CROWDING, bins_of
from sublet.core.placement import Room
from sublet.core.standing import Standing
from sublet.core.tables import CLASSES
from sublet.core.terms import Pool
from sublet.core.topology import Location, topology_of

__all__ = ["Ask", "PlainNode", "bins_for", "nodes_for", "spoiled", "standing_for"]


@dataclass(frozen=True)
class Ask:
    need: int
    many: int = 1
    whole: bool = False
    lease_class: LeaseClass = LeaseClass.SPOT


@dataclass
class PlainNode:
    """A node as a person would note it down; `leased`: GPUs by class."""

    slots: int
    free: int
    owned: int = 0
    leased: dict[LeaseClass, int] = field(default_factory=dict)
    location: Location = ("", "")

    @property
    def kin(self) -> LeaseClass | None:
        """The class that holds most of it, of equals the first; nobody's if nobody does or all of it is free."""
        if self.free == self.slots or not any(self.leased.values()):
            return None
        return max(CLASSES, key=lambda one: self.leased.get(one, 0))

    def fits(self, ask: Ask) -> bool:
        gpus = self.free.bit_count()
        return gpus == ask.need and self.free == self.slots if ask.whole else gpus >= ask.need

    def cost(self, ask: Ask, requests: Sequence[int]) -> tuple[int, int, bool]:
        return self.owned, spoiled(requests, ask.need, self.free.bit_count()), self.kin not in {None, ask.lease_class}


def spoiled(requests: Sequence[int], need: int, free: int) -> int:
    """Milli-GPU, `requests[g]` of which are for g GPUs of a node."""

    def useless(gpus: int) -> int:
        return int(1_000 * gpus * Fraction(sum(requests[gpus + 1 :]), sum(requests)))

    return useless(free - need) - useless(free) + CROWDING * free


def nodes_for(nodes: list[PlainNode], ask: Ask, requests: Sequence[int]) -> list[int] | None:
    """The rows that the request gets, rising; None if it does not fit."""
    fitting = [row for row, one in enumerate(nodes) if one.fits(ask)]

    def best(rows: list[int]) -> list[int]:
        return sorted(sorted(rows, key=lambda row: (nodes[row].cost(ask, requests), row))[: ask.many])

    if ask.many > 1:
        racks = {one.location for one in nodes if one.location[1]}
        pods = {one.location[0] for one in nodes if one.location[0]}
        scopes = [
            [[row for row, one in enumerate(nodes) if one.location == rack] for rack in sorted(racks)],
            [[row for row, one in enumerate(nodes) if one.location[0] == pod] for pod in sorted(pods)],
        ]
        for clean in (True, False):
            for domains in scopes:
                holding = []
                for number, rows in enumerate(domains):
                    there = [
                        row for row in rows if nodes[row].free.bit_count() >= ask.need and (not clean or nodes[row].owned == 0)
                    ]
                    if len(there) >= ask.many:
                        holding.append((len(there), number, [row for row in rows if row in fitting]))
                if holding and len(min(holding)[2]) >= ask.many:
                    return best(min(holding)[2])
    return best(fitting) if len(fitting) >= ask.many else None


def standing_for(nodes: list[PlainNode]) -> Standing:
    """A standing whose owner's GPUs are those that are not free, the first of each node; nothing is leased."""
    slots = np.array([one.slots for one in nodes], np.uint64)
    names = tuple(NodeId(f"n{row}") for row in range(len(nodes)))
    standing = Standing(Pool(id="p", gpu_model="H100"), names, slots, topology_of([one.location for one in nodes]))  # type: ignore[arg-type]
    standing.owner[:] = [(1 << one.owned) - 1 for one in nodes]
    return standing


def bins_for(nodes: list[PlainNode]) -> Bins:
    """Bins of these nodes. Leases are counted on them without being there one by one."""
    standing = standing_for(nodes)
    room = Room(standing.nodes, standing.slots, np.array([one.free for one in nodes], np.uint64))
    empty = bins_of(room, standing)
    rows = empty.nodes.copy()
    assert rows.dtype == NODE_ROW
    for row, one in enumerate(nodes):
        rows[row]["leased"] = [one.leased.get(code, 0) for code in CLASSES]
    kinds = np.zeros_like(empty.kinds)
    kinds["place"] = -1
    fresh = empty._replace(
        nodes=rows,
        kinds=kinds,
        present=np.zeros_like(empty.present),
        bits=np.zeros_like(empty.bits),
        tally=np.zeros_like(empty.tally),
    )
    fill(*fresh[:5])
    return fresh
