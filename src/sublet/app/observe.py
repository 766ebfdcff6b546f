"""The first loop: what the engine sees becomes steps of leases and of the owner's jobs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sublet.app import fitness, metering, moves
from sublet.app.mirror import Mirror
from sublet.app.notices import announce
from sublet.core import lifecycle
from sublet.core.ids import JobId, LeaseId, NodeId, PoolId, RunId
from sublet.core.lease import HELD, Cause, Lease, State
from sublet.core.owner import JOB_HELD, JobEvent, JobState, OwnerJob, step_job
from sublet.core.plan import Notice
from sublet.core.terms import Pool
from sublet.core.units import on_grid
from sublet.engines.protocol import NodeSeen, OwnerWork, Phase, Seen
from sublet.store import evidence, jobs, leases, nodes
from sublet.store.bulk import portions
from sublet.store.database import Database, Tx
from sublet.store.evidence import HandOver
from sublet.store.nodes import NodeRow

_GONE = frozenset({Phase.EXITED, Phase.CLEAN, Phase.DIRTY})
_HANDED_OVER = frozenset({Phase.CLEAN, Phase.DIRTY})
_RUNNING = frozenset({State.STARTING, State.ACTIVE, State.NOTICED, State.STOPPING})
_LOST = Seen(RunId(""), Phase.EXITED)


@dataclass(frozen=True, slots=True)
class Sight:
    """What the engine showed. `at_us` was read before looking, so whatever ended by then is in `runs`.

    An engine may show a look that it kept for some seconds: `at_us` is then when it looked, and `read_us` when that reached
    us. Whatever is of our own making, such as a node that we offer no longer, happens then.
    """

    at_us: int
    runs: Mapping[RunId, Seen]
    nodes: Sequence[NodeSeen] = ()
    work: Sequence[OwnerWork] | None = None  # the owner's jobs in the engine's queue; None: he queues them with us
    changed: Collection[RunId] | None = None  # runs that are not as in the look before; None: any may not be
    read_us: int | None = None  # None: at once

    @property
    def now_us(self) -> int:
        """When it reached us."""
        return self.at_us if self.read_us is None else self.read_us


@dataclass(frozen=True, slots=True)
class Steps:
    """Chains of steps that an observation led to."""

    leases: tuple[moves.LeaseChain, ...] = ()
    jobs: tuple[moves.JobChain, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.leases or self.jobs)


@dataclass(frozen=True, slots=True)
class _News:
    """What a look tells that the database does not know yet."""

    steps: Steps
    checkpoints: list[tuple[LeaseId, int]]

    def __bool__(self) -> bool:
        return bool(self.steps or self.checkpoints)


def observe(database: Database, mirror: Mirror, sight: Sight) -> Steps:
    """Bring the database up to what was seen; doing it again changes nothing more.

    What is news follows from the state in memory. It is written in portions, each looked at anew in its own transaction. If it
    fails, the next look has to be taken as a whole: `changed` None.
    """
    with mirror.lock:
        with database.read() as tx:
            mirror.catch_up(tx)
        moved = with_news(mirror, sight, mirror.take_moved())
        sold = _sold(mirror)
        health = [row.id for row, _ in _changed_nodes(mirror.nodes, sight, mirror.down)]
    if health:
        with database.write() as tx:
            rows = {node.id: node for node in nodes.some(tx, health)}
            _note_health(tx, _changed_nodes(rows, sight, {name for name, row in rows.items() if row.down}), sight)
    done = Steps()
    for names in portions(moved, database.portion):
        with database.write() as tx:
            held = leases.some(tx, [LeaseId(name) for name in names], lock=True)  # anew: now nobody else writes them
            news = _news(sold, [*held, *jobs.some(tx, [JobId(name) for name in names])], sight)
            _write(tx, sight, news.steps)
            leases.note_checkpoints(tx, news.checkpoints)
        done = Steps(done.leases + news.steps.leases, done.jobs + news.steps.jobs)
    return done


def with_news(mirror: Mirror, sight: Sight, moved: Collection[RunId] | None) -> list[str]:
    """The leases and jobs of which the look tells something that the mirror does not show. `moved`: as `take_moved` gave it."""
    sold = _sold(mirror)
    return [one.id for one in _worth_a_look(mirror, sight, moved) if _news(sold, [one], sight)]


def _sold(mirror: Mirror) -> Mapping[PoolId, Pool]:
    return {pool: kept.row.pool for pool, kept in mirror.pools.items()}


def _worth_a_look(mirror: Mirror, sight: Sight, moved: Collection[RunId] | None) -> list[Lease | OwnerJob]:
    """Whoever may have news: whoever is not simply running, and those that changed, on either side, since the look before.

    What was looked at and is the same on both sides has no news. `moved`: runs whose holder was read anew since then. Where
    that or what the engine changed is not known, all are looked through: for runs that are not just there, or are missing.
    """
    holders, runs = mirror.runs, sight.runs
    found = {one.run for one in mirror.unsettled.values()}
    if sight.changed is not None and moved is not None:
        found.update(run for run in (*sight.changed, *moved) if run in holders)
    else:
        found.update(run for run, seen in runs.items() if run in holders and not _simply_runs(seen))
        found |= holders.keys() - runs.keys()
    return [holders[run] for run in sorted(found)]


def _simply_runs(seen: Seen) -> bool:
    return seen.phase is Phase.RUNNING and seen.checkpoint_us is None and seen.taken_us is None


def _news(sold: Mapping[PoolId, Pool], holders: Sequence[Lease | OwnerJob], sight: Sight) -> _News:
    held = [one for one in holders if isinstance(one, Lease) and one.state in HELD]
    work = [one for one in holders if isinstance(one, OwnerJob) and one.state in JOB_HELD]
    lease_chains = [_lease_chain(lease, sold[lease.pool], sight) for lease in held]
    job_chains = [_job_chain(job, sight) for job in work]
    steps = Steps(
        tuple(chain for chain in lease_chains if len(chain) > 1), tuple(chain for chain in job_chains if len(chain) > 1)
    )
    return _News(steps, _checkpoints(held, sight))


def _lease_chain(lease: Lease, pool: Pool, sight: Sight) -> moves.LeaseChain:
    """The steps that bring one lease up to what was seen of its run."""
    seen = sight.runs.get(lease.run)
    if seen is None:
        if lease.state not in {State.ACTIVE, State.NOTICED} or lease.started_us is None:
            return (lease,)  # its order was not carried out yet, and is given again
        seen = replace(_LOST, run=lease.run)
    chain = [lease]
    if lease.state in {State.STARTING, State.NOTICED} and lease.started_us is None and seen.started_us is not None:
        chain.append(lifecycle.started(chain[-1], at_us=_instant(seen.started_us, lease.since_us, sight)))
    if chain[-1].state in {State.STARTING, State.ACTIVE} and seen.taken_us is not None:
        chain.append(_taken(chain[-1], seen, sight))
    if chain[-1].state in _RUNNING and seen.phase in _GONE:
        known_us = max(chain[-1].since_us, chain[-1].metered_us or 0)  # it was seen running until then
        ended = _instant(seen.exited_us or sight.at_us, known_us, sight)
        told = _with_checkpoint(chain[-1], seen)
        chain.append(lifecycle.after_exit(told, exit_code=seen.exit_code, at_us=ended))
    if chain[-1].state is State.HANDOVER and seen.phase in _HANDED_OVER:
        chain.append(lifecycle.after_handover(pool, chain[-1], at_us=max(sight.at_us, chain[-1].since_us)))
    return tuple(chain)


def _taken(lease: Lease, seen: Seen, sight: Sight) -> Lease:
    """The lease once the owner's own scheduler has said that it takes the GPUs: a reclaim like ours, with the same dues."""
    assert seen.taken_us is not None
    at = max(_instant(seen.taken_us, lease.since_us, sight), lease.metered_us or 0)
    ends = seen.exited_us if seen.phase in _GONE and seen.exited_us is not None else seen.taken_by_us
    reason = "the owner's scheduler preempts it, without waiting for a plan of ours"
    notice = Notice(lease.id, lease.version, Cause.RECLAIMED, max(at, on_grid(ends or at)), reason)
    return lifecycle.noticed(lease, notice, at_us=at)


