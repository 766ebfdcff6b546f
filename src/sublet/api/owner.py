"""The owner's own work: jobs that come first, and GPUs taken back."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StrictBool

from sublet.api.bodies import Body, InPath, Label, Name
from sublet.api.call import Calling, Posting, only
from sublet.api.leases import PlaceView, places
from sublet.api.pages import After, Limit, Page, instant_and_name, page
from sublet.app import owner
from sublet.app.keys import Scope
from sublet.app.owner import Preview
from sublet.app.tasks import LeaseRequest, Task
from sublet.core.ids import JobId
from sublet.core.owner import JobState, OwnerJob
from sublet.core.topology import Within
from sublet.core.workload import Workload
from sublet.store import jobs
from sublet.store.database import Tx

router = APIRouter(prefix="/v1", tags=["owner"])
_OWNER = [only()]
JobStateName = Literal["waiting", "starting", "running", "stopping", "handover", "ended"]
WithinName = Literal["rack", "pod", "site"]
Near = Annotated[WithinName, Query(description="all of its nodes in one rack, in one pod, or anywhere at the pool's site")]
Force = Annotated[bool, Query(description="also break block leases and pass the safety limit; written to the journal")]


class JobView(BaseModel):
    """A job or hold of the owner. Instants in µs."""

    id: str
    pool: str
    name: str
    state: JobStateName
    reason: str
    gpus: int
    nodes: int
    is_hold: bool
    forced: bool
    within: WithinName
    placement: list[PlaceView]
    submitted_us: int
    since_us: int
    entitled_us: int | None = Field(description="it could have run from here on had nothing been leased")
    started_us: int | None
    delay_us: int | None = Field(description="what leasing made it wait, once it has started")
    ended_us: int | None
    exit_code: int | None

    @classmethod
    def of(cls, job: OwnerJob) -> "JobView":
        """As the API shows it."""
        shown = {name: getattr(job, name) for name in cls.model_fields if name not in {"placement", "delay_us"}}
        began, could = job.started_us, job.entitled_us
        delay = None if began is None or could is None else max(0, began - could)
        return cls(**shown, placement=places(job.placement), delay_us=delay)


class ReclaimBody(Body):
    """GPUs to take back."""

    pool: Name
    gpus: Annotated[int, Field(ge=1, le=64, description="on each node")]
    nodes: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    name: Label = "reclaim"
    force: StrictBool = Field(default=False, description="also break block leases and pass the safety limit; audited")
    within: WithinName = Field(default="site", description="all nodes in one rack, in one pod, or anywhere at the pool's site")

    def asked(self) -> LeaseRequest:
        """In our words."""
        nothing = Workload(run="")
        return LeaseRequest(nothing, name=self.name, pool=self.pool, gpus_per_node=self.gpus, nodes=self.nodes)


class EndingView(BaseModel):
    """A lease that would end."""

    lease: str
    tenant: str
    gpus: int
    deadline_us: int
    loss_micro: int
    reason: str


class ReclaimPreview(BaseModel):
    """What a reclaim would do. Nothing was done."""

    gpus: int
    free_now: bool = Field(description="enough GPUs are free: nobody is ended")
    endings: list[EndingView]
    loss_micro: int
    bound_micro: int = Field(description="no choice of leases would lose less")
    obstacles: list[str] = Field(description="why it would not be served in full")

    @classmethod
    def of(cls, preview: Preview) -> "ReclaimPreview":
        """As the API shows it."""
        endings = [
            EndingView(
                lease=ending.lease.id,
                tenant=ending.lease.tenant,
                gpus=ending.lease.gpus,
                deadline_us=ending.deadline_us,
                loss_micro=ending.loss_micro,
                reason=ending.reason,
            )
            for ending in preview.endings
        ]
        return cls(
            gpus=preview.gpus,
            free_now=preview.placed,
            endings=endings,
            loss_micro=sum(ending.loss_micro for ending in endings),
            bound_micro=preview.bound_micro,
            obstacles=list(preview.obstacles),
        )


@router.post("/jobs", status_code=201, response_model=JobView, dependencies=_OWNER)
def run(body: Task, call: Posting, *, force: Force = False, within: Near = "site") -> Response:
    """Run a task as the owner: before every lease, and without a price. Only `lease.pool` of its terms counts."""
    asked = body.request()

    def effect(tx: Tx) -> JobView:
        near = Within(within)
        return JobView.of(owner.run(tx, asked, forced=force, by=call.caller.key, now_us=call.now_us, within=near))

    return call.once(effect, status=201)


@router.get("/jobs", dependencies=[only(Scope.READ_ONLY, Scope.FINANCE)])
def everything(
    call: Calling,
    limit: Limit = 100,
    after: After = None,
    state: Annotated[list[JobStateName] | None, Query(max_length=6)] = None,
) -> Page[JobView]:
    """The owner's jobs and holds, newest first."""
    place = instant_and_name(after)
    with call.read() as tx:
        states = [JobState(name) for name in state] if state else None
        found = jobs.page(tx, states=states, after=(place[0], JobId(place[1])) if place else None, limit=limit)
    return page(found, limit, view=JobView.of, place=lambda job: f"{job.submitted_us}/{job.id}")


@router.get("/jobs/{job}", dependencies=[only(Scope.READ_ONLY, Scope.FINANCE)])
def show(job: InPath, call: Calling) -> JobView:
    """One job or hold."""
    with call.read() as tx:
        return JobView.of(jobs.get(tx, JobId(job)))


@router.delete("/jobs/{job}", status_code=202, dependencies=_OWNER)
def cancel(job: InPath, call: Calling) -> JobView:
    """End a job, or give the GPUs of a hold back to the market."""
    with call.write() as tx:
        return JobView.of(owner.cancel(tx, JobId(job), now_us=call.now_us))


@router.post("/reclaim", status_code=201, response_model=JobView, dependencies=_OWNER)
def reclaim(body: ReclaimBody, call: Posting) -> Response:
    """Take GPUs back and keep them. Leases that are in the way get their notice; DELETE the job to give the GPUs back."""

    def effect(tx: Tx) -> JobView:
        near, by = Within(body.within), call.caller.key
        return JobView.of(owner.reclaim(tx, body.asked(), forced=body.force, by=by, now_us=call.now_us, within=near))

    return call.once(effect, status=201)


@router.post("/reclaim/preview", dependencies=[only(Scope.READ_ONLY)])
def preview(body: ReclaimBody, call: Calling) -> ReclaimPreview:
    """Whom a reclaim would end now, and what that loses. Nothing is done."""
    with call.read() as tx:
        near = Within(body.within)
        job = owner.drafted(tx, body.asked(), is_hold=True, forced=body.force, now_us=call.now_us, within=near)
        return ReclaimPreview.of(owner.preview(tx, call.forecaster, job, now_us=call.now_us))
