"""The owner's jobs in his own scheduler's queue, followed in our books: waiting, running, gone.

He changes nothing in how he works. A waiting job that lacks nothing but GPUs becomes a waiting job of ours, so that a round
ends leases for it and keeps the GPUs; it is never started by us. A job that runs holds as many GPUs of its nodes as its
scheduler says. Which of a node's GPUs these are in our books is ours to choose, as it is for leases there: the scheduler
counts, and so do we.

A job that runs before our books have room for it (a lease that it displaced is still being handed over, or lost the race for
the GPUs before it started) stays waiting, with those very GPUs kept for it, so that no other lease ends for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from sublet.app import fitness, moves
from sublet.app.mirror import Mirror
from sublet.app.notices import announce
from sublet.app.observe import Sight, Steps
from sublet.core import lifecycle
from sublet.core.errors import Stale
from sublet.core.fleet import Placement, count, lowest_bits
from sublet.core.ids import JobId, NodeId, PoolId
from sublet.core.lease import Cause, Lease, State
from sublet.core.owner import ELSEWHERE, JobEvent, JobState, OwnerJob, step_job
from sublet.core.placement import can_ever_fit
from sublet.core.plan import Notice
from sublet.core.standing import Standing
from sublet.core.terms import Pool
from sublet.core.topology import Within
from sublet.core.units import on_grid
from sublet.engines.protocol import OwnerWork
from sublet.store import events, jobs, nodes
from sublet.store.database import Database, Tx
from sublet.store.events import Entry


@dataclass(slots=True)
class _Changes:
    """What the queue tells that the books do not know yet."""

    fresh: list[OwnerJob] = field(default_factory=list)
    chains: list[moves.JobChain] = field(default_factory=list)
    kept: list[tuple[JobId, Placement]] = field(default_factory=list)
    given_way: list[moves.LeaseChain] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fresh or self.chains or self.kept or self.given_way)


def follow(database: Database, mirror: Mirror, sight: Sight) -> Steps:
    """Bring the books up to the owner's queue as seen; doing it again changes nothing more.

    What follows is worked out on the state in memory and written guarded by versions: whatever moved meanwhile is looked at
    again with the next tick.
    """
    if sight.work is None:
        return Steps()
    with mirror.lock:
        with database.read() as tx:
            mirror.catch_up(tx)
        found = _changes(mirror, sight.work, now_us=sight.now_us)
    if not found:
        return Steps()
    try:
        with database.write() as tx:
            _write(tx, found, now_us=sight.now_us)
    except Stale:
        return Steps()
    return Steps(tuple(found.given_way), tuple(found.chains))


def _write(tx: Tx, found: _Changes, *, now_us: int) -> None:
    jobs.insert_all(tx, found.fresh)
    _take_from_down(tx, found.chains, at_us=now_us)
    moves.save_jobs(tx, found.chains)
    moves.save_leases(tx, found.given_way)
    jobs.note_kept(tx, found.kept)
    events.append(tx, [_submitted(job) for job in found.fresh])
    announce(tx, [chain[-1] for chain in found.given_way], at_us=now_us)


def _changes(mirror: Mirror, queue: Sequence[OwnerWork], *, now_us: int) -> _Changes:
    books = _Books(mirror, now_us)
    live = [job for kept in mirror.pools.values() for job in kept.standing.jobs.values() if job.is_elsewhere]
    known = {_work_of(job.id): job for job in live}
    work = {one.id: one for one in queue}
    for name, job in known.items():
        _end_if_gone(books, job, work.get(name))
    for name, one in work.items():
        if one.ended_us is None and one.started_us is not None:
            books.run(one, known.get(name))
    for name, one in work.items():
        if one.started_us is None and one.able and name not in known:
            books.wait(one)
    return books.changes


def _end_if_gone(books: "_Books", job: OwnerJob, work: OwnerWork | None) -> None:
    """A job that left the queue, or waits for something else than GPUs, is over for us."""
    if job.state is JobState.WAITING:
        waits = work is not None and work.ended_us is None and (work.able or work.started_us is not None)
        if not waits:
            books.end(job, JobEvent.CANCEL, books.now_us, reason="it left the owner's queue, or waits for more than GPUs")
    elif work is None or work.ended_us is not None or work.started_us is None:
        at = books.now_us if work is None or work.ended_us is None else work.ended_us
        code = None if work is None else work.exit_code
        books.end(job, JobEvent.EXITED, at, reason="ended in the owner's queue", exit_code=code)


class _Books:
    """Who holds what while the queue is read, and the changes that follow."""

    def __init__(self, mirror: Mirror, now_us: int) -> None:
        self.now_us = now_us
        self.changes = _Changes()
        self._mirror = mirror
        self._free: dict[NodeId, int] = {}  # of the nodes that were looked at: GPUs that nobody holds, down ones too
        self._coming: dict[NodeId, int] = {}  # and those that are held and on their way back

    def _look_at(self, nodes: Iterable[NodeId]) -> None:
        for node in nodes:
            if node not in self._free:
                standing = self._mirror.pools[self._mirror.nodes[node].pool].standing
                row = standing.row_of[node]
                held = int(standing.owner[row]) | int(standing.leased[row])
                self._free[node] = int(standing.slots[row]) & ~held
                self._coming[node] = int(standing.coming[row]) & held

    def end(self, job: OwnerJob, event: JobEvent, at_us: int, *, reason: str, exit_code: int | None = None) -> None:
        """The job is over; its own scheduler's hand-over is not ours to see."""
        at = max(job.since_us, min(on_grid(at_us), self.now_us))
        chain = [job, step_job(job, event, at=at, reason=reason, ended_us=at, exit_code=exit_code)]
        if event is JobEvent.EXITED:
            chain.append(step_job(chain[-1], JobEvent.FREE, at=at))
            self._look_at(node for node, _ in job.placement)
            self._give(self._free, job.placement)
        self.changes.chains.append(tuple(chain))

    def wait(self, work: OwnerWork) -> None:
        """A waiting job of the owner: leases end for it."""
        pool = self._pool_for(work, work.within)
        if pool is not None:
            self.changes.fresh.append(replace(self._job(work, pool), within=work.within))
        elif (pool := self._pool_for(work, Within.SITE)) is not None:  # where the racks are not known, his scheduler's are
            self.changes.fresh.append(self._job(work, pool))

    def run(self, work: OwnerWork, job: OwnerJob | None) -> None:
        """A job that runs: it holds GPUs of its nodes, at the latest when those who had them are gone."""
        if job is not None and job.state is not JobState.WAITING:
            return
        held = [(node, gpus) for node, gpus in work.held if node in self._mirror.nodes]
        if not held:
            return
        self._look_at(node for node, _ in held)
        first = job or self._job(work, self._mirror.nodes[held[0][0]].pool)
        mine = dict(first.placement)
        placement = self._bits(held, self._free, mine)
        if placement is None:
            self._keep(first, job, held)
            return
        self._take(placement)
        if job is None:
            self.changes.fresh.append(first)
        began = min(on_grid(work.started_us or self.now_us), self.now_us)
        entitled = began if first.entitled_us is None else first.entitled_us
        placed = step_job(first, JobEvent.PLACE, at=self.now_us, reason="started by the owner's scheduler", placement=placement)
        runs = step_job(placed, JobEvent.STARTED, at=self.now_us, started_us=max(began, entitled), entitled_us=entitled)
        self.changes.chains.append((first, placed, runs))

    def _keep(self, first: OwnerJob, job: OwnerJob | None, held: Sequence[tuple[NodeId, int]]) -> None:
        """Its GPUs are not free in our books yet: keep what is on its way back, and let leases that never began give way."""
        for lease in self._in_the_way(held):
            reason = f"the owner's job {first.name or first.id} took its GPUs before it began"
            notice = Notice(lease.id, lease.version, Cause.RECLAIMED, max(self.now_us, lease.since_us), reason)
            stepped = lifecycle.noticed(lease, notice, at_us=max(self.now_us, lease.since_us))
            self.changes.given_way.append((lease, stepped))
            self._look_at(node for node, _ in lease.placement)
            self._give(self._coming, lease.placement)
        room = {node: self._free[node] | self._coming[node] for node, _ in held}
        placement = self._bits(held, room, dict(first.placement))
        if job is None:
            self.changes.fresh.append(first)
        if placement is not None and placement != first.placement:
            self.changes.kept.append((first.id, placement))
            for node, mask in placement:
                self._free[node] &= ~mask
                self._coming[node] &= ~mask

    def _in_the_way(self, held: Sequence[tuple[NodeId, int]]) -> Iterator[Lease]:
        """Leases on nodes that lack room for what runs there, and that have not begun; as many as it takes."""
        lacking = {node: gpus - (self._free[node] | self._coming[node]).bit_count() for node, gpus in held}
        gone = {chain[0].id for chain in self.changes.given_way}
        for lease in self._mirror.unsettled.values():
            if not isinstance(lease, Lease) or lease.state is not State.STARTING or lease.id in gone:
                continue
            if lease.started_us is None and any(lacking.get(node, 0) > 0 for node, _ in lease.placement):
                yield lease
                for node, mask in lease.placement:
                    lacking[node] = lacking.get(node, 0) - mask.bit_count()

    def _job(self, work: OwnerWork, pool: PoolId) -> OwnerJob:
        submitted = min(on_grid(work.submitted_us), self.now_us)
        return OwnerJob(
            id=JobId(f"{ELSEWHERE}{work.id}-{self.now_us:x}"),
            pool=pool,
            name=work.name,
            gpus=work.gpus,
            nodes=work.nodes,
            submitted_us=submitted,
            since_us=self.now_us,
            reason="waits in the owner's queue",
        )

    def _pool_for(self, work: OwnerWork, within: Within) -> PoolId | None:
        """The largest pool of its GPU model that could hold it so near."""
        per_node, nodes = work.gpus // work.nodes, work.nodes
        for settings, standing in self._by_size:
            fits_model = not work.gpu_model or settings.gpu_model == work.gpu_model
            domain = standing.topology.domain(within, nodes)
            if fits_model and can_ever_fit(standing.slots, gpus_per_node=per_node, nodes=nodes, whole=False, domain=domain):
                return settings.id
        return None

    @cached_property
    def _by_size(self) -> list[tuple[Pool, Standing]]:
        """The pools with their standings, the largest first."""
        pools = [(kept.row.pool, kept.standing) for kept in self._mirror.pools.values()]
        return sorted(pools, key=lambda pool: -count(pool[1].slots))

    @staticmethod
    def _bits(held: Sequence[tuple[NodeId, int]], room: Mapping[NodeId, int], mine: Mapping[NodeId, int]) -> Placement | None:
        """So many GPUs of each node, those kept for it first; None where there are too few."""
        chosen = []
        for node, gpus in held:
            preferred = room[node] & mine.get(node, 0)
            first = lowest_bits(preferred, min(gpus, preferred.bit_count()))
            rest = room[node] & ~first
            missing = gpus - first.bit_count()
            if rest.bit_count() < missing:
                return None
            chosen.append((node, first | lowest_bits(rest, missing)))
        return tuple(chosen)

    def _take(self, placement: Placement) -> None:
        for node, mask in placement:
            self._free[node] &= ~mask

    @staticmethod
    def _give(room: dict[NodeId, int], placement: Placement) -> None:
        for node, mask in placement:
            room[node] |= mask


def _take_from_down(tx: Tx, chains: Iterable[moves.JobChain], *, at_us: int) -> None:
    """The owner's scheduler lets jobs end on a node that it drains: what they hold there is his, not down."""
    taken: dict[NodeId, int] = {}
    for chain in chains:
        for node, mask in chain[-1].placement if chain[-1].state is JobState.RUNNING else ():
            taken[node] = taken.get(node, 0) | mask
    for row in nodes.some(tx, taken):
        if row.down:
            fitness.leave(tx, row, taken[row.id], at_us=at_us)


def _work_of(job: JobId) -> str:
    """The queue's own name for a job of ours."""
    return job.removeprefix(ELSEWHERE).rpartition("-")[0]


def _submitted(job: OwnerJob) -> Entry:
    data = {"job": job.id, "gpus": job.gpus, "name": job.name, "forced": False, "by": "the owner's queue"}
    said = f"the owner queued a job of {job.gpus} GPUs with his own scheduler"
    return Entry(job.since_us, "owner.submitted", said, pool=job.pool, data=data)
