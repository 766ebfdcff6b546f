"""Which of the nodes that fit a lease is best: the score of placement, and the nodes sorted by what it looks at.

The cost of taking `need` of the `free` GPUs of a node is, in this order,

1. the GPUs that the owner's jobs hold there: his next small job belongs there (decision 0016);
2. F(free - need) - F(free) + CROWDING * free, where F(c) = 1000 c P(the next request is for more than c GPUs of a node) are the
   milli-GPU of c free ones that the next request is expected to find of no use. The difference is the score of fragmentation
   gradient descent on whole GPUs (Weng et al., Beware of Fragmentation, USENIX ATC'23). It sees requests come but no lease go:
   a node with few leases left soon is a whole one, so each GPU that is free there counts against it. P is measured: the
   requests that wait and the leases that there are, beside `EXPECTED`;
3. whether leases of another class hold most of it. Leases of one class on the same nodes are ended together: a reclaim finds
   nodes that only cheap ones lie on;
4. its place among the nodes.

What each part is worth was measured: decision 0019, `sublet bench core`.
"""

import numpy as np
import numpy.typing as npt

from sublet.core.kernels.bins import KIND_ROW, KINS, NODE_ROW, Bins, fill, lay
from sublet.core.kernels.choose import Tastes
from sublet.core.kernels.fragments import count_requests, scrap
from sublet.core.placement import Room
from sublet.core.standing import Standing
from sublet.core.tables import CLASSES

CROWDING = 100
"""Milli-GPU that each free GPU of a node counts against taking some of them."""
EXPECTED = {1: 7, 2: 2, 4: 1, 8: 10}
"""Twenty requests by GPUs of a node, counted beside those of the pool: the shares with which GFS (ASPLOS'26) runs FGD."""
_EXPECTED = np.array([EXPECTED.get(gpus, 0) for gpus in range(65)], np.int64)
STRANGE = np.array([[0, 0, *(int(other is not one) for other in CLASSES)] for one in CLASSES], np.int64)
"""int64[classes, KINS]: a node is strange to a lease if another class holds most of it."""


def tastes_of(standing: Standing) -> Tastes:
    """The costs of a pool's nodes for its requests, as kernels take them."""
    wanted = count_requests(standing.held.rows, standing.queue.rows, _EXPECTED)
    return scrap(wanted, _width(standing.slots), CROWDING), STRANGE


def bins_of(room: Room, standing: Standing) -> Bins:
    """The nodes of a room of this pool, sorted by what the costs look at. They are the bins' own: the room does not change."""
    topology, slots, holds = standing.topology, room.slots, standing.holds.rows
    nodes = np.zeros(len(slots), NODE_ROW)
    nodes["free"], nodes["slots"], nodes["owned"] = room.free, slots, np.bitwise_count(standing.owner)
    nodes["rack"], nodes["pod"] = topology.rack, topology.pod
    width = _width(slots)
    kinds = np.zeros((int(nodes["owned"].max(initial=0)) + 1) * width * KINS, KIND_ROW)
    kinds["place"] = -1
    words = -(-len(slots) // 64)
    bins = Bins(
        nodes,
        kinds,
        np.zeros(1 + len(kinds), np.int32),
        np.zeros((len(kinds), words - (-words // 64)), np.uint64),
        np.zeros((2, width, len(topology.begins) - 1), np.int32),
        topology.racks,
        int(np.diff(topology.begins[: topology.racks + 1]).max(initial=0)),
        topology.begins,
        topology.members,
    )
    lay(nodes, holds, standing.held.rows)
    fill(*bins[:5])
    return bins


def _width(slots: npt.NDArray[np.uint64]) -> int:
    """GPUs of the largest node, and one."""
    return 1 + int(np.bitwise_count(slots).max(initial=0))
