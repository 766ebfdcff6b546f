"""Passes over the leases that hold GPUs (`tables.HELD_ROW`, one row a lease): what is due, what is promised, what an end loses.

State and class codes are indices into `tables.STATES` and `tables.CLASSES`. Instants and durations in µs.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole, charge_micro, owed_micro
from sublet.core.lease import State
from sublet.core.tables import NEVER, STATE_CODE

Rows = npt.NDArray[Any]

_RESERVED, _STARTING, _ACTIVE = STATE_CODE[State.RESERVED], STATE_CODE[State.STARTING], STATE_CODE[State.ACTIVE]
_NOTICED, _STOPPING, _HANDOVER = STATE_CODE[State.NOTICED], STATE_CODE[State.STOPPING], STATE_CODE[State.HANDOVER]
_NEVER = np.int64(NEVER)


@njit(cache=True)
def due_us(row: Any, lead_us: Whole, start_us: Whole, stop_us: Whole, handover_us: Whole) -> Whole:
    """When time alone asks for a decision about this lease; NEVER if it does not.

    Noticed: its deadline. Before that: the instant of its notice, if it is dated. Active: also `lead_us` (at most its own
    grace) before its end. Starting, stopping, in hand-over: when it has been so for longer than the bound given.
    """
    state, since = row["state"], np.int64(row["since_us"])
    if state == _NOTICED:
        return np.int64(row["deadline_us"])
    if state == _STOPPING:
        return since + stop_us + 1
    if state == _HANDOVER:
        return since + handover_us + 1
    at = np.int64(row["notice_at_us"])
    if state == _ACTIVE and row["ends_us"] != _NEVER:
        return min(at, np.int64(row["ends_us"]) - min(np.int64(row["grace_us"]), lead_us))
    if state == _STARTING:
        return min(at, since + start_us + 1)
    return at


@njit(cache=True)
def due(rows: Rows, now_us: int, bounds: tuple[int, int, int, int]) -> tuple[npt.NDArray[np.int64], Whole]:
    """(int64[k], instant): the rows that are due at `now_us`, in their order, and when the next one will be.

    `bounds`: lead, longest start, stop and hand-over, as `due_us` takes them.
    """
    found = np.empty(len(rows), np.int64)
    many = 0
    next_us: Whole = NEVER
    for i in range(len(rows)):
        if rows[i]["used"]:
            at = due_us(rows[i], bounds[0], bounds[1], bounds[2], bounds[3])
            if at <= now_us:
                found[many] = i
                many += 1
            elif at < next_us:
                next_us = at
    if many == 0:
        return found[:0], next_us
    order = np.empty(many, np.int64)
    for i in range(many):
        order[i] = rows[found[i]].order
    return found[:many][np.argsort(order)], next_us


@njit(cache=True)
def held_by(rows: Rows, classes: int, tenants: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(int64[classes], int64[tenants]): GPUs held, by class and by tenant."""
    by_class, by_tenant = np.zeros(classes, np.int64), np.zeros(tenants, np.int64)
    for i in range(len(rows)):
        if rows[i]["used"]:
            by_class[rows[i]["lease_class"]] += rows[i]["gpus"]
            by_tenant[rows[i]["tenant"]] += rows[i]["gpus"]
    return by_class, by_tenant


@njit(cache=True)
def locked(rows: Rows, now_us: int, within_us: int, after_us: int, unbreakable: npt.NDArray[np.bool_]) -> int:
    """GPUs that could not be back with the owner `within_us` after he asks now.

    A lease is back `after_us` (detection, stop, hand-over, start) after its notice or its exempt window ends, whichever is
    later, or after the deadline it already has. `unbreakable`: bool[classes], classes that only force ends.
    """
    gpus = 0
    for i in range(len(rows)):
        row = rows[i]
        if not row["used"]:
            continue
        if row["deadline_us"] != _NEVER:
            wait = max(0, row["deadline_us"] - now_us)
        elif row["notice_at_us"] != _NEVER:
            wait = max(max(0, row["notice_at_us"] - now_us) + np.int64(row["grace_us"]), row["exempt_us"] - now_us)
        else:
            wait = max(np.int64(row["grace_us"]), row["exempt_us"] - now_us)
        if unbreakable[row["lease_class"]] or wait + after_us > within_us:
            gpus += row["gpus"]
    return gpus


