"""Leases: ask for one, look at it, read what it prints, give it back."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from sublet.api.bodies import NAME_PATTERN, InPath
from sublet.api.call import Calling, Posting, only
from sublet.api.errors import OVER_BUDGET
from sublet.api.events import EventView
from sublet.api.pages import After, Limit, Page, instant_and_name, page
from sublet.app import leases
from sublet.app.keys import Scope
from sublet.app.tasks import Task
from sublet.core.fleet import Placement
from sublet.core.ids import LeaseId, TenantId
from sublet.core.lease import Lease, State
from sublet.core.rating import charge
from sublet.core.usage import Usage
from sublet.store import leases as store
from sublet.store.database import Tx

router = APIRouter(prefix="/v1/leases", tags=["leases"])
_READERS = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]
_TENANTS = [only(Scope.TENANT)]
LOG_BYTES_MAX = 1_048_576
ForTenant = Annotated[str | None, Query(pattern=NAME_PATTERN, description="an owner's key says for whom; a tenant's need not")]
StateName = Literal[
    "requested", "queued", "paused", "reserved", "starting", "active", "noticed", "stopping", "handover", "ended"
]


class PlaceView(BaseModel):
    """GPUs on one node."""

    node: str
    gpus: list[int]


def places(placement: Placement) -> list[PlaceView]:
    """A placement as the API shows it."""
    return [PlaceView(node=node, gpus=[i for i in range(mask.bit_length()) if mask >> i & 1]) for node, mask in placement]


class LeaseView(BaseModel):
    """A lease. Instants in µs since the epoch, prices in micro-units a GPU-hour."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    tenant: str
    pool: str
    name: str
    lease_class: str = Field(alias="class")
    access: str
    state: StateName
    reason: str = Field(description="what to know about its state")
    gpus: int
    nodes: int
    bid_micro: int
    price_micro: int | None
    grace_us: int
    term_us: int | None
    restartable: bool
    attempt: int
    reclaims: int
    placement: list[PlaceView]
    requested_us: int
    since_us: int
    not_before_us: int
    granted_us: int | None
    exempt_until_us: int
    started_us: int | None
    ends_us: int | None
    funded_until_us: int | None
    notice_at_us: int | None = Field(description="the owner takes it back: its notice will be given then")
    noticed_us: int | None
    deadline_us: int | None
    stopped_us: int | None
    checkpoint_us: int | None
    metered_us: int | None
    cause: str | None
    exit_code: int | None

    @classmethod
    def of(cls, lease: Lease) -> "LeaseView":
        """As the API shows it."""
        shown = {name: getattr(lease, name) for name in cls.model_fields if name != "placement"}
        return cls(**shown, placement=places(lease.placement))


class RequestedView(LeaseView):
    """A lease that was just asked for."""

    remarks: list[str] = Field(default_factory=list, description="fields of the task that have no effect")


class ExplainedView(BaseModel):
    """A lease and everything that was decided about it, oldest first."""

    lease: LeaseView
    timeline: list[EventView]


class IntervalView(BaseModel):
    """One measured interval."""

    seq: int
    attempt: int
    from_us: int
    to_us: int
    gpus: int
    gpu_us: int
    price_micro: int
    kind: str
    charge_micro: int

    @classmethod
    def of(cls, used: Usage) -> "IntervalView":
        """As the API shows it."""
        return cls(
            seq=used.seq,
            attempt=used.attempt,
            from_us=used.from_us,
            to_us=used.to_us,
            gpus=used.gpus,
            gpu_us=used.gpu_us,
            price_micro=used.price_micro,
            kind=used.kind,
            charge_micro=charge(used),
        )


class UsageView(BaseModel):
    """What was measured of a lease, and what it costs."""

    lease: str
    intervals: list[IntervalView]
    billed_gpu_us: int
    grace_gpu_us: int
    charge_micro: int


