"""Which noun answers an address: one file each, one row here."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from sublet.gateway import batches, chat, completions, embeddings, files, fine_tuning, models
from sublet.gateway.reception import Reception

PREFIX = "/openai/v1"
Noun = Callable[[Reception, web.BaseRequest, tuple[str, ...]], Awaitable[web.StreamResponse]]
NOUNS: Mapping[str, Noun] = {
    "batches": batches.handle,
    "files": files.handle,
    "fine_tuning": fine_tuning.handle,
    "chat": chat.handle,
    "completions": completions.handle,
    "embeddings": embeddings.handle,
    "models": models.handle,
}


def route(path: str) -> tuple[Noun, tuple[str, ...]] | None:
    """The noun for a path below `PREFIX`, and the rest of the path; None: there is none."""
    if not path.startswith(PREFIX + "/"):
        return None
    noun, *rest = path[len(PREFIX) + 1 :].split("/")
    handler = NOUNS.get(noun)
    return None if handler is None else (handler, tuple(rest))
