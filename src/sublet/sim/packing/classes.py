"""The requests that make up most of a workload, as FGD knows them before the first pod arrives."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sublet.sim.packing.fleet import CPU, GPUS, MILLI, Ints
from sublet.sim.packing.stream import Workload

COVERED = 0.95


class Classes(NamedTuple):
    """Requests for CPU and GPUs and how popular they are; memory is left out of account."""

    requests: Ints
    """int64[k, 3]: milli-CPU, milli-GPU of each GPU, GPUs; see `core.kernels.fragments`."""
    share: npt.NDArray[np.float64]
    """float64[k], one in all."""


def popular(workload: Workload) -> Classes:
    """The most popular requests, as few as make up 95 % of all pods, with their shares among themselves.

    Popularity is the number of pods, whatever they ask for; those that ask for no GPU are part of it. Of equally popular
    requests the larger comes first, by CPU, then GPU.
    """
    requests, of_kind = np.unique(workload.kinds[:, [CPU, MILLI, GPUS]], axis=0, return_inverse=True)
    pods = np.bincount(of_kind.reshape(-1), weights=workload.counts)
    order = np.lexsort((np.arange(len(pods)), pods))[::-1]
    covered = np.cumsum(pods[order])
    kept = order[: int(np.searchsorted(covered, COVERED * covered[-1])) + 1]
    return Classes(requests[kept], pods[kept] / pods[kept].sum())
