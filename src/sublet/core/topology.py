"""Where nodes stand: racks, and pods of racks. The site is that of their pool.

Racks and pods are domains, numbered together: racks first, in the order of their pods' names and their own, then pods. A rack
is one of its pod: two pods may both have a rack `r1`. What is not known is no domain: nothing is near because of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int32]


class Within(StrEnum):
    """How near each other the nodes of a gang have to be: in one rack, in one pod, or anywhere at the site of their pool."""

    RACK = "rack"
    POD = "pod"
    SITE = "site"


REACH: Mapping[Within, int] = {Within.RACK: 0, Within.POD: 1, Within.SITE: 2}
"""The same as a number: what fits within a smaller one fits within a larger one."""

UNKNOWN = -1
"""The domain of a node whose rack or pod is not known."""
Location = tuple[str, str]
"""(pod, rack) of a node by name; "" where it is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """The domains of some nodes, one row a node in the order that the nodes have elsewhere."""

    rack: Numbers  # int32[n], its rack; UNKNOWN
    pod: Numbers  # int32[n], its pod; UNKNOWN
    racks: int  # how many racks there are: domains below are racks
    begins: Numbers  # int32[domains + 1]: where the nodes of each domain begin in `members`
    members: Numbers  # int32[...]: rows of nodes, rising within a domain

    @property
    def columns(self) -> tuple[Numbers, Numbers, int]:
        """(rack, pod, how many domains there are), as kernels take them."""
        return self.rack, self.pod, len(self.begins) - 1

    def domain(self, within: Within, nodes: int) -> Numbers | None:
        """int32[n]: the domain of each node, in one of which a gang of so many nodes has to lie; None: anywhere.

        A single node is near itself. Nodes of one rack are in one pod, whichever that is.
        """
        if within is Within.SITE or nodes == 1:
            return None
        if within is Within.RACK:
            return self.rack
        return np.where(self.pod == UNKNOWN, self.rack, self.pod).astype(np.int32)


def topology_of(locations: Sequence[Location]) -> Topology:
    """The topology of nodes that stand there, one after the other."""
    racks = {location: number for number, location in enumerate(sorted({location for location in locations if location[1]}))}
    pods = {name: len(racks) + number for number, name in enumerate(sorted({pod for pod, _ in locations if pod}))}
    rack = np.array([racks.get(location, UNKNOWN) for location in locations], np.int32)
    pod = np.array([pods.get(name, UNKNOWN) for name, _ in locations], np.int32)
    return _with_members(rack, pod, len(racks), len(racks) + len(pods))


def nowhere_known(nodes: int) -> Topology:
    """The topology of nodes of which nobody has said where they stand."""
    return _with_members(np.full(nodes, UNKNOWN, np.int32), np.full(nodes, UNKNOWN, np.int32), 0, 0)


def _with_members(rack: Numbers, pod: Numbers, racks: int, domains: int) -> Topology:
    of = np.concatenate([rack, pod])
    members = np.argsort(of, kind="stable")[np.count_nonzero(of == UNKNOWN) :]
    begins = np.searchsorted(of[members], np.arange(domains + 1)).astype(np.int32)
    return Topology(rack, pod, racks, begins, (members % max(1, len(rack))).astype(np.int32))
