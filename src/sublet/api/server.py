"""The API as one ASGI app: every noun's routes, one table of errors, one document that describes it."""

from typing import Any

from fastapi import FastAPI

import sublet
from sublet.api import (
    audit,
    audit_log,
    blocks,
    decide,
    events,
    finance,
    health,
    invoices,
    keys,
    leases,
    ledger,
    market,
    metadata,
    models,
    offers,
    owner,
    pools,
    residency,
    sites,
    tenants,
    usage,
)
from sublet.api.edge import Edge
from sublet.api.errors import MEDIA_TYPE, PROBLEMS, install
from sublet.app.forecasting import Forecaster
from sublet.app.plane import Plane

_ABOUT = """Sublet leases out the GPUs that sit idle, and hands them back the moment their owner needs them.

Instants are µs since the epoch, money and prices integer micro-units, prices for one GPU-hour. Errors are problem details
(RFC 9457) that name the field and the way out. A POST with an `Idempotency-Key` may be repeated: it has one effect and one
answer. Lists come in pages: give `next` as `after`."""
_ROUTERS = (
    offers,
    leases,
    blocks,
    market,
    owner,
    pools,
    sites,
    models,
    residency,
    audit_log,
    tenants,
    keys,
    ledger,
    invoices,
    usage,
    finance,
    audit,
    decide,
    events,
    metadata,
    health,
)


def create_app(plane: Plane) -> FastAPI:
    """The app in front of a control plane, running or not."""
    app = _routed()
    app.state.plane = plane
    app.state.metadata = plane.metadata
    app.state.metrics = plane.metrics
    app.state.forecaster = Forecaster()
    app.state.streams = 0
    install(app)
    app.add_middleware(Edge, metrics=plane.metrics, body_max=plane.settings.request_bytes_max)
    return app


def document() -> dict[str, Any]:
    """The OpenAPI document, which needs nothing that runs."""
    return _routed().openapi()


def _routed() -> FastAPI:
    app = FastAPI(
        title="Sublet",
        version=sublet.__version__,
        description=_ABOUT,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        responses=PROBLEMS,
        separate_input_output_schemas=False,
        redirect_slashes=False,
    )
    for noun in _ROUTERS:
        app.include_router(noun.router)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Make the OpenAPI document give problem details their own media type."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            for path in document["paths"].values():
                for operation in path.values():
                    _problems_named(operation["responses"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _problems_named(responses: dict[str, Any]) -> None:
    for status, answer in responses.items():
        if int(status) >= 400:
            answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
