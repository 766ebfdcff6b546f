"""A world of values: a fleet, tenants, the owner and an engine that keeps its bounds, moved by the core alone.

Each tick lets four seconds pass, tells the leases and jobs what the engine did meanwhile, runs one round and applies its plan
with the functions that the live loop uses. How long a start, an exit or a hand-over takes is drawn from the name of the run,
so that a history is repeated exactly. `dirty` is kept apart from all states: GPUs whose hand-over was not confirmed.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from zlib import crc32

from builders import T0, S, certain, fleet_of, node

from sublet.core import lifecycle
from sublet.core.fleet import Placement
from sublet.core.ids import JobId, LeaseId, TenantId
from sublet.core.lease import HELD, Cause, Event, Lease, State, step
from sublet.core.owner import JobEvent, JobState, OwnerJob, step_job
from sublet.core.plan import Grant, Move, Notice, Plan, Undated
from sublet.core.round import decide
from sublet.core.site import Site
from sublet.core.terms import Pool
from sublet.core.units import TICK_US, charge_micro
from sublet.core.view import PoolView, Quota, TenantView, View

ROUND_US = 4 * S


@dataclass(frozen=True)
class Work:
    """What a workload does: how long it runs, how it exits, and whether it heeds a notice."""

    life_us: int
    exit_code: int = 0
    heeds: bool = False  # saves and leaves with 85 soon after its notice


@dataclass
class Purse:
    """A tenant's money in micro-units."""

    limit: int | None
    spent: int = 0
    held: dict[LeaseId, int] = field(default_factory=dict)

    @property
    def headroom(self) -> int | None:
        return None if self.limit is None else self.limit - self.spent - sum(self.held.values())


