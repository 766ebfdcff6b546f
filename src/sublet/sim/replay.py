"""A trace replayed through the core: the owner's jobs come as they came, and `core.round.decide` decides as it does live.

Event by event, never second by second: a round is made when the owner asks or frees GPUs that somebody waits for, when time
alone asks for one (a deadline, a term), and at each market round. What a plan says is applied by the lifecycle that the running
system uses; what an engine would do takes the times of `scene.Engine`.
"""

from array import array
from collections.abc import Callable, Iterator

import numpy as np

from sublet.core import lifecycle
from sublet.core.endings import is_due, next_end_us
from sublet.core.ids import JobId, LeaseId
from sublet.core.lease import Cause, Event, Lease, State, step
from sublet.core.owner import JobEvent, OwnerJob, step_job
from sublet.core.plan import Grant, JobStart, Move, Notice, Plan
from sublet.core.round import decide
from sublet.core.supply import risk_bound
from sublet.core.tables import NEVER
from sublet.core.units import HOUR_US
from sublet.core.values import changed
from sublet.core.workload import CHECKPOINTED_EXIT
from sublet.sim.estate import Estate
from sublet.sim.feedback import Feedback
from sublet.sim.happenings import Happenings, Kind
from sublet.sim.opening import Opening
from sublet.sim.outlook import Outlook
from sublet.sim.scene import Scene
from sublet.sim.tally import Tally
from sublet.sim.workloads import Workloads

Progress = Callable[[float], None]
"""Told the share of the replay that is done, now and then."""