def _job_chain(job: OwnerJob, sight: Sight) -> moves.JobChain:
    """The steps that bring one job of the owner up to what was seen of its run; a hold, or one queued elsewhere, has none."""
    seen = sight.runs.get(job.run)
    if job.is_hold or job.is_elsewhere:
        return (job,)
    if seen is None:
        if job.state is not JobState.RUNNING:
            return (job,)
        seen = replace(_LOST, run=job.run)
    chain = [job]
    if job.state is JobState.STARTING and seen.started_us is not None:
        at = _instant(seen.started_us, job.since_us, sight)
        chain.append(replace(step_job(job, JobEvent.STARTED, at=at, reason="runs"), started_us=at))
    if chain[-1].state in {JobState.STARTING, JobState.RUNNING, JobState.STOPPING} and seen.phase in _GONE:
        at = _instant(seen.exited_us or sight.at_us, chain[-1].since_us, sight)
        said = "unknown" if seen.exit_code is None else str(seen.exit_code)
        exited = step_job(chain[-1], JobEvent.EXITED, at=at, reason=f"exit code {said}")
        chain.append(replace(exited, ended_us=at, exit_code=seen.exit_code))
    if chain[-1].state is JobState.HANDOVER and seen.phase in _HANDED_OVER:
        chain.append(step_job(chain[-1], JobEvent.FREE, at=max(sight.at_us, chain[-1].since_us)))
    return tuple(chain)


