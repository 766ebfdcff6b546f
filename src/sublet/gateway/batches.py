"""`/batches`: many requests in a file, answered within a day at half price."""

from typing import Any

import orjson
from aiohttp import web

from sublet.app import names
from sublet.core.batch import LIVE, WINDOW_US, Batch, BatchEvent, BatchState, step_batch
from sublet.core.units import SECOND_US
from sublet.gateway.asks import PATHS
from sublet.gateway.files import fetched, listed, page_limit
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import invalid, no_address, only
from sublet.gateway.visitors import Visitor
from sublet.store import batches

_ENDPOINTS = tuple(f"/v1{path}" for path in PATHS.values())
_PAGE_MAX = 100
_METADATA_MAX = 16
_AT = {
    BatchState.IN_PROGRESS: "in_progress_at",
    BatchState.FINALIZING: "finalizing_at",
    BatchState.COMPLETED: "completed_at",
    BatchState.FAILED: "failed_at",
    BatchState.EXPIRED: "expired_at",
    BatchState.CANCELLING: "cancelling_at",
    BatchState.CANCELLED: "cancelled_at",
}


async def handle(reception: Reception, request: web.BaseRequest, rest: tuple[str, ...]) -> web.StreamResponse:
    """`POST /batches`, `GET /batches`, `GET` of one, and `POST /batches/{id}/cancel`."""
    only(request.method, "GET", "POST")
    visitor = await reception.welcome(request)
    if not rest:
        return await (_make if request.method == "POST" else _list)(reception, request, visitor)
    if rest[1:] == ("cancel",):
        only(request.method, "POST")
        return await reception.send(request, view(await reception.books.do(lambda: _cancel(reception, visitor, rest[0]))))
    if rest[1:]:
        raise no_address(request.path)
    only(request.method, "GET")

    def read() -> Batch:
        with reception.database.read() as tx:
            return batches.get(tx, rest[0], tenant=visitor.guest.tenant)

    return await reception.send(request, view(await reception.looking.do(read)))


def view(batch: Batch) -> dict[str, Any]:
    """A batch in OpenAI's form."""
    at = {name: batch.instants[state] // SECOND_US if state in batch.instants else None for state, name in _AT.items()}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": list(batch.errors)} if batch.errors else None,
        "input_file_id": batch.input_file,
        "completion_window": "24h",
        "status": batch.state.value,
        "output_file_id": batch.output_file or None,
        "error_file_id": batch.error_file or None,
        "created_at": batch.created_us // SECOND_US,
        "expires_at": batch.expires_us // SECOND_US,
        **at,
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": dict(batch.metadata) or None,
    }


async def _make(reception: Reception, request: web.BaseRequest, visitor: Visitor) -> web.StreamResponse:
    async with reception.bodies.read(request) as raw:
        try:
            asked = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise invalid("the body must be a JSON object")
    if asked.get("endpoint") not in _ENDPOINTS:
        raise invalid(f"endpoint is one of {', '.join(_ENDPOINTS)}", param="endpoint")
    if asked.get("completion_window") != "24h":
        raise invalid("completion_window is 24h", param="completion_window")
    metadata = asked.get("metadata") or {}
    if (
        not isinstance(metadata, dict)
        or len(metadata) > _METADATA_MAX
        or not all(isinstance(v, str) for v in metadata.values())
    ):
        raise invalid(f"metadata is an object of at most {_METADATA_MAX} texts", param="metadata")
    tenant, file = visitor.guest.tenant, asked.get("input_file_id")
    if not isinstance(file, str):
        raise invalid("say which file: input_file_id", param="input_file_id")
    source = await reception.looking.do(lambda: fetched(reception, file, tenant))
    if source.purpose != "batch":
        raise invalid("the file was not sent with the purpose batch", param="input_file_id")
    now_us = reception.desk.clock.now_us()
    made = Batch(
        names.fresh("batch"), tenant, visitor.key, asked["endpoint"], file, now_us, now_us + WINDOW_US, metadata=metadata,
        gateway=reception.gateway,  # its files are here
        seen_us=now_us,
    )  # fmt: skip

    def keep() -> None:
        with reception.database.write() as tx:
            batches.insert_one(tx, made)

    await reception.books.do(keep)
    return await reception.send(request, view(made))


async def _list(reception: Reception, request: web.BaseRequest, visitor: Visitor) -> web.StreamResponse:
    tenant, asked = visitor.guest.tenant, request.query
    limit = page_limit(asked.get("limit"), most=_PAGE_MAX)

    def read() -> list[Batch]:
        with reception.database.read() as tx:
            after = batches.get(tx, asked["after"], tenant=tenant) if "after" in asked else None
            return batches.page(tx, tenant, after=after, limit=limit + 1)

    found = await reception.looking.do(read)
    return await reception.send(request, listed([view(one) for one in found], limit))


def _cancel(reception: Reception, visitor: Visitor, batch: str) -> Batch:
    with reception.database.write() as tx:
        found = batches.get(tx, batch, tenant=visitor.guest.tenant)
        if found.state in LIVE and found.state not in {BatchState.CANCELLING, BatchState.FINALIZING}:
            stepped = step_batch(found, BatchEvent.CANCEL, at_us=reception.desk.clock.now_us())
            batches.save(tx, found, stepped)
            return stepped
        return found