class Replay:
    """One pool, from the first job to the end of the trace."""

    def __init__(self, scene: Scene, outlook: Outlook, feedback: Feedback | None = None) -> None:
        """`outlook`: what is forecast at which instant; `feedback`: what moves the quota by how leases end, if anything."""
        self.scene, self._outlook, self._quota = scene, outlook, feedback
        self.estate = Estate(scene)
        self.tally = Tally()
        self.tally.starts_us.extend([-1] * len(scene.jobs))
        self._works = Workloads(scene)
        self._coming = Happenings()
        self._next_job = 0
        self._due_us = NEVER  # the round that time alone asks for
        self._round_due = False
        self._market_due = False
        self._does: dict[int, Callable[[str, int], None]] = {
            Kind.JOB_ENDS: self._job_ends,
            Kind.LEASE_FREE: self._lease_free,
            Kind.LEASE_GONE: self._lease_gone,
            Kind.LEASE_STARTS: self._lease_starts,
            Kind.ASKED: self._asked,
            Kind.MARKET: self._market,
            Kind.ROUND: self._time_asks,
        }
        self._now = scene.from_us
        self.opening: Opening | None = None  # how the pool stood when the market opened

    def run(self, progress: Progress = lambda _: None, *, opening: Opening | None = None) -> None:
        """Play the whole trace; with `opening`, from how another replay of the same jobs found the pool by then."""
        scene, submit = self.scene, self.scene.jobs.submit_us.tolist()
        if opening is None:
            self._demand_moved()
            self._play(submit, before_us=scene.open_us)
        else:
            self._resume(opening)
        self._pass_to(scene.open_us)
        self.opening = self._as_it_stands()
        self.estate.account.begin()
        self._coming.put(-(-scene.open_us // scene.market_us) * scene.market_us, Kind.MARKET)
        self._play(submit, before_us=scene.until_us + 1, progress=progress)
        self._pass_to(scene.until_us)
        self._close()

    def _play(self, submit: list[int], *, before_us: int, progress: Progress = lambda _: None) -> None:
        """Everything that happens before an instant."""
        scene = self.scene
        while (at := self._next_us(submit)) is not None and at < before_us:
            self._pass_to(at)
            self._happen(submit)
            if self._round_due or self._market_due:
                self._round()
            if self._market_due:
                progress((at - scene.open_us) / (scene.until_us - scene.open_us))
                self._market_due = False

    def _as_it_stands(self) -> Opening:
        return Opening(
            at_us=self._now,
            jobs=tuple(self.estate.standing.jobs.values()),
            next_job=self._next_job,
            freed_us=self.estate.pool.owner_freed_us,
            starts_us=np.array(self.tally.starts_us, np.int64),
            demand=np.array(self.tally.demand, np.int64),
            rounds=self.tally.rounds,
        )

    def _resume(self, opening: Opening) -> None:
        """Stand as the opening says."""
        assert opening.at_us == self.scene.open_us, "the opening of another scene"
        self._pass_to(opening.at_us)
        self._next_job = opening.next_job
        self.estate.set_pool(freed_us=opening.freed_us)
        self.tally.starts_us = array("q", opening.starts_us.tolist())
        self.tally.demand = array("q", opening.demand.tolist())
        self.tally.rounds = opening.rounds
        for job in opening.jobs:
            self.estate.put_job(job)
            if job.started_us is not None:
                self._coming.put(job.started_us + int(self.scene.jobs.run_us[int(job.id[1:])]), Kind.JOB_ENDS, job.id)

    # time

    def _next_us(self, submit: list[int]) -> int | None:
        coming = self._coming.next_us
        if self._next_job == len(submit):
            return coming
        return submit[self._next_job] if coming is None else min(coming, submit[self._next_job])

    def _pass_to(self, at_us: int) -> None:
        self.estate.account.advance(at_us)
        self._now = at_us

    def _happen(self, submit: list[int]) -> None:
        """Everything that happens at this instant."""
        now = self._now
        while (event := self._coming.take(now)) is not None:
            self._does[event[0]](event[1], event[2])
        while self._next_job < len(submit) and submit[self._next_job] == now:
            self._job_comes(self._next_job)
            self._next_job += 1

    # the owner's jobs

    def _job_comes(self, number: int) -> None:
        scene, jobs = self.scene, self.scene.jobs
        nodes = int(jobs.nodes[number])
        job = OwnerJob(
            id=JobId(f"j{number}"),
            pool=scene.pool.id,
            name="",
            gpus=nodes * int(jobs.gpus_per_node[number]),
            nodes=nodes,
            submitted_us=self._now,
            since_us=self._now,
        )
        self.estate.put_job(job)
        self._demand_moved()
        self._round_due = True

    def _job_starts(self, start: JobStart, entitled_us: int | None) -> None:
        """`entitled_us`: since when it may run, where that was seen only now."""
        now, job = self._now, self.estate.job(start.job)
        since = job.entitled_us if entitled_us is None else entitled_us
        assert since is not None, f"{job.id} starts without being entitled"
        both = (JobEvent.PLACE, JobEvent.STARTED)
        self.estate.put_job(step_job(job, *both, at=now, placement=start.placement, entitled_us=since, started_us=now))
        number = int(start.job[1:])
        self.tally.starts_us[number] = now
        if now >= self.scene.open_us:
            self.tally.delays_us.append(now - max(since, self.scene.open_us))
        self._coming.put(now + int(self.scene.jobs.run_us[number]), Kind.JOB_ENDS, start.job)

    def _job_ends(self, name: str, _: int) -> None:
        """The owner's own GPUs go from job to job without a hand-over; one before a lease is the lease's."""
        self.estate.put_job(step_job(self.estate.job(name), JobEvent.EXITED, JobEvent.FREE, at=self._now))
        self._demand_moved()
        if self.estate.standing.waiting:
            self.estate.set_pool(freed_us=self._now)
            self._round_due = True

    def _demand_moved(self) -> None:
        self.tally.demand.extend((self._now, self.estate.standing.demand))

    # leases

    def _lease_starts(self, name: str, attempt: int) -> None:
        lease = self._of_attempt(name, attempt)
        if lease is None or lease.started_us is not None or lease.state not in {State.STARTING, State.NOTICED}:
            return
        lease = lifecycle.started(lease, at_us=self._now)
        self.estate.put_lease(lease)
        if lease.state is State.NOTICED:
            self._told(lease)
        else:
            self._coming.put(self._now + self._works.runs_us(lease), Kind.LEASE_GONE, name, attempt)
        self._look_ahead()

    def _told(self, lease: Lease) -> None:
        """A workload that runs was told of its reclaim: it saves and leaves, if it does such things."""
        leaves = self._works.leaves_us(lease)
        if leaves is not None and lease.cause is Cause.RECLAIMED:
            self._coming.put(leaves, Kind.LEASE_GONE, lease.id, lease.attempt)

    def _lease_gone(self, name: str, attempt: int) -> None:
        """The workload of an attempt is gone: done, saved after its notice, or stopped."""
        lease = self._of_attempt(name, attempt)
        if lease is None or lease.state not in {State.STARTING, State.ACTIVE, State.NOTICED, State.STOPPING}:
            return
        code, safe = self._how_it_left(lease)
        lease = lifecycle.after_exit(lease, exit_code=code, at_us=self._now, checkpoint_us=safe)
        self.estate.put_lease(lease)
        self._works.ended(lease, safe_us=safe)
        if lease.cause is Cause.RECLAIMED:
            self.estate.note_eviction(lease, self._now)
        self.tally.attempt_ended(self.scene.pool, lease)
        if self._quota is not None:
            self._quota.ended(self._now, failed=lease.cause is Cause.RECLAIMED and code != 0)
        self._coming.put(self._now + self.scene.engine.handover_us, Kind.LEASE_FREE, name, attempt)

    def _how_it_left(self, lease: Lease) -> tuple[int | None, int | None]:
        """(exit code, what is safe of its work): 0 when its work is done, 85 when it saved, None when it was killed."""
        if lease.state is State.STOPPING:
            stopped = lease.stopped_us if lease.stopped_us is not None else self._now
            return None, self._works.saved_us(lease, until_us=stopped)
        if lease.started_us is not None and self._now >= lease.started_us + self._works.runs_us(lease):
            return 0, self._now
        return CHECKPOINTED_EXIT, self._now

    def _lease_free(self, name: str, attempt: int) -> None:
        lease = self._of_attempt(name, attempt)
        assert lease is not None and lease.state is State.HANDOVER, f"{name} was freed twice"
        lease = lifecycle.after_handover(self.scene.pool, lease, at_us=self._now)
        self.estate.put_lease(lease)
        if lease.state is State.ENDED and (following := self._works.over(lease, self._now)) is not None:
            self.estate.put_lease(following)
        self._round_due = self._round_due or bool(self.estate.standing.waiting)

    def _of_attempt(self, name: str, attempt: int) -> Lease | None:
        """The lease, if that attempt is still its present one."""
        lease = self.estate.lease(name)
        return lease if lease is not None and lease.attempt == attempt else None

    def _asked(self, _: str, __: int) -> None:
        for lease in self._works.due(self._now):
            self.estate.put_lease(lease)
        self._expect_listed()

    def _expect_listed(self) -> None:
        following = self._works.next_us()
        if following is not None:
            self._coming.put(max(following, self._now), Kind.ASKED)

    # rounds

    def _market(self, _: str, __: int) -> None:
        """A market round: forecasts are looked up, standing wishes are refilled."""
        self._coming.put(self._now + self.scene.market_us, Kind.MARKET)
        if self._now < self.scene.open_us + self.scene.market_us:
            self._expect_listed()
        for lease in self._works.refill(self._now):
            self.estate.put_lease(lease)
        if self._nothing_to_lend() or self._nobody_to_lend_to():
            return
        known = self._outlook.at(self._now, self.estate.standing.demand)
        self.estate.set_pool(forecasts=known.forecasts, shifts=known.shifts, feedback=self._feedback())
        self._market_due = True

    def _nothing_to_lend(self) -> bool:
        """Whether a round of the market could not lend a single GPU; the first of an hour is held anyway.

        Within an hour forecasts stay, and so does the reserve: what is free is then the reserve's, or is not.
        """
        if self._now % HOUR_US < self.scene.market_us:
            return False
        account, limit = self.estate.account, self.scene.pool.lending_limit
        return account.free <= account.reserve or limit == 0

    def _nobody_to_lend_to(self) -> bool:
        """Whether nobody waits for a lease, nor could a round move the price; the first of an hour is held anyway."""
        if self._now % HOUR_US < self.scene.market_us or self.scene.standing or self._quota is not None:
            return False
        standing = self.estate.standing
        return self.scene.pool.pricing == "fixed" and not (len(standing.queue) or standing.requested or standing.paused)

    def _feedback(self) -> float | None:
        """The factor on the quota of lending, where there is one."""
        if self._quota is None:
            return None
        rows, leases = self.estate.standing.held.rows, self.estate.standing
        waits = min((leases.leases[LeaseId(name)].requested_us for name in self._queued()), default=self._now)
        return self._quota.moved(self._now, running=int((rows["used"] & rows["runs"]).sum()), waited_us=self._now - waits)

    def _queued(self) -> Iterator[str]:
        queue = self.estate.standing.queue
        return (queue.keys[row] for row in np.flatnonzero(queue.rows["used"]))

    def _time_asks(self, _: str, __: int) -> None:
        """A round, unless what was due has ended by itself meanwhile."""
        if self._now >= self._due_us:
            self._due_us = NEVER
            if is_due(self.estate.standing, now_us=self._now):
                self._round_due = True
            else:
                self._look_ahead()

    def _round(self) -> None:
        """One round, and everything that it decided."""
        if self.estate.standing.placeless:
            self.estate.note_checkpoints(self._now)
            self.estate.count_evictions(self._now)
        plan = decide(self.estate.view(market=self._market_due), now=self._now, explain=False)
        self.tally.rounds += 1
        self._round_due = False
        self._apply(plan)
        if self._due_us == NEVER or plan.reclaims or plan.announced or plan.moves or plan.grants or plan.undated:
            self._look_ahead()
        if self._market_due and self._now % HOUR_US < self.scene.market_us:
            self._note_hour()

    def _apply(self, plan: Plan) -> None:
        entitled = {seen.job: seen.at_us for seen in plan.entitled}
        for start in plan.job_starts:
            self._job_starts(start, entitled.pop(start.job, None))
        for job, at_us in entitled.items():
            self.estate.put_job(changed(self.estate.job(job), entitled_us=at_us))
        for kept in plan.kept:
            self.estate.put_job(changed(self.estate.job(kept.job), placement=kept.placement))
        self._give_notice(plan)
        for move in _moves_of(plan):
            self._move(move)
        for grant in plan.grants:
            self._grant(grant)
        for price in plan.prices:
            self.estate.set_pool(price=(price.price_micro, self._now))
        for reserve in plan.reserves:
            self.estate.set_pool(reserve=reserve.gpus)
        for alarm in plan.alarms:
            self.tally.alarms[alarm.kind] += 1

    def _give_notice(self, plan: Plan) -> None:
        for at_us, notice in plan.dated:
            self.estate.put_lease(lifecycle.dated(self._live(notice.lease), at_us, reason=notice.reason))
        for item in plan.undated:
            self.estate.put_lease(lifecycle.dated(self._live(item.lease), None, reason=item.reason))
        for notice in plan.notices:
            self._notice(notice)

    def _notice(self, notice: Notice) -> None:
        lease = lifecycle.noticed(self._live(notice.lease), notice, at_us=self._now)
        self.estate.put_lease(lease)
        if lease.started_us is not None:
            self._told(lease)

    def _move(self, move: Move) -> None:
        lease = self._live(move.lease)
        if move.event is Event.STOP:
            stopped = lifecycle.stopped(lease, move.cause or Cause.FAILED, at_us=self._now, reason=move.reason)
            self.estate.put_lease(stopped)
            self._coming.put(self._now + self.scene.engine.stop_us, Kind.LEASE_GONE, lease.id, lease.attempt)
            return
        self.estate.put_lease(step(lease, move.event, at=self._now, reason=move.reason, cause=move.cause))
        if move.event is Event.REFUSE:
            self._works.refused(lease.id)

    def _grant(self, grant: Grant) -> None:
        lease = lifecycle.ordered(self._live(grant.lease), grant, at_us=self._now, funded_until_us=None)  # nobody has a limit
        self.estate.put_lease(lease)
        self._works.granted(lease)
        self.tally.by_class[lease.lease_class].granted += 1
        self._coming.put(self._now + self.scene.engine.start_us, Kind.LEASE_STARTS, lease.id, lease.attempt)

    def _live(self, name: LeaseId) -> Lease:
        return self.estate.standing.leases[name]

    def _look_ahead(self) -> None:
        """Put the round that time alone will ask for."""
        due = next_end_us(self.estate.standing, after_us=self._now)
        if due < self._due_us:
            self._due_us = due
            self._coming.put(due, Kind.ROUND)

    def _note_hour(self) -> None:
        """What was offered under a guarantee at the full hour, and a point of the curve."""
        pool, standing = self.estate.pool, self.estate.standing
        self.estate.account.mark()
        for name in pool.pool.classes:
            terms = pool.pool.terms[name]
            for term in terms.terms_us if terms.credit_multiple else ():
                bound = risk_bound(pool, terms, term, price_micro=pool.price_micro, capacity=standing.capacity)
                self.tally.offers.extend((self._now, term, bound))

    def _close(self) -> None:
        """The end of the trace: what still runs is rated up to here, and owner jobs that wait past their promise count."""
        for job in self.estate.standing.waiting.values():
            if job.entitled_us is not None:
                self.tally.delays_us.append(self._now - max(job.entitled_us, self.scene.open_us))
        for lease in list(self.estate.standing.leases.values()):
            if lease.started_us is not None and lease.state in {State.ACTIVE, State.NOTICED}:
                cut = changed(lease, stopped_us=self._now, cause=lease.cause or Cause.RELEASED)
                self.tally.attempt_ended(self.scene.pool, cut)
        self.estate.account.mark()


def _moves_of(plan: Plan) -> Iterator[Move]:
    """Its moves; a lease that is admitted and granted at once takes both steps with its grant."""
    granted = {grant.lease for grant in plan.grants}
    return (move for move in plan.moves if move.event is not Event.ADMIT or move.lease not in granted)
