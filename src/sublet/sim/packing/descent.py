"""Scores that measure what a placement spoils: the pod goes where useless GPU grows the least.

What a node would lose by a kind of pod is remembered until the node changes, so that an arrival costs one look at each node and
a computation only for those that changed since the last pod of its kind. Results are as `baseline` describes them.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.fragments import fragments, stranded
from sublet.core.kernels.money import Whole
from sublet.sim.packing.classes import Classes
from sublet.sim.packing.fleet import CPU, GPUS, MILLI, NOWHERE, PLACES, Fleet, Ints, fits, free_gpus, shares_gpu, take

Floats = npt.NDArray[np.float64]


class Measure(NamedTuple):
    """By what the use of a node's idle GPU is judged."""

    requests: Ints
    """Classes, int64[k, 3], and how popular they are: see `fragments`."""
    share: Floats
    need: Floats
    """Milli-CPU to fill a GPU, mean and spread, float64[2]: see `stranded`; 0 leaves CPU out of account."""
    grain: float
    """So many steps a score has between 0 and 1; 0: losses are compared as they are."""


class Memo(NamedTuple):
    """What is known of placing each kind of pod on each node; [n, k]."""

    known: npt.NDArray[np.bool_]
    loss: Floats
    mask: Ints


@njit(cache=True)
def empty_memo(nodes: Whole, kinds: Whole) -> Memo:
    """Nothing is known."""
    return Memo(np.zeros((nodes, kinds), np.bool_), np.zeros((nodes, kinds)), np.zeros((nodes, kinds), np.int64))


@njit(cache=True)
def useless(cpu_milli: Whole, gpus: Ints, measure: Measure) -> float:
    """Milli-GPU of a node that are of no use to the next pod, or will be idle for want of CPU."""
    lost = fragments(cpu_milli, gpus, measure.requests, measure.share)
    return lost + stranded(cpu_milli, gpus.sum(), measure.need[0], measure.need[1])


@njit(cache=True)
def _loss(growth: float, grain: float) -> float:
    """`growth` of useless milli-GPU as a loss, the lower the better.

    FGD's score is the logistic function of the drop in GPUs, cut to whole hundredths. The cut matters: nodes that are nearly as
    good become equal, and the first of them keeps being filled.
    """
    if grain == 0.0:
        return growth
    return -math.floor(grain / (1.0 + math.exp(growth / 1_000.0)))


@njit(cache=True)
def _has_equal_before(gpus: Ints, gpu: Whole) -> bool:
    """Whether an earlier GPU has as much free, and so stands for this one too."""
    equal = 0
    for earlier in range(gpu):
        equal += gpus[earlier] == gpus[gpu]
    return bool(equal > 0)


@njit(cache=True)
def _appraise(fleet: Fleet, row: Whole, kind: Ints, measure: Measure) -> tuple[float, Whole]:
    """(the loss by placing a pod of this kind on the node, the GPUs it gets); infinite where it does not fit."""
    if not fits(fleet, row, kind):
        return math.inf, 0
    before = useless(fleet.cpu[row], fleet.gpus[row], measure)
    cpu = fleet.cpu[row] - kind[CPU]
    gpus = fleet.gpus[row].copy()
    if not shares_gpu(kind):
        mask = free_gpus(gpus, kind[GPUS])
        for gpu in range(PLACES):
            gpus[gpu] -= kind[MILLI] * (mask >> gpu & 1)
        return _loss(useless(cpu, gpus, measure) - before, measure.grain), mask
    least, best = math.inf, 0
    for gpu in range(PLACES):
        if gpus[gpu] < kind[MILLI] or _has_equal_before(gpus, gpu):
            continue
        gpus[gpu] -= kind[MILLI]
        loss = _loss(useless(cpu, gpus, measure) - before, measure.grain)
        gpus[gpu] += kind[MILLI]
        if loss < least:
            least, best = loss, 1 << gpu
    return least, best


@njit(cache=True)
def least_loss(fleet: Fleet, kinds: Ints, arrival: Whole, measure: Measure, memo: Memo) -> Whole:
    """The first of the nodes that lose the least by a pod of kind `arrival`; NOWHERE if it fits none."""
    best, least = NOWHERE, math.inf
    for row in range(len(fleet.cpu)):
        if not memo.known[row, arrival]:
            memo.loss[row, arrival], memo.mask[row, arrival] = _appraise(fleet, row, kinds[arrival], measure)
            memo.known[row, arrival] = True
        if memo.loss[row, arrival] < least:
            best, least = row, memo.loss[row, arrival]
    return best


@njit(cache=True)
def descend(fleet: Fleet, kinds: Ints, arrivals: Ints, measure: Measure) -> Ints:
    """Fragmentation gradient descent: popular requests are known beforehand and stay what they are."""
    placed = np.full((len(arrivals), 2), NOWHERE, np.int64)
    memo = empty_memo(len(fleet.cpu), len(kinds))
    for i in range(len(arrivals)):
        arrival = arrivals[i]
        row = least_loss(fleet, kinds, arrival, measure, memo)
        if row != NOWHERE:
            placed[i, 0], placed[i, 1] = row, memo.mask[row, arrival]
            take(fleet, row, kinds[arrival], memo.mask[row, arrival])
            memo.known[row] = False
    return placed


def published(classes: Classes) -> Measure:
    """The measure of FGD as published: fragments alone, scores in whole hundredths."""
    return Measure(classes.requests, classes.share, np.zeros(2), 100.0)
