"""`/models`: what can be asked."""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from sublet.app import tunings
from sublet.core.ids import TenantId
from sublet.core.model import Model
from sublet.core.units import SECOND_US
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import RETRY_AFTER_S, Refusal, only, unknown_model


async def handle(reception: Reception, request: web.BaseRequest, rest: tuple[str, ...]) -> web.StreamResponse:
    """`GET /models`, `GET` of one, and `DELETE` of one that the caller's own fine-tuning job has made."""
    only(request.method, "GET", *(["DELETE"] if rest else []))
    visitor = await reception.welcome(request)
    if request.method == "DELETE":
        return await reception.send(request, await _delete(reception, visitor.guest.tenant, "/".join(rest)))
    catalogue = reception.desk.catalogue
    await catalogue.refresh(whole=True)
    found = catalogue.visible(visitor.guest.tenant)
    if not rest:
        return await reception.send(request, {"object": "list", "data": [_view(model) for model in found]})
    name = "/".join(rest)
    for model in found:
        if model.answers_to(name):
            return await reception.send(request, _view(model))
    raise unknown_model(name)


async def _delete(reception: Reception, tenant: TenantId, name: str) -> dict[str, Any]:
    def write() -> Path | None:
        with reception.database.write() as tx:
            return tunings.forget_model(tx, name, tenant=tenant)

    weights = await reception.books.do(write)
    if weights is None:
        message = f"replicas of {name} are ending: it takes no more requests; delete it again in a moment"
        raise Refusal(409, message, param="model", code="conflict", headers={"Retry-After": str(RETRY_AFTER_S)})
    await asyncio.to_thread(weights.unlink, missing_ok=True)
    await reception.desk.catalogue.refresh(whole=True)
    return {"id": name, "object": "model", "deleted": True}


def _view(model: Model) -> dict[str, Any]:
    """A model in OpenAI's form, with what we know beside it."""
    prices = model.prices
    return {
        "id": model.name,
        "object": "model",
        "created": model.created_us // SECOND_US,
        "owned_by": "sublet",
        "aliases": list(model.aliases),
        "context_length": model.context_length or None,
        "pricing": {
            "currency": model.currency,
            "input_micro": prices.input_micro,
            "cached_micro": prices.cached_micro,
            "output_micro": prices.output_micro,
            "per_tokens": 1_000_000,
        },
    }
