"""As few leases as possible, whatever they lose: Lyra's order (EuroSys 2023).

Lyra reclaims the servers on which the fewest jobs end, where a job on n servers counts 1/n for each of them; so the last
server of a job that is hit anyway is free. The division among servers is the cover's, which tries both ways.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

ONE = 1_000_000
"""The weight of one lease: large enough to be shared among many nodes as a whole number."""


def fewest_jobs(rows: npt.NDArray[Any], loss: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same weight for every lease."""
    del loss
    return np.full(len(rows), ONE, np.int64)
