"""Nodes in bins of equals, so that finding a node for a grant looks at each kind of node once and not at each node.

A bin holds the nodes that a score cannot tell apart: as many GPUs of the owner, as many free, held by leases of the same class.
There are some dozens of kinds however many nodes there are. Which nodes are in a bin is one bit a node, and one bit for every
64 of them in a summary, so that the first node of a bin is found, and a node moves from bin to bin, in a few steps. Beside that
each rack and each pod (a domain) counts its nodes by free GPUs: a gang finds the tightest that holds it.

Arrays are passed one by one: a compiled function that is handed a tuple of many pays for each of them.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.fit import popcount
from sublet.core.kernels.money import Whole
from sublet.core.tables import CLASSES

Ints = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int32]
Masks = npt.NDArray[np.uint64]
Rows = npt.NDArray[Any]

NODE_ROW = np.dtype(
    [
        ("free", np.uint64),  # what may be given, one bit a GPU
        ("slots", np.uint64),  # the GPUs that it has
        ("owned", np.int32),  # GPUs that the owner's jobs hold
        ("leased", np.int32, (len(CLASSES),)),  # GPUs that leases of each class hold
        ("rack", np.int32),  # its rack, a domain; -1: not known
        ("pod", np.int32),  # its pod, a domain; -1: not known
        ("kind", np.int32),  # the number of its kind; -1 with nothing free
    ]
)
"""A node while GPUs are handed out."""

KIND_ROW = np.dtype([("owned", np.int32), ("free", np.int32), ("kin", np.int32), ("place", np.int32)])
"""A kind of node: the owner's GPUs, free GPUs, whose leases (`kin_of`), and its place in the list of those that there are."""

UNTOUCHED, NOBODY = 0, 1
"""Kin of a node that is free altogether, and of one without leases; else 2 more than the code of the class that holds most."""
KINS = 2 + len(CLASSES)
CLEAN, OWNED = 0, 1
"""What a domain counts apart: nodes without a GPU of the owner's, and the others."""
_ONE = np.uint64(1)


class Bins(NamedTuple):
    """All of it. n nodes, k kinds that are possible, w words a bin, d domains; g: GPUs of the largest node, and one."""

    nodes: Rows  # NODE_ROW[n]
    kinds: Rows  # KIND_ROW[k]
    present: Shorts  # int32[1 + k]: how many kinds there are, then their numbers in no particular order
    bits: Masks  # uint64[k, w]: bit i of word j is node 64 * j + i; the summary of these words stands behind them
    tally: Shorts  # int32[2, g, d]: (CLEAN or OWNED) nodes of a domain with so many free GPUs
    racks: int  # domains below are racks, the others pods
    largest_rack: int  # nodes of the largest rack: a wider gang need not look at racks
    begins: Shorts  # int32[d + 1], where the nodes of each domain begin in `members`
    members: Shorts  # int32[], rows, rising within a domain


@njit(cache=True, inline="always")
def first_bit(word: np.uint64) -> Whole:
    """The place of the lowest set bit of a word that is not 0."""
    return popcount((word & (~word + _ONE)) - _ONE)


@njit(cache=True, inline="always")
def kin_of(nodes: Rows, row: Whole) -> Whole:
    """Whose leases hold most of a node; of classes that hold as much the first."""
    if nodes[row]["free"] == nodes[row]["slots"]:
        return UNTOUCHED
    most: Whole = 0
    kin: Whole = NOBODY
    for code in range(len(CLASSES)):
        held = nodes[row]["leased"][code]
        if held > most:
            most, kin = held, code + 2
    return kin


