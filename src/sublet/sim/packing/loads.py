"""How much is allocated by the time that so much has arrived."""

import numpy as np
import numpy.typing as npt

from sublet.sim.packing.fleet import GPUS, MILLI, NOWHERE, Ints
from sublet.sim.packing.stream import Trial

LOADS = (90, 95, 100, 110, 130)
"""GPUs asked for by all arrivals, in per cent of what the cluster has: the columns of the table."""


def allocated(trial: Trial, placed: Ints) -> dict[int, float]:
    """Allocated GPU in per cent of the cluster's at each of the loads.

    Read as the authors read it: the mean over the arrivals at which the load, rounded to a whole per cent, is the one wanted.
    Where a large pod leaps over that, it is what was allocated before the pod.
    """
    asked = _asked(trial)
    total = float(trial.fleet.gpus.sum())
    load = np.rint(np.cumsum(asked) / total * 100.0)
    share = np.cumsum(np.where(placed[:, 0] == NOWHERE, 0, asked)) / total * 100.0
    return {wanted: _at(wanted, load, share) for wanted in LOADS}


def _at(wanted: int, load: npt.NDArray[np.float64], share: npt.NDArray[np.float64]) -> float:
    near = load == wanted
    if near.any():
        return float(share[near].mean())
    before = int((load < wanted).sum())
    return float(share[before - 1]) if before else 0.0


def _asked(trial: Trial) -> npt.NDArray[np.int64]:
    """Milli-GPU of each arrival, int64[a]."""
    kinds = trial.workload.kinds[trial.arrivals]
    asked: npt.NDArray[np.int64] = kinds[:, MILLI] * kinds[:, GPUS]
    return asked
