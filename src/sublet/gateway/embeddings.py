"""`/embeddings`: texts as vectors."""

from aiohttp import web

from sublet.gateway.asking import asked
from sublet.gateway.asks import Kind
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import no_address


async def handle(reception: Reception, request: web.BaseRequest, rest: tuple[str, ...]) -> web.StreamResponse:
    """`POST /embeddings`."""
    if rest:
        raise no_address(request.path)
    return await asked(reception, request, Kind.EMBEDDING)