@dataclass
class World:
    """Everything there is, and what happened to it."""

    pool: Pool
    sizes: tuple[int, ...]
    now: int = T0
    peak: int = 0  # what the forecast is sure of, for every horizon
    price: int = 1_000_000
    price_at: int = T0 - 3600 * S
    reserve: int = 0
    freed_us: int = 0
    down: set[int] = field(default_factory=set)
    leases: dict[LeaseId, Lease] = field(default_factory=dict)
    jobs: dict[JobId, OwnerJob] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=dict)
    purses: dict[TenantId, Purse] = field(default_factory=lambda: defaultdict(lambda: Purse(None)))
    quotas: dict[TenantId, Quota] = field(default_factory=dict)
    dirty: set[tuple[str, int]] = field(default_factory=set)
    site: Site | None = None
    ended: list[Lease] = field(default_factory=list)  # each attempt as it went into hand-over

    # what people do

    def request(self, lease: Lease, work: Work) -> None:
        self.leases[lease.id] = replace(lease, requested_us=self.now, since_us=self.now)
        self.works[lease.id] = work

    def release(self, name: LeaseId) -> None:
        self.leases[name] = lifecycle.released(self.leases[name], at_us=self.now)

    def submit(self, job: OwnerJob, work: Work) -> None:
        self.jobs[job.id] = replace(job, submitted_us=self.now, since_us=self.now)
        self.works[job.id] = work

    def cancel(self, name: JobId) -> None:
        job = self.jobs[name]
        if job.state is JobState.WAITING:
            self.jobs[name] = step_job(job, JobEvent.CANCEL, at=self.now)
            self.freed_us = self.now
        elif job.state in {JobState.STARTING, JobState.RUNNING}:
            self.jobs[name] = step_job(job, JobEvent.STOP, at=self.now)

    # one round

    def view(self) -> View:
        live = tuple(lease for lease in self.leases.values() if lease.state is not State.ENDED)
        work = tuple(job for job in self.jobs.values() if job.state is not JobState.ENDED)
        pool = PoolView(self.pool, self.price, self.price_at, self.reserve, {}, self.freed_us, site=self.site)
        terms = [us for c in self.pool.classes for us in self.pool.terms[c].terms_us]
        peaks = {us: certain(self.peak) for us in (*terms, self.pool.hold_us, pool.lead_us)}
        tenants = {
            name: TenantView(
                name,
                self.purses[name].headroom,
                {self.pool.id: self.quotas[name]} if name in self.quotas else None,
                evictions={self.pool.id: sum(x.tenant == name and x.cause is Cause.RECLAIMED for x in self.ended)},
            )
            for name in {lease.tenant for lease in live}
        }
        fleet = fleet_of(self.sizes, live, work, self.down)
        return View(fleet, (replace(pool, forecasts=peaks),), work, live, tenants)

    def advance(self) -> None:
        """Four seconds pass; what the engine did in them becomes known."""
        self.now += ROUND_US
        for lease in list(self.leases.values()):
            if lease.state in HELD:
                self.leases[lease.id] = self._seen_lease(lease)
        for job in list(self.jobs.values()):
            self.jobs[job.id] = self._seen_job(job)

    def decide(self) -> tuple[View, Plan]:
        view = self.view()
        return view, decide(view, now=self.now)

    def apply(self, plan: Plan) -> None:
        """Every item meets the version it was decided on: nothing else moves in between."""
        self._serve_owner(plan)
        for at, notice in plan.dated:
            self.leases[notice.lease] = lifecycle.dated(self._current(notice), at, reason=notice.reason)
        for item in plan.undated:
            self.leases[item.lease] = lifecycle.dated(self._current(item), None, reason=item.reason)
        for notice in plan.notices:
            lease = self._current(notice)
            self.leases[lease.id] = lifecycle.noticed(lease, notice, at_us=self.now)
        for move in plan.moves:
            self.leases[move.lease] = self._moved(self._current(move), move)
        for grant in plan.grants:
            lease = self._current(grant)
            self.leases[lease.id] = lifecycle.granted(lease, grant, at_us=self.now)[1]
            self.purses[lease.tenant].held[lease.id] = grant.hold_micro
            self._soil(grant.placement)
        for wait in plan.waits:
            self.leases[wait.lease] = replace(self.leases[wait.lease], reason=wait.reason)
        for price in plan.prices:
            self.price, self.price_at = price.price_micro, self.now
        for reserve in plan.reserves:
            self.reserve = reserve.gpus

    def _current(self, item: Notice | Move | Grant | Undated) -> Lease:
        lease = self.leases[item.lease]
        assert lease.version == item.version
        return lease

    def _moved(self, lease: Lease, move: Move) -> Lease:
        if move.event is Event.STOP:
            assert move.cause is not None
            return lifecycle.stopped(lease, move.cause, at_us=self.now, reason=move.reason)
        return replace(step(lease, move.event, at=self.now, reason=move.reason), cause=move.cause)

    def _serve_owner(self, plan: Plan) -> None:
        for start in plan.job_starts:
            job = self.jobs[start.job]
            assert job.version == start.version
            placed = step_job(job, JobEvent.PLACE, at=self.now, reason=start.reason)
            self.jobs[job.id] = replace(placed, placement=start.placement)
            self._soil(start.placement)
        for seen in plan.entitled:
            self.jobs[seen.job] = replace(self.jobs[seen.job], entitled_us=seen.at_us)
        for kept in plan.kept:
            self.jobs[kept.job] = replace(self.jobs[kept.job], placement=kept.placement)

    # the engine, inside its bounds

    def _delay(self, run: str, what: str, bound_us: int) -> int:
        ticks = bound_us // TICK_US
        return (crc32(f"{run} {what}".encode()) % 3) * ticks // 2 * TICK_US  # at once, half-way, or as late as allowed

    def _seen_lease(self, lease: Lease) -> Lease:
        pool, work, run = self.pool, self.works[lease.id], lease.run
        if lease.state in {State.STARTING, State.NOTICED} and lease.started_us is None:
            at = (lease.granted_us or 0) + self._delay(run, "start", pool.start_us)
            if at <= self.now:
                lease = lifecycle.started(lease, at_us=max(at, lease.since_us))
        if (gone := self._exit_us(lease, work)) is not None and gone <= self.now:
            heeded = lease.state is State.NOTICED and work.heeds and gone < (lease.started_us or 0) + work.life_us
            code = 85 if heeded else None if lease.state is State.STOPPING else work.exit_code
            lease = lifecycle.after_exit(lease, exit_code=code, at_us=max(gone, lease.since_us))
            self._settle(lease)
        if lease.state is State.HANDOVER and lease.since_us + self._delay(run, "wipe", pool.handover_us) <= self.now:
            self._clean(lease.placement)
            return lifecycle.after_handover(pool, lease, at_us=self.now)
        return lease

    def _exit_us(self, lease: Lease, work: Work) -> int | None:
        if lease.state is State.STOPPING:
            return (lease.stopped_us or 0) + self._delay(lease.run, "stop", self.pool.stop_us)
        if lease.started_us is None or lease.state not in {State.ACTIVE, State.NOTICED}:
            return None
        done = lease.started_us + work.life_us
        return min(done, lease.since_us + 5 * S) if lease.state is State.NOTICED and work.heeds else done

    def _settle(self, lease: Lease) -> None:
        """Post what the attempt cost and void the rest of its hold. What runs beyond its funds is not billed."""
        self.ended.append(lease)
        purse = self.purses[lease.tenant]
        hold = purse.held.pop(lease.id)
        ends = [lease.stopped_us, lease.funded_until_us, lease.noticed_us if lease.cause is Cause.RECLAIMED else None]
        billed = max(0, min(end for end in ends if end is not None) - lease.started_us) if lease.started_us is not None else 0
        charge = charge_micro(lease.gpus * billed, lease.price_micro or 0)
        assert charge <= hold
        purse.spent += charge

    def _seen_job(self, job: OwnerJob) -> OwnerJob:
        pool, work, run = self.pool, self.works[job.id], job.run
        if job.state is JobState.STARTING and (at := job.since_us + self._delay(run, "start", pool.start_us)) <= self.now:
            job = replace(step_job(job, JobEvent.STARTED, at=at), started_us=at)
        if job.state is JobState.RUNNING and (job.started_us or 0) + work.life_us <= self.now:
            job = step_job(job, JobEvent.EXITED, at=(job.started_us or 0) + work.life_us)
        if job.state is JobState.STOPPING and (at := job.since_us + self._delay(run, "stop", pool.stop_us)) <= self.now:
            job = step_job(job, JobEvent.EXITED, at=at)
        if job.state is JobState.HANDOVER and job.since_us + self._delay(run, "wipe", pool.handover_us) <= self.now:
            self._clean(job.placement)
            self.freed_us = self.now
            return step_job(job, JobEvent.FREE, at=self.now)
        return job

    def _soil(self, placement: Placement) -> None:
        for gpu in gpus(placement):
            assert gpu not in self.dirty, f"{gpu} was given away before its hand-over was confirmed"
            self.dirty.add(gpu)

    def _clean(self, placement: Placement) -> None:
        self.dirty -= gpus(placement)

    def set_down(self, number: int, *, down: bool) -> None:
        """A node breaks or comes back; a node that comes back is news for the owner's waiting jobs."""
        (self.down.add if down else self.down.discard)(number)
        self.freed_us = self.now if not down else self.freed_us


def gpus(placement: Placement) -> set[tuple[str, int]]:
    """A placement as single GPUs."""
    return {(where, bit) for where, mask in placement for bit in range(mask.bit_length()) if mask >> bit & 1}


__all__ = ["ROUND_US", "Purse", "Work", "World", "gpus", "node"]
