"""The queue of a pool in one pass: who could be granted now, and what keeps the others.

Rows are `tables.QUEUE_ROW`, one a lease; instants in µs.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

FREE_TO_BID = 0
SUSPENDED = 1  # its tenant is
BACKING_OFF = 2  # after a reclaim
AT_RISK = 3  # its class may not lend so many more
OVER_QUOTA = 4  # its tenant's
BREAKS_PROMISE = 5  # the owner's hand-back promise
TOO_LARGE = 6  # for what is lendable now
NO_ROOM = 7  # nowhere so many free GPUs together
NO_ROOM_LEFT = 8  # winners before it took the room
OVER_BUDGET = 9  # its tenant cannot pay its start

Ints = npt.NDArray[np.int64]


@njit(cache=True)
def obstacle(
    row: Any,
    now_us: int,
    spare: Ints,
    tenants: tuple[npt.NDArray[np.bool_], Ints, Ints],
    unlocked: int,
) -> int:
    """What in the contracts keeps one request waiting: one of the codes above, the first that holds; FREE_TO_BID if nothing."""
    suspended, quota, holding = tenants
    if suspended[row["tenant"]]:
        return SUSPENDED
    if now_us < row["not_before_us"]:
        return BACKING_OFF
    if row["gpus"] > spare[row["product"]]:
        return AT_RISK
    if quota[row["tenant"]] >= 0 and holding[row["tenant"]] + row["gpus"] > quota[row["tenant"]]:
        return OVER_QUOTA
    if row["locks"] and row["gpus"] > unlocked:
        return BREAKS_PROMISE
    return FREE_TO_BID


@njit(cache=True)
def screen(
    rows: npt.NDArray[Any],
    now_us: int,
    spare: Ints,
    tenants: tuple[npt.NDArray[np.bool_], Ints, Ints],
    unlocked: int,
    lendable: int,
) -> npt.NDArray[np.int8]:
    """int8[n]: what keeps each request waiting, one of the codes above; -1 for rows that are not used.

    `spare`: int64[products], GPUs of each (class, term) that may still be lent. `tenants`: (suspended bool, quota int64 with -1
    for none, holding int64), by number of the tenant. `unlocked`: GPUs that leases may take which cannot be back within the
    promised time. `lendable`: GPUs for sale now.
    """
    code = np.full(len(rows), -1, np.int8)
    for i in range(len(rows)):
        row = rows[i]
        if row["used"]:
            code[i] = obstacle(row, now_us, spare, tenants, unlocked)
            if code[i] == FREE_TO_BID and row["gpus"] > lendable:
                code[i] = TOO_LARGE
    return code
