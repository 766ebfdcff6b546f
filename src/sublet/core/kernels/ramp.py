"""When each of many leases may be told and end, so that a site's power and storage bear it.

Time is cut into slots of a second, slot 0 beginning now. Two things are counted in each slot, both int64:

* `saving`, MB/s: a lease with g seconds of notice and b MB to save counts with b/g, rounded up, from its notice for g seconds;
* `falling`, W: a lease counts with the load that goes with it for a minute from its deadline. So the count in the slot of a
  deadline holds every deadline of the minute before it, and bounded slots mean bounded minutes, wherever a minute begins.

Each lease in turn is told as early as both bounds allow. One that passes a bound by itself goes where nothing else counts.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole
from sublet.core.lease import State
from sublet.core.tables import NEVER, STATE_CODE
from sublet.core.units import MINUTE_US, SECOND_US

Ints = npt.NDArray[np.int64]
SLOT_US = SECOND_US
HORIZON = 2 * 86_400
"""Slots: what is announced for later than that is not looked at."""

_RESERVED, _STARTING, _ACTIVE = STATE_CODE[State.RESERVED], STATE_CODE[State.STARTING], STATE_CODE[State.ACTIVE]
_NOTICED, _STOPPING, _HANDOVER = STATE_CODE[State.NOTICED], STATE_CODE[State.STOPPING], STATE_CODE[State.HANDOVER]
_NEVER = np.int64(NEVER)


@njit(cache=True)
def rate_mb_s(gpus: Whole, state_mb: Whole, grace_us: Whole) -> Whole:
    """What a lease saves a second, if it takes its whole notice for it; 0 without a notice: nothing is saved then."""
    if grace_us <= 0:
        return np.int64(0)
    return -(-gpus * state_mb * 1_000_000 // grace_us)


@njit(cache=True)
def _count(slots: Ints, from_us: Whole, to_us: Whole, what: Whole) -> None:
    """Count something from one instant to another (µs from now), as far as there are slots."""
    for slot in range(max(0, from_us // SLOT_US), min(len(slots), -(-to_us // SLOT_US))):
        slots[slot] += what


@njit(cache=True)
def count_ending(rows: Any, now_us: int, per_gpu: tuple[int, int], stop_us: int, saving: Ints, falling: Ints) -> None:
    """Count the leases of a pool (`tables.HELD_ROW`) that end already, or are dated to. `per_gpu`: (W, MB)."""
    watts, state_mb = per_gpu
    for i in range(len(rows)):
        row = rows[i]
        if not row["used"]:
            continue
        state, gpus, grace = row["state"], np.int64(row["gpus"]), np.int64(row["grace_us"])
        since = np.int64(row["since_us"]) - now_us
        if state == _NOTICED:
            ends = max(np.int64(0), row["deadline_us"] - now_us)
            _count(saving, since, ends, rate_mb_s(gpus, state_mb, ends - since))
        elif state == _STOPPING:
            ends = since
            _count(saving, since, since + stop_us, rate_mb_s(gpus, state_mb, grace))
        elif state == _HANDOVER:
            ends = since
        elif row["notice_at_us"] != _NEVER:
            told = max(np.int64(0), row["notice_at_us"] - now_us)
            ends = max(told + grace, row["exempt_us"] - now_us)
            _count(saving, told, told + grace, rate_mb_s(gpus, state_mb, grace))
        else:
            continue
        _count(falling, ends, ends + MINUTE_US, gpus * watts)


@njit(cache=True)
def _last_full(slots: Ints, from_us: Whole, to_us: Whole, what: Whole, most: Whole) -> Whole:
    """The last slot between two instants in which something does not go beside what is counted there; -1: there is none."""
    if most < 0 or what == 0:
        return np.int64(-1)
    for slot in range(min(len(slots), -(-to_us // SLOT_US)) - 1, from_us // SLOT_US - 1, -1):
        if slots[slot] > 0 and slots[slot] + what > most:
            return np.int64(slot)
    return np.int64(-1)


@njit(cache=True)
def _longer(slots: Ints, to_us: Whole) -> Ints:
    """The slots, with as many more as it takes to reach an instant."""
    lacking = -(-to_us // SLOT_US) - len(slots)
    return slots if lacking <= 0 else np.append(slots, np.zeros(max(lacking, len(slots)), np.int64))


@njit(cache=True)
def stagger(
    earliest_us: Ints, grace_us: Ints, saves_mb_s: Ints, sheds_w: Ints, most: tuple[int, int], saving: Ints, falling: Ints
) -> tuple[Ints, Ints]:
    """(notice_us, deadline_us), int64[n] from now: when each lease is told and ends at the earliest, one after the other.

    `earliest_us`: from now, no deadline is before it (now + grace, or the end of the exempt window). `most`: (MB/s, W), -1 for
    no bound. `saving` and `falling` hold what ends already.
    """
    n = len(earliest_us)
    notice, deadline = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        grace = grace_us[i]
        told: Whole = np.int64(0)
        while True:
            ends = max(told + grace, earliest_us[i])
            full = _last_full(saving, told, told + grace, saves_mb_s[i], most[0])
            if full >= 0:
                told = (full + 1) * SLOT_US
                continue
            full = _last_full(falling, ends, ends + MINUTE_US, sheds_w[i], most[1])
            if full < 0:
                break
            later = (full + 1) * SLOT_US - grace  # its deadline is then after that slot
            told = max(told + SLOT_US, -(-later // SLOT_US) * SLOT_US)
        notice[i], deadline[i] = told, ends
        saving, falling = _longer(saving, told + grace), _longer(falling, ends + MINUTE_US)
        _count(saving, told, told + grace, saves_mb_s[i])
        _count(falling, ends, ends + MINUTE_US, sheds_w[i])
    return notice, deadline
