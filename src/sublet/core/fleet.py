"""The fleet as arrays: one row a node, one bit a GPU.

A node has at most 64 GPUs. `slots`, `owner`, `leased`, `down` are uint64[n]: bit i of a row is GPU i of that node. The masks
are disjoint inside `slots`; what is in none of the three is free. 75,000 nodes are 600 kB a column, so a pass stays in cache.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.ids import NodeId, PoolId
from sublet.core.topology import Location

Masks = npt.NDArray[np.uint64]

Placement = tuple[tuple[NodeId, int], ...]
"""Where something runs: (node, mask of its GPUs) for each node, in the order of the gang's ranks."""


def gpus_of(placement: Placement) -> int:
    """How many GPUs a placement holds."""
    return sum(mask.bit_count() for _, mask in placement)


def overlaps(a: Placement, b: Placement) -> bool:
    """Whether two placements share a GPU."""
    mine = dict(a)
    return any(mine.get(node, 0) & mask for node, mask in b)


def lowest_bits(mask: int, count: int) -> int:
    """The `count` lowest set bits of `mask`; the caller knows that there are so many."""
    if mask.bit_count() == count:
        return mask
    taken = 0
    for _ in range(count):
        bit = mask & -mask
        taken |= bit
        mask ^= bit
    assert taken.bit_count() == count
    return taken


@dataclass(frozen=True, slots=True)
class Fleet:
    """Nodes of one or more pools. Arrays have one row a node, in the order of `nodes`."""

    nodes: tuple[NodeId, ...]
    pools: tuple[PoolId, ...]
    pool: npt.NDArray[np.int32]  # int32[n], index into `pools`
    slots: Masks  # uint64[n], the GPUs the node has
    owner: Masks  # uint64[n], held by the owner's jobs, their hand-over included
    leased: Masks  # uint64[n], held by leases from reservation to the end of hand-over
    down: Masks  # uint64[n], broken, drained or quarantined, and held by nobody
    unfit: npt.NDArray[np.bool_]  # bool[n], the whole node is down: what is still held there will not be free
    locations: tuple[Location, ...] = ()  # where each node stands; empty: nothing is known of any

    @property
    def free(self) -> Masks:
        """uint64[n]: GPUs held by nobody and fit for use."""
        return self.slots & ~(self.owner | self.leased | self.down)

    def rows(self, pool: PoolId) -> npt.NDArray[np.intp]:
        """Indices of the pool's nodes."""
        return np.flatnonzero(self.pool == self.pools.index(pool))

    def row_of(self) -> dict[NodeId, int]:
        """Node id to row."""
        return {node: row for row, node in enumerate(self.nodes)}


def count(masks: Masks) -> int:
    """Number of set bits in all rows."""
    return int(np.bitwise_count(masks).sum())
