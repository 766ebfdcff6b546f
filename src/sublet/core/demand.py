"""From jobs to demand: how many GPUs are asked for at each instant."""

import numpy as np
import numpy.typing as npt

from sublet.core.forecast.window import History

Ints = npt.NDArray[np.int64]


def demand_of_jobs(from_us: Ints, to_us: Ints, gpus: Ints) -> History:
    """The GPUs of all jobs that are there, as a step function; each job counts from `from_us` up to but without `to_us`.

    From the submission it is the demand that was asked for; from the start it is what was held, which is never more than
    the capacity and so hides what waited. Arrays are int64[n], instants in µs. A job that ends where it begins counts for
    nothing. The first step is where the first job begins, the last one (0) where the last one ends. Costs O(n log n).
    """
    assert len(from_us) == len(to_us) == len(gpus), "one of each for every job"
    there = to_us > from_us
    at = np.concatenate([from_us[there], to_us[there]]).astype(np.int64)
    change = np.concatenate([gpus[there], -gpus[there]]).astype(np.int64)
    order = np.argsort(at, kind="stable")
    instants, first = np.unique(at[order], return_index=True)
    if not len(instants):
        return History(instants, instants.copy())
    level = np.cumsum(np.add.reduceat(change[order], first))
    stays = np.concatenate([[False], level[1:] == level[:-1]])
    return History(instants[~stays], level[~stays])
