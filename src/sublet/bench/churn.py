"""A week of requests that come and go on one pool nearly full, placed by one score or another: how much of it is of use.

Requests come by chance, take GPUs of one node or of several (gangs), stay for a time of their own, and leave. Whoever fits is
placed, the oldest first; who does not fit waits, and the next may pass. All scores get the same requests. Ours runs through the
kernels that rounds use, and knows only the requests that came before; FGD knows the shares of all of them beforehand.
"""

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.bins import UNTOUCHED, Bins, kin_of, move
from sublet.core.kernels.choose import find
from sublet.core.kernels.fit import popcount
from sublet.core.kernels.fragments import scrap
from sublet.core.kernels.grants import lowest_bits
from sublet.core.kernels.money import Whole
from sublet.core.packing import CROWDING
from sublet.core.units import HOUR_US, MINUTE_US

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OURS, BY_LOSS, BY_CHANCE = 0, 1, 2
"""How a node is found: by our bins; the first with the least loss of a table; any."""
SAMPLE_US = 5 * MINUTE_US
DAYS = 7
_NEVER = np.int64(1) << np.int64(62)
_LATEST = np.iinfo(np.int64).max

UNUSABLE, FREE, UNTOUCHED_NODES, SAMPLES, GANGS, IN_RACK, IN_POD, RACK_HELD, STRANDED, DEAR = range(10)
"""Places of the figures: sums over samples of unusable milli-GPU, free GPUs and nodes free altogether, and how many samples;
gangs, those in one rack and in one pod, those that a rack would have held; requests that wait though they fit; see `_dear`."""


class Stream(NamedTuple):
    """Requests in the order of their coming; m kinds of them."""

    at_us: Ints
    kind: Ints
    stays_us: Ints
    lease_class: Ints
    need: Ints  # int64[m], GPUs of a node
    nodes: Ints  # int64[m]
    seed: int


class Way(NamedTuple):
    """How nodes are found, and what is known. g: GPUs of a node, and one."""

    how: int
    loss: Ints  # int64[g, g], of taking so many of so many free GPUs
    strange: Ints  # as `core.packing` has it
    known: Ints  # int64[65], requests by GPUs of a node, counted before the first comes
    useless: Ints  # int64[g], milli-GPU of so many free ones that the next request finds of no use, for the true shares


class Run(NamedTuple):
    """What happens in a run."""

    nodes: npt.NDArray[np.int32]  # int32[requests, widest], the rows that each got
    masks: npt.NDArray[np.uint64]
    figures: Floats


class Queue(NamedTuple):
    """Who waits, a list for each kind."""

    first: Ints  # int64[m], the oldest; -1: nobody
    last: Ints
    following: Ints  # int64[requests], who came next


def stream_of(kinds: list[tuple[int, int, float]], nodes: int, load: float, seed: int) -> Stream:
    """A week of requests for a pool of so many nodes of eight. `kinds`: (GPUs of a node, nodes, share of requests).

    They come as a Poisson process that asks for `load` of the pool on average; times are lognormal with a median of an hour and
    a mean of two; one request in five is guarded.
    """
    rng = np.random.default_rng(seed)
    need, wide, share = (np.array(column) for column in zip(*kinds, strict=True))
    share = share / share.sum()
    median_us, spread = float(HOUR_US), 1.2
    gpu_us = float((share * need * wide).sum()) * median_us * np.exp(spread**2 / 2)
    every_us = gpu_us / (load * nodes * 8)
    many = round(DAYS * 24 * HOUR_US / every_us)
    return Stream(
        np.cumsum(rng.exponential(every_us, many)).astype(np.int64),
        rng.choice(len(kinds), many, p=share).astype(np.int64),
        np.maximum(MINUTE_US, rng.lognormal(np.log(median_us), spread, many)).astype(np.int64),
        (rng.random(many) < 0.2).astype(np.int64),
        need.astype(np.int64),
        wide.astype(np.int64),
        seed,
    )


@njit(cache=True)
def _scanned(bins: Bins, need: Whole, way: Way, rows: Ints) -> bool:
    """Nodes for `rows` one after the other, each by a look at all: the least loss, or any that fits."""
    nodes = bins.nodes
    for i in range(len(rows)):
        best, least, fitting = -1, _NEVER, 0
        for row in range(len(nodes)):
            free = popcount(nodes[row]["free"])
            if free < need or (i > 0 and (rows[:i] == row).any()):
                continue
            fitting += 1
            if way.how == BY_CHANCE:
                if np.random.random() * fitting < 1.0:  # noqa: NPY002 (numba has no generators of its own here)
                    best = row
            elif way.loss[need, free] < least:
                best, least = row, way.loss[need, free]
        if best < 0:
            return False
        rows[i] = best
    return True


@njit(cache=True)
def _found(bins: Bins, ask: tuple[Whole, bool, Whole], way: Way, rows: Ints) -> bool:
    """The nodes of one request; the loss is our `scrap` where the bins choose."""
    if way.how != OURS:
        return _scanned(bins, ask[0], way, rows)
    return find(bins, np.zeros(0, np.uint64), ask, (way.loss, way.strange), rows)


@njit(cache=True)
def _oldest(queue: Queue, passed: npt.NDArray[np.bool_]) -> Whole:
    """The kind whose oldest request came first, of those not passed over; -1 if nobody is left."""
    best = -1
    for kind in range(len(passed)):
        if queue.first[kind] >= 0 and not passed[kind] and (best < 0 or queue.first[kind] < queue.first[best]):
            best = kind
    return best


