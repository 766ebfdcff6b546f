"""Where a gang fits: whole or not at all, on the fullest nodes that still have room.

Filling the fullest nodes first keeps others empty for gangs and whole-node leases. The owner's jobs go where they would go had
nothing been leased, and leases keep away from there: otherwise leases would scatter the owner's small jobs over the nodes, and
his gangs would wait for that. Arrays have one row a node of one pool.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from sublet.core.fleet import Masks, Placement, lowest_bits
from sublet.core.ids import NodeId
from sublet.core.kernels.fit import enough_nodes, fullest
from sublet.core.topology import REACH, UNKNOWN, Numbers, Topology, Within, nowhere_known


class Room:
    """Free GPUs of some nodes while a round hands them out: `free` uint64[n] is what is left."""

    def __init__(
        self,
        nodes: tuple[NodeId, ...],
        slots: Masks,
        free: Masks,
        row_of: Mapping[NodeId, int] | None = None,
        topology: Topology | None = None,
    ) -> None:
        """`slots` are the GPUs of each node that are fit for use, `free` those that may be given; both uint64[n].

        `free` is the room's own from now on. `row_of`: the row of each node, where the caller has it at hand. Without a
        `topology` nothing is known of racks.
        """
        self.nodes = nodes
        self.slots = slots
        self.free = free
        self.topology = topology or nowhere_known(len(nodes))
        self._row = {node: row for row, node in enumerate(nodes)} if row_of is None else row_of

    @property
    def gpus(self) -> int:
        """GPUs left in all."""
        return int(np.bitwise_count(self.free).sum())

    def find(
        self,
        *,
        gpus_per_node: int,
        nodes: int,
        whole: bool = False,
        before: Masks | None = None,
        within: Within = Within.SITE,
    ) -> Placement | None:
        """A placement for `nodes` x `gpus_per_node`, or None; takes nothing yet.

        `whole`: only nodes that are free altogether, with exactly so many GPUs. `before` (uint64[n]): nodes with fewer GPUs in
        it are taken first, and only among equals the fullest. A gang is kept in one rack, or one pod, where that is possible;
        `within` says where it must be.
        """
        masks = (self.free, self.slots, _no_gpus(len(self.free)) if before is None else before)
        rows = fullest(masks, self.topology.columns, gpus_per_node, nodes, whole, REACH[within])
        if not len(rows):
            return None
        return tuple((self.nodes[row], lowest_bits(int(self.free[row]), gpus_per_node)) for row in rows.tolist())

    def take(self, placement: Placement) -> None:
        """Give these GPUs away."""
        for node, mask in placement:
            row = self._row[node]
            assert int(self.free[row]) & mask == mask, f"GPUs {mask:#x} of {node} are not free"
            self.free[row] &= ~np.uint64(mask)

    def add(self, placement: Placement) -> None:
        """Count these GPUs as free, where they belong to these nodes and are fit for use."""
        for node, mask in placement:
            row = self._row.get(node)
            if row is not None:
                self.free[row] |= np.uint64(mask) & self.slots[row]

    def has(self, placement: Placement) -> bool:
        """Whether all of these GPUs are free here."""
        return all(node in self._row and int(self.free[self._row[node]]) & mask == mask for node, mask in placement)

    def drop(self, placement: Placement) -> Placement:
        """Give away whatever of these GPUs is free here; what that was."""
        there = ((node, mask & int(self.free[self._row[node]])) for node, mask in placement if node in self._row)
        dropped = tuple((node, mask) for node, mask in there if mask)
        self.take(dropped)
        return dropped

    def free_on(self, node: NodeId) -> int:
        """The GPUs left on one node, as a mask."""
        return int(self.free[self._row[node]])

    def copy(self) -> "Room":
        """The same room, to try something out."""
        return Room(self.nodes, self.slots, self.free.copy(), self._row, self.topology)


@lru_cache(maxsize=64)
def _no_gpus(nodes: int) -> Masks:
    """uint64[nodes] of zeros: no order among nodes."""
    return np.zeros(nodes, np.uint64)


def can_ever_fit(slots: Masks, *, gpus_per_node: int, nodes: int, whole: bool, domain: Numbers | None = None) -> bool:
    """Whether the gang would fit the nodes if they were all free; with `domain` (int32[n]), those of one domain alone."""
    if domain is None:
        return bool(enough_nodes(slots, gpus_per_node, nodes, whole))
    gpus = np.bitwise_count(slots)
    there = domain[(domain != UNKNOWN) & (gpus == gpus_per_node if whole else gpus >= gpus_per_node)]
    return bool(len(there) >= nodes and np.bincount(there).max() >= nodes)
