"""How a pool stands when its market opens. Before that nothing is leased, so it is the same under every policy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.owner import OwnerJob

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """The owner's live jobs at an instant, and what was noted up to it."""

    at_us: int
    jobs: tuple[OwnerJob, ...]  # running and waiting, oldest first
    next_job: int  # the first of the scene's jobs that has not been submitted
    freed_us: int  # when the owner's own work last gave GPUs back to somebody who waited
    starts_us: Ints  # of each job by number; -1: it has not started
    demand: Ints  # (instant, GPUs) one after the other
    rounds: int
