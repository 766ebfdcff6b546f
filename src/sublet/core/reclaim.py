"""Which leases end when the owner lacks GPUs: those whose end weighs least, and never more than he can use.

The loss of a victim is the work since its last checkpoint, its restart, and the credits owed. GPUs already on their way back
(noticed, stopping, in hand-over) count as his, so the next round does not pick new victims for the same need. A lease's end is
never before its exempt window's: notice and exempt window overlap, they do not add up.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.fleet import Masks, Placement
from sublet.core.ids import LeaseId
from sublet.core.kernels import held as passes
from sublet.core.kernels.cheapest import Effort, Nodes, cheapest
from sublet.core.kernels.cover import Shape, free_up
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room
from sublet.core.standing import Standing
from sublet.core.tables import CLASSES
from sublet.core.terms import Breaking, Pool
from sublet.core.victims import VICTIM_ORDERS

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_WORK, _BRANCHING = 100_000, 600_000
"""Parts of leases on nodes that one round may look at, over all its shortages, to price and search, and then to branch: each a
few milliseconds."""
_ROUNDS, _SEARCHES, _BRANCHES = 24, 6, 2_000
"""Where there is time for them: more hardly ever find anything cheaper, or prove it."""
_SEARCH, _BRANCH = 6, 12
"""A search for a cover takes about as long as so many rounds of prices, and a problem of the branching."""

_NOBODY: Ints = np.empty(0, np.int64)
_ANYWHERE: Nodes = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Reclaimable:
    """The leases that hold GPUs, as possible victims: arrays with one row a lease, in the rows of `Standing.held`."""

    rows: npt.NDArray[Any]
    holds: npt.NDArray[Any]
    may: Bools  # its contract allows it to be ended
    deadline_us: Ints  # when at the earliest
    loss_micro: Ints  # what that costs all sides
    weight: Ints  # what the victim order and the tenants' budgets make of it
    late: Bools  # its GPUs would come back after the promised time
    borrowed: Bools  # beyond its tenant's nominal quota: among equals it goes first


@dataclass(frozen=True, slots=True)
class Victims:
    """The leases that end for a job, as columns: a reclaim of a tenth of a large fleet has tens of thousands."""

    who: Reclaimable
    rows: Ints  # int64[n]: their rows
    names: list[str]  # by row

    def __len__(self) -> int:
        """How many."""
        return len(self.rows)

    @property
    def gpus(self) -> int:
        """GPUs that they hold."""
        return int(self.who.rows["gpus"][self.rows].sum())

    @property
    def leases(self) -> list[LeaseId]:
        """Their names."""
        names = self.names
        return [LeaseId(names[row]) for row in self.rows.tolist()]


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a waiting job still lacks, and the leases that end for it. `placement` is where it will run then.

    `bound_micro`: no leases whose end would make room, of those that were to be chosen from, lose less together.
    """

    job: OwnerJob
    victims: Victims
    placement: Placement | None  # None: not even all reclaimable leases would make room
    bound_micro: int = 0

    @property
    def loss_micro(self) -> int:
        """What the ends are expected to cost all sides."""
        return int(self.victims.who.loss_micro[self.victims.rows].sum())


def reclaimable(
    standing: Standing,
    *,
    now_us: int,
    due_us: int,
    forced: bool,
    nominal: Ints,
    budget: Ints | None = None,
    spared: Bools | None = None,
) -> Reclaimable:
    """The leases of a pool as victims for a job whose GPUs are due at `due_us`.

    `nominal`: int64[tenants], GPUs by number of the tenant; `budget`: int64[tenants], evictions that each has left before it is
    taken last; `spared` (bool[rows]) are on their way back already.
    """
    pool, rows = standing.pool, standing.held.rows
    breakable, multiple, refunds = _contracts(pool, forced=forced)
    back_us = pool.stop_us + pool.handover_us + pool.start_us
    times = (now_us, due_us, back_us, pool.restart_us)
    may, deadline, loss, late = passes.weigh(rows, times, breakable, multiple, refunds)
    if spared is not None:
        may &= ~spared
    weight = VICTIM_ORDERS[pool.victim_order](rows, loss)
    if budget is not None:
        weight = _last(weight, may, passes.over_budget(rows, may, weight, budget))
    return Reclaimable(rows, standing.holds.rows, may, deadline, loss, weight, late, passes.borrowed(rows, nominal))


