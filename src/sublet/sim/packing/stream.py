"""Which pods arrive in which order, and in which order nodes that score alike are taken: all of it from one seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.sim.packing.fleet import CPU, GPUS, MEMORY, MILLI, Fleet, Ints

LOAD = 1.3
"""GPUs asked for in all, in parts of what the cluster has."""


@dataclass(frozen=True)
class Workload:
    """The pods of a trace by kind."""

    kinds: Ints
    """int64[k, 4], each once; those that ask for as much of a GPU stand together, which `fragments` profits from."""
    of_pod: Ints
    """Row of each pod's kind, int64[p]."""

    @property
    def counts(self) -> Ints:
        """Pods of each kind, int64[k]."""
        return np.bincount(self.of_pod, minlength=len(self.kinds)).astype(np.int64)


@dataclass(frozen=True)
class Trial:
    """What one seed gives to every score."""

    fleet: Fleet
    """All free; the order of the rows breaks ties."""
    workload: Workload
    arrivals: Ints
    """Rows of `workload.kinds` in the order of arrival, int64[a]."""
    draws: npt.NDArray[np.float64]
    """Chance for a score that wants some, float64[a, 2] in [0, 1)."""


def workload_of(pods: Ints) -> Workload:
    """The kinds among these pods (int64[p, 4])."""
    columns = np.array([MILLI, GPUS, CPU, MEMORY])
    kinds, of_pod = np.unique(pods[:, columns], axis=0, return_inverse=True)
    return Workload(np.ascontiguousarray(kinds[:, np.argsort(columns)]), of_pod.reshape(-1).astype(np.int64))


def trial_of(fleet: Fleet, workload: Workload, seed: int) -> Trial:
    """The stream of this seed.

    As in the authors' simulator the pods of the trace come first, each once and in shuffled order, and only what is missing to
    130 % is drawn with replacement; the first draw that would be too much ends it.
    """
    chance = np.random.default_rng(seed)
    asked = workload.kinds[:, MILLI] * workload.kinds[:, GPUS]
    first = chance.permutation(workload.of_pod)
    missing = LOAD * float(fleet.gpus.sum()) - float(asked[first].sum())
    drawn = _drawn(workload.of_pod, asked, missing, chance)
    arrivals = np.concatenate([first, drawn])
    return Trial(fleet.in_order(chance.permutation(len(fleet.cpu))), workload, arrivals, chance.random((len(arrivals), 2)))


def _drawn(of_pod: Ints, asked: Ints, missing: float, chance: np.random.Generator) -> Ints:
    """Kinds of pods drawn with replacement while what they ask for stays within `missing` milli-GPU."""
    parts: list[Ints] = [np.zeros(0, np.int64)]
    while missing > 0:
        drawn = of_pod[chance.integers(len(of_pod), size=len(of_pod))]
        within = np.cumsum(asked[drawn]) <= missing
        parts.append(drawn[within])
        if not within.all():
            break
        assert asked[drawn].any(), "pods without GPUs never fill the cluster"
        missing -= float(asked[drawn].sum())
    return np.concatenate(parts)
