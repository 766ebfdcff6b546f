"""The metadata address of a run: AWS's spot documents, so that agents written for those work unchanged."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from sublet.api.call import ThisPlane
from sublet.app.metadata import Metadata, iso, noticed_lease
from sublet.app.plane import Plane
from sublet.core.errors import NotFound
from sublet.core.ids import RunId
from sublet.core.lease import Lease

router = APIRouter(prefix="/metadata/{token}/latest", tags=["metadata"])
Token = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}~[0-9a-f]{40}$", description="$SUBLET_METADATA_URL has it")
]
_NONE = NotFound("no interruption is announced", hint="ask again; 404 is the good answer")


class InstanceAction(BaseModel):
    """AWS's spot interruption notice."""

    action: str
    time: str


@router.put("/api/token", response_class=PlainTextResponse)
def session(token: Token, request: Request) -> str:
    """IMDSv2's session token; the address itself is the secret here, so any token is good."""
    _run(request, token)
    return "no-session-needed"


@router.get("/meta-data/instance-id", response_class=PlainTextResponse)
def instance(token: Token, request: Request) -> str:
    """The name of the run: lease and attempt."""
    return _run(request, token)


@router.get("/meta-data/spot/instance-action")
def action(token: Token, request: Request, plane: ThisPlane) -> InstanceAction:
    """The announced end, 404 while there is none."""
    return InstanceAction(action="terminate", time=_deadline(request, plane, token))


@router.get("/meta-data/spot/termination-time", response_class=PlainTextResponse)
def termination(token: Token, request: Request, plane: ThisPlane) -> str:
    """The announced end in the older shape, 404 while there is none."""
    return _deadline(request, plane, token)


@router.get("/meta-data/events/recommendations/rebalance", response_class=Response, responses={200: {"description": "Never"}})
def rebalance(token: Token, request: Request) -> Response:
    """Always 404: we announce ends with a date, and never guess."""
    _run(request, token)
    raise _NONE


def _deadline(request: Request, plane: Plane, token: str) -> str:
    run = _run(request, token)
    with plane.database.read() as tx:
        lease: Lease | None = noticed_lease(tx, run)
    if lease is None or lease.deadline_us is None:
        raise _NONE
    return iso(lease.deadline_us)


def _run(request: Request, token: str) -> RunId:
    metadata: Metadata = request.app.state.metadata
    return metadata.run_of(token)
