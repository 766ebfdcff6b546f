"""What the nouns that ask a model have in common."""

from aiohttp import web

from sublet.gateway.asks import Kind, read
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import only


async def asked(reception: Reception, request: web.BaseRequest, kind: Kind) -> web.StreamResponse:
    """Answer a request to a model."""
    only(request.method, "POST")
    visitor = await reception.welcome(request)
    async with reception.bodies.read(request) as raw:
        ask = read(kind, raw)
        del raw
        work = await reception.desk.let_in(visitor, ask)
        if ask.stream:
            return await reception.stream(request, work)
        document = await reception.desk.answer(work)
        return await reception.send(request, document, headers=reception.told(work))
