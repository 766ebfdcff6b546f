"""Making the world match the database: orders follow from states alone and are repeated until seen to have worked.

There is no queue of orders to lose. After a crash the same states give the same orders, and the engine ignores what it has
already done.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sublet.app.mirror import Mirror
from sublet.app.observe import Sight
from sublet.core.ids import PoolId, RunId
from sublet.core.lease import Lease, State
from sublet.core.owner import JobState, OwnerJob
from sublet.core.terms import Pool
from sublet.core.workload import Workload
from sublet.engines.protocol import Engine, NoticeOrder, Phase, StartOrder, StopOrder
from sublet.store import workloads
from sublet.store.database import Database

_UNPROVEN = frozenset({None, Phase.STARTING})  # the order may have been lost in a crash: it is given again
RunEnv = Callable[[RunId], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Orders:
    """What the states call for, where the last look does not show it done."""

    notices: Sequence[NoticeOrder]
    stops: Sequence[StopOrder]
    starts: Sequence[StartOrder]
    cleans: Sequence[RunId]


def called_for(database: Database, mirror: Mirror, sight: Sight, *, run_env: RunEnv) -> Orders:
    """Every order to give now."""
    with mirror.lock, database.read() as tx:
        mirror.catch_up(tx)
        waiting = sorted(mirror.unsettled.values(), key=lambda holder: holder.id)  # what simply runs needs no order
        sold = {pool: kept.row.pool for pool, kept in mirror.pools.items()}
        held = [one for one in waiting if isinstance(one, Lease)]
        work = [one for one in waiting if isinstance(one, OwnerJob)]
        phases = {one.run: seen.phase for one in waiting if (seen := sight.runs.get(one.run)) is not None}
        to_start = [lease for lease in held if _starts(lease, phases)]
        jobs_to_start = [job for job in work if job.state is JobState.STARTING and phases.get(job.run) in _UNPROVEN]
        to_tell = [lease for lease in held if _tells(lease, phases)]
        named = [*(lease.id for lease in (*to_start, *to_tell)), *(job.id for job in jobs_to_start)]
        found = workloads.get_all(tx, named)
    return Orders(
        notices=[_notice(lease, found[lease.id]) for lease in to_tell],
        stops=[*_lease_stops(held, sold, phases), *_job_stops(work, sold, phases)],
        starts=[
            *(_job_order(job, found[job.id]) for job in jobs_to_start),
            *(_lease_order(lease, found[lease.id], sold[lease.pool], run_env) for lease in to_start),
        ],
        cleans=[*_runs_in(held, State.HANDOVER, phases), *_runs_in(work, JobState.HANDOVER, phases)],
    )


def make_end(engine: Engine, orders: Orders) -> None:
    """What gives the owner his GPUs comes first: nobody else's failing start may keep a lease from its notice or its end."""
    try:
        engine.notify(orders.notices)
    finally:
        engine.stop(orders.stops)


def make_begin(engine: Engine, orders: Orders) -> None:
    """Hand-overs and starts, each of which may fail by itself."""
    try:
        engine.clean(orders.cleans)
    finally:
        engine.start(orders.starts)


def _starts(lease: Lease, phases: Mapping[RunId, Phase]) -> bool:
    awaited = lease.state is State.STARTING or (lease.state is State.NOTICED and lease.started_us is None)
    return awaited and phases.get(lease.run) in _UNPROVEN


def _tells(lease: Lease, phases: Mapping[RunId, Phase]) -> bool:
    return lease.state is State.NOTICED and phases.get(lease.run) in {Phase.STARTING, Phase.RUNNING}


def _lease_order(lease: Lease, workload: Workload, pool: Pool, run_env: RunEnv) -> StartOrder:
    """The start order of the present attempt. It ends with its term even if no further order comes."""
    kill_at = None
    if lease.ends_us is not None:
        kill_at = lease.ends_us + pool.stop_us
    elif lease.term_us is not None and lease.granted_us is not None:
        kill_at = lease.granted_us + lease.term_us + pool.start_us + pool.stop_us
    return StartOrder(
        run=lease.run,
        task=lease.id,
        placement=lease.placement,
        workload=workload,
        attempt=lease.attempt,
        volume=lease.id,
        tenant=lease.tenant,
        kill_at_us=kill_at,
        env=run_env(lease.run),
    )


def _job_order(job: OwnerJob, workload: Workload) -> StartOrder:
    return StartOrder(run=job.run, task=job.id, placement=job.placement, workload=workload, is_owner=True)


def _notice(lease: Lease, workload: Workload) -> NoticeOrder:
    assert lease.deadline_us is not None and lease.cause is not None, f"{lease.id} was noticed without a deadline"
    return NoticeOrder(lease.run, lease.deadline_us, lease.cause, workload.notice_signal)


def _lease_stops(held: Iterable[Lease], sold: Mapping[PoolId, Pool], phases: Mapping[RunId, Phase]) -> list[StopOrder]:
    """Stops; a notice that ran out leaves no further grace."""
    return [
        StopOrder(lease.run, 0 if lease.noticed_us is not None else sold[lease.pool].stop_us)
        for lease in held
        if lease.state is State.STOPPING and phases.get(lease.run) in {*_UNPROVEN, Phase.RUNNING}
    ]


def _job_stops(work: Iterable[OwnerJob], sold: Mapping[PoolId, Pool], phases: Mapping[RunId, Phase]) -> list[StopOrder]:
    return [
        StopOrder(job.run, sold[job.pool].stop_us)
        for job in work
        if job.state is JobState.STOPPING and phases.get(job.run) in {*_UNPROVEN, Phase.RUNNING}
    ]


def _runs_in(held: Iterable[Lease | OwnerJob], state: State | JobState, phases: Mapping[RunId, Phase]) -> list[RunId]:
    return [one.run for one in held if one.state is state and phases.get(one.run) in {None, Phase.EXITED}]
