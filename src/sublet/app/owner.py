"""What the owner does with his own fleet: run jobs, take GPUs back, and see beforehand whom that ends."""

from dataclasses import dataclass, replace

from sublet.app import moves, names, requests, world
from sublet.app.forecasting import Forecaster
from sublet.app.tasks import LeaseRequest
from sublet.core.errors import Conflict, Invalid
from sublet.core.ids import JobId, PoolId
from sublet.core.lease import Lease
from sublet.core.owner import ELSEWHERE, JobEvent, JobState, OwnerJob, step_job
from sublet.core.placement import can_ever_fit
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.topology import Within
from sublet.store import events, jobs, pools, workloads
from sublet.store.database import Tx
from sublet.store.events import Entry


@dataclass(frozen=True, slots=True)
class Ending:
    """A lease that a reclaim would end."""

    lease: Lease
    deadline_us: int
    loss_micro: int
    reason: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a reclaim would do now.

    `placed`: enough GPUs are free at once; `obstacles`: why it would not be served in full; `bound_micro`: no choice of leases
    would lose less.
    """

    gpus: int
    placed: bool
    endings: tuple[Ending, ...]
    bound_micro: int
    obstacles: tuple[str, ...]


def run(tx: Tx, asked: LeaseRequest, *, forced: bool, by: str, now_us: int, within: Within = Within.SITE) -> OwnerJob:
    """Queue a job of the owner; it comes before every lease."""
    job = drafted(tx, asked, is_hold=False, forced=forced, now_us=now_us, within=within)
    workloads.put(tx, job.id, asked.workload)
    return _queued(tx, job, by=by)


def reclaim(tx: Tx, asked: LeaseRequest, *, forced: bool, by: str, now_us: int, within: Within = Within.SITE) -> OwnerJob:
    """Take GPUs out of the market and keep them, as a hold, until it is released."""
    return _queued(tx, drafted(tx, asked, is_hold=True, forced=forced, now_us=now_us, within=within), by=by)


def drafted(tx: Tx, asked: LeaseRequest, *, is_hold: bool, forced: bool, now_us: int, within: Within = Within.SITE) -> OwnerJob:
    """The job that a request would be; raises `Invalid` if the pool could never hold it."""
    known = tuple(row.pool for row in pools.everything(tx))
    pool = requests.chosen_pool(known, pool=asked.pool, gpu_model=asked.gpu_model)
    if not can_ever_fit(world.slots_of(tx, pool.id), gpus_per_node=asked.gpus_per_node, nodes=asked.nodes, whole=False):
        raise Invalid(
            f"pool {pool.id} does not have {asked.nodes} nodes with {asked.gpus_per_node} GPUs",
            field="gpus" if is_hold else "resources.accelerators",
            hint="ask for fewer; `sublet pool nodes` lists what there is",
        )
    _check_near(tx, pool.id, asked, within)
    return OwnerJob(
        id=names.job_id(),
        pool=pool.id,
        name=asked.name,
        gpus=asked.gpus,
        nodes=asked.nodes,
        submitted_us=now_us,
        since_us=now_us,
        is_hold=is_hold,
        forced=forced,
        within=within,
    )


def _check_near(tx: Tx, pool: PoolId, asked: LeaseRequest, within: Within) -> None:
    """Raise `Invalid` if no rack or pod that we know of could ever hold the gang."""
    if within is Within.SITE or asked.nodes == 1:
        return
    slots, topology = world.ground_of(tx, pool)
    domain = topology.domain(within, asked.nodes)
    if not can_ever_fit(slots, gpus_per_node=asked.gpus_per_node, nodes=asked.nodes, whole=False, domain=domain):
        raise Invalid(
            f"no {within} of pool {pool} has {asked.nodes} nodes with {asked.gpus_per_node} GPUs",
            field="within",
            hint="ask for fewer, or for a wider place; `sublet pool nodes` says where nodes stand, as far as it is known",
        )


def preview(tx: Tx, forecaster: Forecaster, job: OwnerJob, *, now_us: int) -> Preview:
    """What the next round would do for this job, by running that very round on paper."""
    view = world.read_view(tx, forecaster, now_us=now_us, pool=job.pool)
    plan = decide(replace(view, jobs=(*view.jobs, job)), now=now_us)
    leases = {lease.id: lease for lease in view.leases}
    mine = [one for one in plan.reclaims if one.job == job.id]
    endings = [notice for one in mine for _, notice in one.endings()]
    return Preview(
        gpus=job.gpus,
        placed=any(start.job == job.id for start in plan.job_starts),
        endings=tuple(Ending(leases[n.lease], n.deadline_us, n.loss_micro, n.reason) for n in endings),
        bound_micro=sum(one.bound_micro for one in mine),
        obstacles=_obstacles(plan, job),
    )


def cancel(tx: Tx, job: JobId, *, now_us: int) -> OwnerJob:
    """End a job of the owner, or give a hold's GPUs back; harmless when it is over."""
    found = jobs.get(tx, job)
    if found.is_elsewhere:
        hint = f"cancel it there: scancel {found.id.removeprefix(ELSEWHERE).rpartition('-')[0]}"
        raise Conflict(f"{job} is queued with your own scheduler, which starts and ends it", field="job", hint=hint)
    at = max(now_us, found.since_us)
    if found.state is JobState.WAITING:
        chain = [found, step_job(found, JobEvent.CANCEL, at=at, reason="cancelled by the owner")]
    elif found.state in {JobState.STARTING, JobState.RUNNING}:
        chain = [found, step_job(found, JobEvent.STOP, at=at, reason="ended by the owner")]
        if found.is_hold:  # nothing ran on it, so there is nothing to stop or to wipe
            chain += [step_job(chain[-1], JobEvent.EXITED, at=at)]
            chain += [step_job(chain[-1], JobEvent.FREE, at=at)]
    else:
        return found
    chain[-1] = replace(chain[-1], ended_us=at) if chain[-1].state is JobState.ENDED else chain[-1]
    moves.save_jobs(tx, [chain])
    return chain[-1]


def _queued(tx: Tx, job: OwnerJob, *, by: str) -> OwnerJob:
    jobs.insert_all(tx, [job])
    what = "a hold" if job.is_hold else "a job"
    data = {"job": job.id, "gpus": job.gpus, "name": job.name, "forced": job.forced, "by": by}
    told = [
        Entry(job.submitted_us, "owner.submitted", f"the owner submitted {what} of {job.gpus} GPUs", pool=job.pool, data=data)
    ]
    if job.forced:
        said = f"key {by} used force: block leases and the safety limit do not protect against {what} {job.id}"
        told.append(Entry(job.submitted_us, "owner.forced", said, pool=job.pool, data=data))
    events.append(tx, told)
    return job


def _obstacles(plan: Plan, job: OwnerJob) -> tuple[str, ...]:
    return tuple(alarm.reason for alarm in plan.alarms if job.id in alarm.reason)
