"""Which leases end so that a gang fits: a cover of what its nodes lack, at the least loss.

One node is solved exactly: it has 64 GPUs at most, so a table over the GPUs still missing is small. A gang takes the cheapest
node, and again, until it is served; a lease once chosen costs nothing on its other nodes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt

from sublet.core.ids import LeaseId
from sublet.core.lease import Lease
from sublet.core.placement import Room


@dataclass(frozen=True, slots=True)
class Victim:
    """A lease that may be ended: when at the earliest, and what that costs."""

    lease: Lease
    deadline_us: int
    loss_micro: int
    late: bool  # its GPUs would come back after the promised time
    borrowed: bool  # beyond its tenant's nominal quota: among equals it goes first


Cost = tuple[int, int, int]
"""Loss in micro-units, leases within their tenants' nominal quotas, GPUs that end; compared in this order."""

Offer = tuple[Cost, tuple[Victim, ...]]
"""One way to free enough of one node."""


def cheapest_cover(
    room: Room, victims: Sequence[Victim], *, gpus_per_node: int, nodes: int, shared: bool
) -> tuple[Victim, ...] | None:
    """Whom to end so that `nodes` x `gpus_per_node` fit into `room`; None if not even all of them make room.

    Without `shared` a lease weighs with its whole loss on each of its nodes, with it by the loss divided among them: the
    first is best where one node of a lease is wanted, the second where many are. No victim is superfluous.
    """
    search = _Search(room, victims, need=gpus_per_node, shared=shared)
    return search.without_surplus(nodes) if search.serve(nodes) else None


def total_cost(victims: Iterable[Victim]) -> Cost:
    """What ending all of them costs."""
    loss = kept = gpus = 0
    for victim in victims:
        loss, kept, gpus = loss + victim.loss_micro, kept + (not victim.borrowed), gpus + victim.lease.gpus
    return loss, kept, gpus


class _Search:
    """The state of one search: what is free on each node once the leases chosen so far have ended."""

    def __init__(self, room: Room, victims: Sequence[Victim], *, need: int, shared: bool) -> None:
        self.need, self.shared = need, shared
        self.free: npt.NDArray[np.int64] = np.bitwise_count(room.free).astype(np.int64)  # GPUs by node
        self.holds = {victim.lease.id: room.counts_on(victim.lease.placement) for victim in victims}
        self.on: dict[int, list[Victim]] = {}  # row -> who may be ended there, youngest first
        for victim in sorted(victims, key=lambda victim: -(victim.lease.granted_us or 0)):
            for row in self.holds[victim.lease.id]:
                self.on.setdefault(row, []).append(victim)
        self.chosen: dict[LeaseId, Victim] = {}

    def serve(self, nodes: int) -> bool:
        """Choose victims node by node; False if there are not enough nodes."""
        offers = {row: offer for row in range(len(self.free)) if (offer := self._offer(row)) is not None}
        heap = [(offer[0], int(self.free[row]), row) for row, offer in offers.items()]
        heapify(heap)
        for _ in range(nodes):
            while heap and (heap[0][2] not in offers or heap[0][0] != offers[heap[0][2]][0]):
                heappop(heap)  # the node was served, or has become cheaper and stands in the heap once more
            if not heap:
                return False
            row = heappop(heap)[2]
            for touched in self._end(offers.pop(row)[1]) & offers.keys():
                offers[touched] = self._offer(touched) or offers[touched]
                heappush(heap, (offers[touched][0], int(self.free[touched]), touched))
        return True

    def without_surplus(self, nodes: int) -> tuple[Victim, ...]:
        """The chosen less those without whom as many nodes are served, dearest first."""
        kept = sorted(self.chosen.values(), key=lambda victim: -victim.loss_micro)
        served = int((self.free >= self.need).sum())
        for victim in list(kept):
            holds = self.holds[victim.lease.id]
            lost = sum(self.free[row] >= self.need > self.free[row] - gpus for row, gpus in holds.items())
            if served - lost >= nodes:
                served -= lost
                kept.remove(victim)
                for row, gpus in holds.items():
                    self.free[row] -= gpus
        return tuple(kept)

    def _end(self, victims: Iterable[Victim]) -> set[int]:
        """Count these leases as ended; the rows that gain by it."""
        touched: set[int] = set()
        for victim in victims:
            self.chosen[victim.lease.id] = victim
            for row, gpus in self.holds[victim.lease.id].items():
                self.free[row] += gpus
                touched.add(row)
        return touched

    def _offer(self, row: int) -> Offer | None:
        """The cheapest way to reach `need` free GPUs on this node, by a table over the GPUs still missing."""
        missing = max(0, self.need - int(self.free[row]))
        best: list[Offer | None] = [((0, 0, 0), ()), *[None] * missing]
        for victim in self.on.get(row, ()) if missing else ():
            if victim.lease.id in self.chosen:
                continue
            frees, cost = self.holds[victim.lease.id][row], self._cost(victim)
            for wanted in range(missing, 0, -1):
                before = best[max(0, wanted - frees)]
                if before is not None:
                    offer = (_add(before[0], cost), (*before[1], victim))
                    held = best[wanted]
                    if held is None or offer[0] < held[0]:
                        best[wanted] = offer
        return best[missing]

    def _cost(self, victim: Victim) -> Cost:
        loss, kept, gpus = total_cost((victim,))
        parts = len(self.holds[victim.lease.id]) if self.shared else 1
        return loss // parts, kept, gpus


def _add(a: Cost, b: Cost) -> Cost:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
