"""By which score pods are placed: one row each."""

from collections.abc import Callable, Mapping

import numpy as np

from sublet.sim.packing.baseline import best_fit, random_fit
from sublet.sim.packing.classes import popular
from sublet.sim.packing.descent import descend, published
from sublet.sim.packing.fleet import Ints
from sublet.sim.packing.learned import least_stranded
from sublet.sim.packing.stream import Trial

Score = Callable[[Trial], Ints]
"""Where the pods of a trial go: int64[a, 2], the row of the node or NOWHERE, and the GPUs, one bit each."""

FGD, OURS = "fgd", "least_stranded"


def _random(trial: Trial) -> Ints:
    return np.asarray(random_fit(trial.fleet.copied(), trial.workload.kinds, trial.arrivals, trial.draws))


def _best_fit(trial: Trial) -> Ints:
    return np.asarray(best_fit(trial.fleet.copied(), trial.workload.kinds, trial.arrivals))


def _fgd(trial: Trial) -> Ints:
    measure = published(popular(trial.workload))
    return np.asarray(descend(trial.fleet.copied(), trial.workload.kinds, trial.arrivals, measure))


def _least_stranded(trial: Trial) -> Ints:
    sizes = np.unique((trial.fleet.gpus > 0).sum(axis=1)).astype(np.int64)
    return np.asarray(least_stranded(trial.fleet.copied(), trial.workload.kinds, trial.arrivals, sizes))


SCORES: Mapping[str, Score] = {"random": _random, "best_fit": _best_fit, FGD: _fgd, OURS: _least_stranded}
"""From the plainest to ours."""
