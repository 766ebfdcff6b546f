"""Whether it lives, whether it is ready, how it is doing, and what it counts."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel

import sublet
from sublet.api.call import Calling, ThisPlane, bearer, caller_of, only
from sublet.app.keys import Scope
from sublet.app.metrics import Metrics
from sublet.core.errors import Unavailable

router = APIRouter(tags=["status"])


class Health(BaseModel):
    """A short word."""

    status: str


class StatusView(BaseModel):
    """How the control plane is doing."""

    version: str
    now_us: int
    engine: str
    isolation: str
    database: str
    status: dict[str, Any]


@router.get("/healthz")
def alive() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz")
def ready(plane: ThisPlane) -> Health:
    """The database answers, and the loops run here or this one stands ready for them; 503 otherwise."""
    with plane.database.read() as tx:
        tx.exec_driver_sql("SELECT 1")
    loops = plane.status()
    if loops.get("running") is False:
        raise Unavailable("the loops do not run", hint="see the log")
    return Health(status="ok")


@router.get("/v1/status", dependencies=[only(Scope.FINANCE, Scope.READ_ONLY)])
def status(call: Calling) -> StatusView:
    """How the loops are doing and who runs them, what the engine is, and where the data lies."""
    plane = call.plane
    return StatusView(
        version=sublet.__version__,
        now_us=call.now_us,
        engine=plane.engine.capabilities.name,
        isolation=plane.engine.capabilities.isolation,
        database=plane.database.url.render_as_string(hide_password=True),
        status=dict(plane.status()),
    )


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(
    request: Request, plane: ThisPlane, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None
) -> PlainTextResponse:
    """Prometheus metrics. What concerns money is added for a key of the owner, of finance, or read-only."""
    counted: Metrics = request.app.state.metrics
    with_money = False
    if credentials is not None:
        caller = caller_of(plane, credentials)
        caller.require(Scope.FINANCE, Scope.READ_ONLY)
        with_money = caller.sees is None
    return PlainTextResponse(counted.text(with_money=with_money), media_type="text/plain; version=0.0.4; charset=utf-8")