@njit(cache=True)
def unlocks_us(rows: Rows, now_us: int, within_us: int, after_us: int, unbreakable: npt.NDArray[np.bool_]) -> Whole:
    """When the next of the leases that `locked` counts could be back in time by waiting alone; NEVER if none."""
    next_us: Whole = NEVER
    for i in range(len(rows)):
        row = rows[i]
        if not row["used"] or unbreakable[row["lease_class"]]:
            continue
        if row["deadline_us"] != _NEVER:
            ends = np.int64(row["deadline_us"])
        elif row["notice_at_us"] != _NEVER:
            ends = max(np.int64(row["notice_at_us"]) + np.int64(row["grace_us"]), np.int64(row["exempt_us"]))
        else:
            ends = np.int64(row["exempt_us"])
        at = ends + after_us - within_us
        if now_us < at < next_us:
            next_us = at
    return next_us


@njit(cache=True)
def weigh(
    rows: Rows,
    times: tuple[int, int, int, int],
    breakable: npt.NDArray[np.bool_],
    multiple: npt.NDArray[np.int64],
    refunds: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """For each row (may, deadline_us, loss_micro, late): whether it may be ended now, when, at which loss, and if too late.

    The loss is the work since the last proven checkpoint (`work_max_us` at most) and the restart, at the price agreed; the
    credit, a `multiple` of the price of the term; and where the class `refunds`, what the attempt was billed. `times`: now,
    when the GPUs are due, the time from the deadline to GPUs in the owner's hands, the restart. `breakable`, `multiple`,
    `refunds`: by class.
    """
    now_us, by_us, back_us, restart_us = times
    n = len(rows)
    may, late = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    deadline, loss = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for i in range(n):
        row = rows[i]
        reclaimable = row["state"] == _RESERVED or row["state"] == _STARTING or row["state"] == _ACTIVE
        if not (row["used"] and reclaimable and row["notice_at_us"] == _NEVER and breakable[row["lease_class"]]):
            continue
        may[i] = True
        end = max(now_us + row["grace_us"], np.int64(row["exempt_us"]))
        deadline[i], late[i] = end, end + back_us > by_us
        gpus, price = np.int64(row["gpus"]), np.int64(row["price_micro"])
        work = min(max(0, end - row["safe_us"]), np.int64(row["work_max_us"])) if row["runs"] else 0
        lost = charge_micro(gpus * (work + restart_us), price)
        lost += gpus * owed_micro(price, multiple[row["lease_class"]], np.int64(row["term_us"]))
        if row["runs"] and refunds[row["lease_class"]]:
            lost += charge_micro(gpus * max(0, end - row["started_us"]), price)
        loss[i] = lost
    return may, deadline, loss, late


@njit(cache=True)
def borrowed(rows: Rows, nominal: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """bool[n]: leases by which their tenants hold more than their nominal quota, the newest first. `nominal`: by tenant."""
    n = len(rows)
    over = np.zeros(n, np.bool_)
    if not nominal.any():
        for i in range(n):
            over[i] = rows[i]["used"]
        return over
    granted, order = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        granted[i], order[i] = -rows[i]["granted_us"], rows[i]["order"]
    by_order = np.argsort(order, kind="mergesort")
    newest = by_order[np.argsort(granted[by_order], kind="mergesort")]
    excess = -nominal
    for i in range(n):
        if rows[i]["used"]:
            excess[rows[i]["tenant"]] += rows[i]["gpus"]
    for i in newest:
        if rows[i]["used"] and excess[rows[i]["tenant"]] > 0:
            over[i] = True
            excess[rows[i]["tenant"]] -= rows[i]["gpus"]
    return over


@njit(cache=True)
def over_budget(
    rows: Rows, may: npt.NDArray[np.bool_], weight: npt.NDArray[np.int64], left: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """bool[n]: leases whose end would be one too many for their tenant, all but the `left` (by tenant) that weigh least."""
    over, still = np.zeros(len(rows), np.bool_), left.copy()
    for i in np.argsort(weight, kind="mergesort"):
        if rows[i]["used"] and may[i]:
            over[i] = still[rows[i]["tenant"]] <= 0
            still[rows[i]["tenant"]] -= 1
    return over