def _last(weight: Ints, may: Bools, over: Bools) -> Ints:
    """The weights, so that none of `over` is chosen where others do: each weighs more than all of the others together.

    It orders victims and forbids none: the owner never waits for a tenant's budget.
    """
    if not over.any():
        return weight
    most = np.iinfo(np.int64).max // 8 // len(weight)
    heavy: Ints = np.where(over, min(int(weight[may & ~over].sum()) + 1, most), 0)
    return weight + heavy


def make_room(
    job: OwnerJob,
    future: Room,
    who: Reclaimable,
    names: list[str],
    *,
    before: Masks | None = None,
    sharers: int = 1,
) -> Shortage:
    """The victims of little weight that let `job` start, given the room that is free or on its way back.

    Leases that are back in time are tried first, all of them only where those do not make room. For a job on one node no
    choice weighs less; nor for a gang, where no lease has several nodes. `names`: the lease of each row. `before`: which nodes
    are taken first, as in `Room.find`. Of the racks or pods in one of which the job has to be, it is the one that costs least.
    `sharers`: among how many shortages the round's time is shared.
    """
    shape, domain = (job.gpus_per_node, job.nodes), future.topology.domain(job.within, job.nodes)
    where = _ANYWHERE if domain is None else domain
    effort = effort_for(len(who.holds), sharers)
    found = future.find(gpus_per_node=shape[0], nodes=shape[1], before=before, within=job.within)
    if found is not None:
        return Shortage(job, Victims(who, _NOBODY, names), found)
    in_time = who.may & ~who.late
    for allowed in (in_time, who.may) if (who.may & who.late).any() else (in_time,):
        can, rows, bound, chosen = cheapest(
            who.rows, who.holds, (future.free, future.slots), (allowed, who.weight, who.borrowed), shape, where, effort
        )
        if can:
            if who.weight is not who.loss_micro:
                bound = _least_loss(future, who, allowed, shape, where)
            room = future.copy()
            free_up(who.holds, rows, len(who.rows), room.free, room.slots)
            if domain is not None:
                room.free[domain != chosen] = 0
            placed = room.find(gpus_per_node=shape[0], nodes=shape[1], before=before, within=job.within)
            return Shortage(job, Victims(who, rows, names), placed, int(bound))
    return Shortage(job, Victims(who, _NOBODY, names), None)


def effort_for(parts: int, sharers: int) -> Effort:
    """How long a cheaper choice is sought among so many parts: thoroughly, but where the fleet is large or many are short."""
    left = _WORK // max(1, parts * sharers)
    rounds = min(_ROUNDS, max(8, left))
    searches = min(_SEARCHES, max(1, (left - rounds) // _SEARCH))
    branches = min(_BRANCHES, _BRANCHING // max(1, parts * sharers * _BRANCH))
    return rounds, searches, branches


def _least_loss(future: Room, who: Reclaimable, allowed: Bools, shape: Shape, domain: Nodes) -> int:
    """The bound in money, where victims are chosen by something else."""
    loss, effort = (allowed, who.loss_micro, who.borrowed), (_ROUNDS, 1, 0)
    return int(cheapest(who.rows, who.holds, (future.free, future.slots), loss, shape, domain, effort)[2])


def _contracts(pool: Pool, *, forced: bool) -> tuple[Bools, Ints, Bools]:
    """(breakable, multiple, refunds) by class: whether a reclaim may end it, the credit's multiple, whether it refunds."""
    terms = [pool.terms.get(name) for name in CLASSES]
    allowed = {Breaking.FREE, Breaking.CREDIT} | ({Breaking.FORCE} if forced else set())
    return (
        np.array([one is not None and one.breaking in allowed for one in terms], np.bool_),
        np.array([0 if one is None else one.credit_multiple for one in terms], np.int64),
        np.array([one is not None and one.refunds for one in terms], np.bool_),
    )