def _instant(seen_us: int, since_us: int, sight: Sight) -> int:
    """An instant by the engine's clock on ours: on the grid, not before the last step and not in the future."""
    return max(since_us, min(on_grid(seen_us), sight.at_us))


def _with_checkpoint(lease: Lease, seen: Seen) -> Lease:
    if seen.checkpoint_us is None:
        return lease
    return replace(lease, checkpoint_us=max(lease.checkpoint_us or 0, on_grid(seen.checkpoint_us)))


def _write(tx: Tx, sight: Sight, steps: Steps) -> None:
    """Save the steps; attempts that ended are metered to their last second in the same transaction."""
    _quarantine(tx, sight, steps)
    chains = dict(enumerate(steps.leases))
    ended = [(i, n) for i, chain in chains.items() for n, lease in enumerate(chain) if n and lease.state is State.HANDOVER]
    over = [chains[i][n] for i, n in ended]
    until = max([sight.at_us, *(lease.stopped_us or 0 for lease in over)])  # a release may be younger than the look
    closed = metering.close_attempt(tx, over, now_us=until)
    for (i, n), lease in zip(ended, closed, strict=True):
        chains[i] = _carry(chains[i], n, lease)
    moves.save_leases(tx, chains.values())
    moves.save_jobs(tx, steps.jobs)
    announce(tx, [lease for chain in chains.values() for lease in chain[1:]], at_us=sight.at_us)
    evidence.put_all(tx, _hand_overs(sight, steps))


def _carry(chain: moves.LeaseChain, n: int, metered: Lease) -> moves.LeaseChain:
    """The chain with the marks of metering on its n-th lease and on those after it."""
    last = chain[-1] if n + 1 < len(chain) else None
    head = (*chain[:n], metered)
    return head if last is None else (*head, replace(last, usage_seq=metered.usage_seq))


def _quarantine(tx: Tx, sight: Sight, steps: Steps) -> None:
    """Take nodes out of offers whose hand-over failed."""
    looks = [(holder, sight.runs.get(holder.run)) for holder in _holders(steps)]
    failed = [(holder, seen) for holder, seen in looks if seen is not None and seen.phase is Phase.DIRTY]
    rows = {row.id: row for row in nodes.some(tx, {node for holder, _ in failed for node, _ in holder.placement})}
    for holder, seen in failed:
        found = "; ".join(f"{key}: {value}" for key, value in seen.evidence.items())
        reason = f"quarantined: the hand-over of {holder.id} failed ({found or 'no detail'})"
        for node, _ in holder.placement:
            fitness.take_down(tx, rows[node], reason, at_us=sight.now_us)


def _hand_overs(sight: Sight, steps: Steps) -> Iterator[HandOver]:
    for holder in _holders(steps):
        seen = sight.runs.get(holder.run)
        if seen is not None and seen.phase in _HANDED_OVER:
            yield HandOver(seen.run, holder.id, sight.at_us, seen.phase is Phase.CLEAN, seen.evidence)


def _holders(steps: Steps) -> list[Lease | OwnerJob]:
    """Who moved, as it was read."""
    return [*(chain[0] for chain in steps.leases), *(chain[0] for chain in steps.jobs)]


def _checkpoints(held: Sequence[Lease], sight: Sight) -> list[tuple[LeaseId, int]]:
    """Checkpoints that running leases proved since the last look."""
    found = []
    for lease in held:
        seen = sight.runs.get(lease.run)
        if seen is not None and seen.checkpoint_us is not None:
            at = min(on_grid(seen.checkpoint_us), sight.at_us)
            if at > (lease.checkpoint_us or 0):
                found.append((lease.id, at))
    return found


def _changed_nodes(rows: Mapping[NodeId, NodeRow], sight: Sight, down: Collection[NodeId]) -> list[tuple[NodeRow, NodeSeen]]:
    """Nodes whose health is news; one that was taken down for another reason does not come back by itself.

    `down`: those of the rows that are; of all others only the ill are looked at.
    """
    ours = {name for name in down if rows[name].reason.startswith(fitness.UNHEALTHY)}
    ill = [(rows[seen.id], seen) for seen in sight.nodes if not seen.healthy and seen.id in rows and seen.id not in down]
    well = [(rows[seen.id], seen) for seen in sight.nodes if seen.id in ours and seen.healthy] if ours else []
    return [*ill, *well]


def _note_health(tx: Tx, changed: Sequence[tuple[NodeRow, NodeSeen]], sight: Sight) -> None:
    for row, seen in changed:
        if seen.healthy:
            fitness.put_up(tx, row, at_us=sight.now_us)
        else:
            fitness.take_down(tx, row, fitness.UNHEALTHY + (seen.detail or "no detail"), at_us=sight.now_us)