@njit(cache=True)
def enter(nodes: Rows, kinds: Rows, present: Shorts, bits: Masks, width: Whole, row: Whole) -> None:
    """Put a node into the bin of its kind. `width`: GPUs of the largest node, and one."""
    free = popcount(nodes[row]["free"])
    if free == 0:
        nodes[row]["kind"] = -1
        return
    owned, kin = nodes[row]["owned"], kin_of(nodes, row)
    kind = (owned * width + free) * KINS + kin
    nodes[row]["kind"] = kind
    leaf, summary = row >> 6, ((len(nodes) + 63) >> 6) + (row >> 12)
    if bits[kind, leaf] == 0:
        bits[kind, summary] |= _ONE << np.uint64(leaf & 63)
    bits[kind, leaf] |= _ONE << np.uint64(row & 63)
    if kinds[kind]["place"] < 0:
        kinds[kind]["owned"], kinds[kind]["free"], kinds[kind]["kin"] = owned, free, kin
        present[0] += 1
        present[present[0]] = kind
        kinds[kind]["place"] = present[0]


@njit(cache=True)
def leave(nodes: Rows, kinds: Rows, present: Shorts, bits: Masks, row: Whole) -> None:
    """Take a node out of its bin; a kind without nodes is no longer present."""
    kind = nodes[row]["kind"]
    if kind < 0:
        return
    leaves = (len(nodes) + 63) >> 6
    leaf, summary = row >> 6, leaves + (row >> 12)
    bits[kind, leaf] &= ~(_ONE << np.uint64(row & 63))
    if bits[kind, leaf]:
        return
    bits[kind, summary] &= ~(_ONE << np.uint64(leaf & 63))
    for word in range(leaves, bits.shape[1]):
        if bits[kind, word]:
            return
    place, last = kinds[kind]["place"], present[present[0]]
    present[place] = last
    kinds[last]["place"] = place
    kinds[kind]["place"] = -1
    present[0] -= 1


@njit(cache=True)
def first_row(bits: Masks, leaves: Whole, kind: Whole) -> Whole:
    """The first node of a kind that is present. `leaves`: how many words come before the summary."""
    word = leaves
    while bits[kind, word] == 0:
        word += 1
    leaf = ((word - leaves) << 6) + first_bit(bits[kind, word])
    return (leaf << 6) + first_bit(bits[kind, leaf])


@njit(cache=True)
def count(nodes: Rows, tally: Shorts, row: Whole, step: int) -> None:
    """Add `step` to what its rack and pod count of nodes like this one."""
    free, owned = popcount(nodes[row]["free"]), int(nodes[row]["owned"] > 0)
    if nodes[row]["rack"] >= 0:
        tally[owned, free, nodes[row]["rack"]] += step
    if nodes[row]["pod"] >= 0:
        tally[owned, free, nodes[row]["pod"]] += step


@njit(cache=True)
def move(
    nodes: Rows, kinds: Rows, present: Shorts, bits: Masks, tally: Shorts, row: Whole, mask: np.uint64, leases: Whole
) -> None:
    """GPUs of a node change hands: a lease of class `leases` gets those of `mask` that are free, and leaves the others."""
    before, given = popcount(nodes[row]["free"]), popcount(nodes[row]["free"] & mask)
    after = before - given + popcount(mask) - given
    leave(nodes, kinds, present, bits, row)
    count(nodes, tally, row, -1)
    nodes[row]["free"] ^= mask
    nodes[row]["leased"][leases] += before - after
    enter(nodes, kinds, present, bits, tally.shape[1], row)
    count(nodes, tally, row, 1)


@njit(cache=True)
def lay(nodes: Rows, holds: Rows, held: Rows) -> None:
    """Count the GPUs that leases hold on each node by class. `holds`: HOLD_ROW, `held`: HELD_ROW, as `tables` has them."""
    for i in range(len(holds)):
        lease = holds[i]["lease"]
        if lease >= 0:
            nodes[holds[i]["node"]]["leased"][held[lease]["lease_class"]] += popcount(holds[i]["mask"])


@njit(cache=True)
def fill(nodes: Rows, kinds: Rows, present: Shorts, bits: Masks, tally: Shorts) -> None:
    """Put every node into its bin, and count it."""
    for row in range(len(nodes)):
        enter(nodes, kinds, present, bits, tally.shape[1], row)
        count(nodes, tally, row, 1)
