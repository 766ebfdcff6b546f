"""The third loop: a stored plan becomes steps, holds, prices and journal entries, in one transaction.

Nothing is chosen here. An item whose subject has moved since the plan was made is dropped; the next round decides anew.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sublet.app import block_deals, block_shifts, moves
from sublet.app.notices import announce
from sublet.app.residency import Bound, grouped, judged_leases, record
from sublet.core import lifecycle
from sublet.core.ids import JobId, LeaseId
from sublet.core.lease import Cause, Event, Lease, State, step
from sublet.core.ledger import Hold
from sublet.core.occupancy import Level
from sublet.core.owner import JobEvent, OwnerJob, step_job
from sublet.core.plan import Grant, JobStart, Move, Notice, Plan, Reclaim
from sublet.store import events, jobs, leases, ledger, plans, pools, prices, spans
from sublet.store.bulk import portions
from sublet.store.database import Database, Tx
from sublet.store.events import Entry
from sublet.store.prices import PricePoint

Item = TypeVar("Item", Notice, Move)


@dataclass(slots=True)
class Applied:
    """What applying did."""

    leases: list[moves.LeaseChain] = field(default_factory=list)
    jobs: list[moves.JobChain] = field(default_factory=list)
    stale: int = 0


def apply_pending(database: Database, *, now_us: int) -> Applied:
    """Apply every stored plan that was not applied yet, oldest first, in portions: others write in between.

    A plan is pending until its last portion is written. Who begins anew after a crash drops what was applied, as it drops
    whatever has moved.
    """
    done = Applied()
    with database.read() as tx:
        waiting = plans.pending(tx) if plans.is_pending(tx) else ()
    for number, plan in waiting:
        moved: set[LeaseId] = set()
        *parts, last = _portions(plan, database.portion)
        for part in parts:
            with database.write() as tx:
                _Applying(tx, part, moved, done).run()
        with database.write() as tx:
            _Applying(tx, last, moved, done).run()
            events.append(tx, [_planned(one) for one in plan.reclaims])
            plans.mark_applied(tx, number, at_us=now_us)
    return done


def _portions(plan: Plan, size: int) -> Iterator[Plan]:
    """The plan in parts that are short to write, what the owner waits for first. All items of a lease are in one part."""
    empty = Plan(plan.at_us)
    if plan.job_starts or plan.entitled or plan.kept:
        yield replace(empty, job_starts=plan.job_starts, entitled=plan.entitled, kept=plan.kept)
    for one in plan.reclaims:
        for first in range(0, len(one), size):
            yield replace(empty, reclaims=(one.part(first, first + size),))
    notices, steps = _by_lease(plan.announced), _by_lease(plan.moves)
    granted, spared = {grant.lease: grant for grant in plan.grants}, {item.lease: item for item in plan.undated}
    ended = dict.fromkeys(name for name in (*notices, *spared, *steps) if name not in granted)
    for names in portions((*ended, *granted), size):
        yield replace(
            empty,
            announced=tuple(item for name in names for item in notices.get(name, ())),
            undated=tuple(spared[name] for name in names if name in spared),
            moves=tuple(item for name in names for item in steps.get(name, ())),
            grants=tuple(granted[name] for name in names if name in granted),
        )
    for waits in portions(plan.waits):
        yield replace(empty, waits=tuple(waits))
    for auction in plan.auctions:
        for part in block_deals.parts(auction, size):
            yield replace(empty, auctions=(part,))
    for shifts in portions(plan.shifts, size):
        yield replace(empty, shifts=tuple(shifts))
    yield replace(empty, prices=plan.prices, reserves=plan.reserves, alarms=plan.alarms)


def _by_lease(items: Iterable[Item]) -> dict[LeaseId, list[Item]]:
    found: dict[LeaseId, list[Item]] = {}
    for item in items:
        found.setdefault(item.lease, []).append(item)
    return found


class _Applying:
    """A part of a plan inside one transaction. Chains grow in memory and are written once at the end."""

    def __init__(self, tx: Tx, plan: Plan, moved: set[LeaseId], done: Applied) -> None:
        """`moved`: leases that were no longer what the plan was made for; nothing more of it is for them."""
        self.tx, self.plan, self.moved, self.done = tx, plan, moved, done
        self.leases: dict[LeaseId, list[Lease]] = {}
        self.jobs: dict[JobId, list[OwnerJob]] = {}
        self.verdicts: list[Bound] = []

    def run(self) -> None:
        plan = self.plan
        jobs.note_entitled(self.tx, [(item.job, item.at_us) for item in plan.entitled])
        self._load()
        for start in plan.job_starts:
            self._start_job(start)
        self._note_dates()
        for notice in plan.notices:
            self._move(notice.lease, notice.version, notice)
        for move in plan.moves:
            self._move(move.lease, move.version, move)
        self._grant(plan.grants)
        jobs.note_kept(self.tx, [(item.job, item.placement) for item in plan.kept])
        chains = [tuple(chain) for chain in self.leases.values() if len(chain) > 1]
        job_chains = [tuple(chain) for chain in self.jobs.values() if len(chain) > 1]
        moves.save_leases(self.tx, chains)
        moves.save_jobs(self.tx, job_chains)
        leases.note_waits(self.tx, [(wait.lease, wait.reason) for wait in plan.waits])
        self._set_levels()
        self.done.stale += block_deals.apply(self.tx, plan) + block_shifts.apply(self.tx, plan)
        announce(self.tx, [chain[-1] for chain in chains], at_us=plan.at_us)
        record(self.tx, self.verdicts, now_us=plan.at_us)
        self.done.leases += chains
        self.done.jobs += job_chains

    def _load(self) -> None:
        plan = self.plan
        wanted = {item.lease for group in (plan.announced, plan.undated, plan.moves, plan.grants) for item in group}
        wanted |= {lease for one in plan.reclaims for lease in one.leases}
        self.leases = {lease.id: [lease] for lease in leases.some(self.tx, wanted, lock=True)}
        self.jobs = {job.id: [job] for job in jobs.some(self.tx, {item.job for item in plan.job_starts})}

    def _current(self, lease: LeaseId, version: int) -> list[Lease] | None:
        """The lease's chain if it is still what the plan was made for; once it is not, nothing more of the plan is for it.

        The version alone would not tell: an item that was dropped and a step of somebody else both count as one.
        """
        chain = None if lease in self.moved else self.leases.get(lease)
        if chain is None or chain[-1].version != version:
            self.moved.add(lease)
            self.done.stale += 1
            return None
        return chain

    def _move(self, lease: LeaseId, version: int, item: Notice | Move) -> None:
        chain = self._current(lease, version)
        if chain is None:
            return
        chain.append(self._stepped(chain[-1], item))

    def _stepped(self, lease: Lease, item: Notice | Move) -> Lease:
        at = self._instant(lease.since_us)
        if isinstance(item, Notice):
            return lifecycle.noticed(lease, item, at_us=at)
        if item.event is Event.STOP:
            return lifecycle.stopped(lease, item.cause or Cause.FAILED, at_us=at, reason=item.reason)
        return step(lease, item.event, at=at, reason=item.reason, cause=item.cause)

    def _note_dates(self) -> None:
        """Leases that later rounds give notice, and those that go on after all: written apart, as they take no step."""
        dates: list[tuple[LeaseId, int, int | None, str]]
        dates = [(item.lease, item.version, at, item.reason) for at, item in self.plan.dated]
        dates += [(item.lease, item.version, None, item.reason) for item in self.plan.undated]
        moved, told = [], []
        for name, version, at, reason in dates:
            chain = self._current(name, version)
            if chain is not None:
                lease = lifecycle.dated(self.leases.pop(name)[-1], at, reason=reason)
                moved.append((chain[-1], lease))
                kind = "lease.undated" if at is None else "lease.dated"
                data = {"attempt": lease.attempt, "notice_at_us": at}
                told.append(Entry(self.plan.at_us, kind, reason, lease.tenant, lease.id, lease.pool, data))
        leases.save_all(self.tx, moved)
        events.append(self.tx, told)

    def _start_job(self, item: JobStart) -> None:
        chain = self.jobs.get(item.job)
        if chain is None or chain[-1].version != item.version:
            self.done.stale += 1
            return
        at = self._instant(chain[-1].since_us)
        chain.append(step_job(chain[-1], JobEvent.PLACE, at=at, reason=item.reason, placement=item.placement))
        if chain[-1].is_hold:  # nothing runs: the GPUs are the owner's at once
            chain.append(step_job(chain[-1], JobEvent.STARTED, at=at, reason="held", started_us=at))

    def _grant(self, grants: Iterable[Grant]) -> None:
        """Reserve the money of all grants, then step those that are covered; the others wait for their budget."""
        ready = [(grant, chain) for grant in grants if (chain := self._current(grant.lease, grant.version)) is not None]
        ready = self._kept_home(ready)
        holds = [
            Hold(grant.lease, chain[-1].attempt + 1, chain[-1].tenant, chain[-1].pool, grant.hold_micro)
            for grant, chain in ready
        ]
        refused = ledger.hold_all(self.tx, holds, now_us=self.plan.at_us) if holds else set()
        for grant, chain in ready:
            at = self._instant(chain[-1].since_us)
            if grant.lease in refused:
                reason = "the spend limit does not cover its start"
                chain.append(replace(step(chain[-1], Event.PAUSE, at=at, reason=reason), cause=Cause.BUDGET))
            else:
                chain.extend(lifecycle.granted(chain[-1], grant, at_us=at))

    def _kept_home(self, ready: list[tuple[Grant, list[Lease]]]) -> list[tuple[Grant, list[Lease]]]:
        """Those whose data may be where they are to start, as the sites are known now; the others are refused.

        Their verdicts are kept for the end of the transaction, when they are recorded.
        """
        judged = judged_leases(self.tx, [chain[-1] for _, chain in ready])
        self.verdicts += grouped(judged)
        for _, chain in ready:
            lease = chain[-1]
            denial = next((one for one in judged.get(lease.id, ()) if not one.allowed), None)
            if denial is not None:
                reason = f"its data may not be at {denial.place.name}: {denial.reason}"
                cause = Cause.RECLAIMED if lease.is_bought else Cause.REFUSED  # a block that was sold is credited
                moved = step(lease, Event.REFUSE, at=self._instant(lease.since_us), reason=reason, cause=cause)
                chain.append(moved)
        return [(grant, chain) for grant, chain in ready if chain[-1].state is not State.ENDED]

    def _set_levels(self) -> None:
        """Prices, reserves and alarms."""
        at = self.plan.at_us
        for price in self.plan.prices:
            pools.set_price(self.tx, price.pool, price.price_micro, at_us=at)
            prices.note(self.tx, price.pool, PricePoint(at, price.price_micro, price.floor_micro, price.reason))
        for reserve in self.plan.reserves:
            pools.set_reserve(self.tx, reserve.pool, reserve.gpus)
            spans.note_reserve(self.tx, reserve.pool, Level(at, reserve.gpus))
        entries = [
            Entry(at, "price.set", p.reason, pool=p.pool, data={"price_micro": p.price_micro, "floor_micro": p.floor_micro})
            for p in self.plan.prices
        ]
        entries += [Entry(at, "reserve.set", r.reason, pool=r.pool, data={"gpus": r.gpus}) for r in self.plan.reserves]
        entries += [Entry(at, f"alarm.{alarm.kind}", alarm.reason, pool=alarm.pool) for alarm in self.plan.alarms]
        events.append(self.tx, entries)

    def _instant(self, since_us: int) -> int:
        """When the plan's steps happen: the instant it was decided for, unless the subject has moved later."""
        return max(since_us, self.plan.at_us)


def _planned(one: Reclaim) -> Entry:
    """What a reclaim costs, beside what any would have cost at the least."""
    figures = {
        "job": one.job,
        "gpus": one.gpus,
        "leases": len(one),
        "loss_micro": one.loss_micro,
        "bound_micro": one.bound_micro,
        "last_deadline_us": max(one.deadlines_us),
    }
    return Entry(one.at_us, "reclaim.planned", one.reason, pool=one.pool, data=figures)
