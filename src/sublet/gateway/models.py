"""`/models`: what can be asked."""

from typing import Any

from aiohttp import web

from sublet.core.model import Model
from sublet.core.units import SECOND_US
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import only, unknown_model


async def handle(reception: Reception, request: web.BaseRequest, rest: tuple[str, ...]) -> web.StreamResponse:
    """`GET /models` and `GET /models/{model}`."""
    only(request.method, "GET")
    visitor = await reception.welcome(request)
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