@router.post("", status_code=201, response_model=RequestedView, dependencies=_TENANTS, responses=OVER_BUDGET)
def request(body: Task, call: Posting, tenant: ForTenant = None) -> Response:
    """Ask for a lease with a task, as in a task file. `POST /v1/quote` says beforehand what it costs."""
    asked = body.request()
    whose = call.caller.tenant_for(tenant)

    def effect(tx: Tx) -> RequestedView:
        made = leases.request(tx, call.forecaster, asked, tenant=whose, now_us=call.now_us)
        return RequestedView(**LeaseView.of(made).model_dump(by_alias=True), remarks=list(asked.remarks))

    return call.once(effect, status=201)


@router.get("", dependencies=_READERS)
def everything(
    call: Calling,
    limit: Limit = 100,
    after: After = None,
    state: Annotated[list[StateName] | None, Query(max_length=10)] = None,
    tenant: ForTenant = None,
) -> Page[LeaseView]:
    """Leases, newest request first; a tenant sees its own."""
    place = instant_and_name(after)
    whose = call.caller.sees or (TenantId(tenant) if tenant else None)
    with call.read() as tx:
        found = store.page(
            tx,
            tenant=whose,
            states=[State(name) for name in state] if state else None,
            after=(place[0], LeaseId(place[1])) if place else None,
            limit=limit,
        )
    return page(found, limit, view=LeaseView.of, place=lambda lease: f"{lease.requested_us}/{lease.id}")


@router.get("/{lease}", dependencies=_READERS)
def show(lease: InPath, call: Calling) -> LeaseView:
    """One lease."""
    with call.read() as tx:
        return LeaseView.of(store.get(tx, LeaseId(lease), tenant=call.caller.sees))


@router.delete("/{lease}", status_code=202, dependencies=_TENANTS)
def release(lease: InPath, call: Calling) -> LeaseView:
    """Give it back early. It is not billed from now on; its processes get their signal and end."""
    with call.write() as tx:
        return LeaseView.of(leases.release(tx, LeaseId(lease), tenant=call.caller.sees, now_us=call.now_us))


@router.get("/{lease}/explain", dependencies=_READERS)
def explain(lease: InPath, call: Calling) -> ExplainedView:
    """Why it is what it is: every decision about it, with the reason given at the time."""
    with call.read() as tx:
        told = leases.explain(tx, call.forecaster, LeaseId(lease), tenant=call.caller.sees, now_us=call.now_us)
    return ExplainedView(lease=LeaseView.of(told.lease), timeline=[EventView.of(entry) for entry in told.timeline])


@router.get("/{lease}/usage", dependencies=_READERS)
def measured(lease: InPath, call: Calling) -> UsageView:
    """Every interval that was measured, and its charge."""
    with call.read() as tx:
        found = leases.intervals(tx, LeaseId(lease), tenant=call.caller.sees)
    views = [IntervalView.of(used) for used in found]
    return UsageView(
        lease=lease,
        intervals=views,
        billed_gpu_us=sum(view.gpu_us for view in views if view.kind == "billed"),
        grace_gpu_us=sum(view.gpu_us for view in views if view.kind == "grace"),
        charge_micro=sum(view.charge_micro for view in views),
    )


@router.get(
    "/{lease}/logs",
    dependencies=[only(Scope.TENANT, Scope.READ_ONLY)],
    response_class=Response,
    responses={
        200: {
            "description": "What it printed, from `offset` on; at most 1 MiB",
            "content": {"text/plain": {"schema": {"type": "string"}}},
            "headers": {
                "Sublet-Next-Offset": {"schema": {"type": "integer"}, "description": "ask for more from here"},
                "Sublet-Run": {"schema": {"type": "string"}, "description": "the attempt that printed it"},
            },
        }
    },
)
def logs(
    lease: InPath,
    call: Calling,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
    attempt: Annotated[int | None, Query(ge=1, le=10**9)] = None,
) -> Response:
    """What an attempt printed (stdout and stderr), the present one if none is named."""
    with call.read() as tx:
        run = leases.run_of(store.get(tx, LeaseId(lease), tenant=call.caller.sees), attempt)
    text = leases.printed(call.plane.engine, run, offset=offset, at_most=LOG_BYTES_MAX)
    headers = {"Sublet-Next-Offset": str(offset + len(text)), "Sublet-Run": run}
    return Response(text, media_type="text/plain; charset=utf-8", headers=headers)