@njit(cache=True)
def _dear(bins: Bins) -> float:
    """GPUs of leases that end, guarded ones counted ten times, if half of the nodes that are not free are taken back."""
    nodes = bins.nodes
    cost, many = np.empty(len(nodes)), 0
    for row in range(len(nodes)):
        if kin_of(nodes, row) != UNTOUCHED:
            cost[many] = nodes[row]["leased"][0] + 10.0 * nodes[row]["leased"][1]
            many += 1
    return float(np.sort(cost[:many])[: many // 2].sum())


@njit(cache=True)
def _sample(bins: Bins, useless: Ints, figures: Floats) -> None:
    for row in range(len(bins.nodes)):
        free = popcount(bins.nodes[row]["free"])
        figures[UNUSABLE] += useless[free]
        figures[FREE] += free
        figures[UNTOUCHED_NODES] += kin_of(bins.nodes, row) == UNTOUCHED
    figures[DEAR] += _dear(bins)
    figures[SAMPLES] += 1


@njit(cache=True)
def _note_gang(bins: Bins, need: Whole, rows: Ints, figures: Floats) -> None:
    """Where a gang is about to lie, and whether a rack would hold it."""
    nodes, near, near_by = bins.nodes, True, True
    for row in rows[1:]:
        near = near and nodes[row]["rack"] == nodes[rows[0]]["rack"]
        near_by = near_by and nodes[row]["pod"] == nodes[rows[0]]["pod"]
    figures[GANGS] += 1
    figures[IN_RACK] += near
    figures[IN_POD] += near_by
    for rack in range(bins.racks):
        if bins.tally[:, need:, rack].sum() >= len(rows):
            figures[RACK_HELD] += 1
            return


@njit(cache=True)
def _stranded(bins: Bins, stream: Stream, queue: Queue) -> Whole:
    """Kinds of requests of which somebody waits though he fits: counted node by node."""
    found = 0
    for kind in range(len(stream.need)):
        if queue.first[kind] >= 0:
            fitting = 0
            for row in range(len(bins.nodes)):
                fitting += popcount(bins.nodes[row]["free"]) >= stream.need[kind]
            found += fitting >= stream.nodes[kind]
    return found


@njit(cache=True)
def _join(queue: Queue, kind: Whole, request: Whole) -> None:
    if queue.first[kind] < 0:
        queue.first[kind] = request
    else:
        queue.following[queue.last[kind]] = request
    queue.last[kind] = request


@njit(cache=True)
def _place(bins: Bins, stream: Stream, queue: Queue, way: Way, run: Run) -> list[int]:
    """Give everybody who fits his GPUs, the oldest first; who they were."""
    passed = np.zeros(len(stream.need), np.bool_)
    placed = [0 for _ in range(0)]
    while True:
        kind = _oldest(queue, passed)
        if kind < 0:
            return placed
        request, need = queue.first[kind], stream.need[kind]
        rows = np.empty(stream.nodes[kind], np.int64)
        lease_class = stream.lease_class[request]
        if not _found(bins, (need, False, lease_class), way, rows):
            passed[kind] = True
            continue
        if len(rows) > 1:
            _note_gang(bins, need, rows, run.figures)
        for i in range(len(rows)):
            mask = lowest_bits(bins.nodes[rows[i]]["free"], need)
            run.nodes[request, i], run.masks[request, i] = rows[i], mask
            move(bins.nodes, bins.kinds, bins.present, bins.bits, bins.tally, rows[i], mask, lease_class)
        queue.first[kind] = queue.following[request]
        placed.append(request)


@njit(cache=True)
def play(bins: Bins, stream: Stream, way: Way) -> tuple[Floats, Floats]:
    """(figures, minutes that each request waited, up to the end for those never placed).

    The first day fills the pool and is not sampled.
    """
    np.random.seed(stream.seed)  # noqa: NPY002 (as above)
    many, wide = len(stream.at_us), stream.nodes.max()
    queue = Queue(np.full(len(stream.need), -1, np.int64), np.zeros(len(stream.need), np.int64), np.full(many, -1, np.int64))
    run = Run(np.zeros((many, wide), np.int32), np.zeros((many, wide), np.uint64), np.zeros(10))
    leaving = [(np.int64(_LATEST), 0)]
    waited, counts, now_way = np.full(many, -1.0), way.known.copy(), way
    coming, sample_us, hour_us = 0, np.int64(24 * HOUR_US), np.int64(0)
    while coming < many:
        if leaving[0][0] <= stream.at_us[coming]:
            now, request = heappop(leaving)
            for i in range(stream.nodes[stream.kind[request]]):
                row, mask = run.nodes[request, i], run.masks[request, i]
                move(bins.nodes, bins.kinds, bins.present, bins.bits, bins.tally, row, mask, stream.lease_class[request])
            counts[stream.need[stream.kind[request]]] -= 1
        else:
            now = stream.at_us[coming]
            _join(queue, stream.kind[coming], coming)
            counts[stream.need[stream.kind[coming]]] += 1
            coming += 1
        if way.how == OURS and now >= hour_us:
            loss, hour_us = scrap(counts, len(way.useless), CROWDING), now + HOUR_US
            now_way = Way(way.how, loss, way.strange, way.known, way.useless)
        for request in _place(bins, stream, queue, now_way, run):
            waited[request] = (now - stream.at_us[request]) / MINUTE_US
            heappush(leaving, (now + stream.stays_us[request], request))
        run.figures[STRANDED] += _stranded(bins, stream, queue)
        if now >= sample_us:
            _sample(bins, way.useless, run.figures)
            sample_us += SAMPLE_US
    return run.figures, np.where(waited < 0.0, (stream.at_us[-1] - stream.at_us) / MINUTE_US, waited)
