"""`/files`: what batches and fine-tuning are made from, and what they make."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web

from sublet.app import names
from sublet.core.ids import TenantId
from sublet.core.units import SECOND_US
from sublet.gateway import training_files
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import Refusal, invalid, no_address, only, too_large
from sublet.gateway.visitors import Guest
from sublet.store import files
from sublet.store.files import File

BYTES_MAX = 512 * 1024 * 1024
_PURPOSES = ("batch", "fine-tune", "user_data", "evals", "assistants", "vision")
_PART = 256 * 1024
_PAGE_MAX = 10_000
_READ_S = 60.0


async def handle(reception: Reception, request: web.BaseRequest, rest: tuple[str, ...]) -> web.StreamResponse:
    """`POST /files`, `GET /files`, and `GET` or `DELETE` of one, and its content."""
    only(request.method, "GET", "POST", "DELETE")
    guest = (await reception.welcome(request)).guest
    tenant = guest.tenant
    if not rest:
        return await (_take(reception, request, guest) if request.method == "POST" else _list(reception, request, tenant))
    found = await reception.looking.do(lambda: fetched(reception, rest[0], tenant))
    if rest[1:] == ("content",):
        only(request.method, "GET")
        return await _content(reception, request, found)
    if rest[1:]:
        raise no_address(request.path)
    if request.method == "DELETE":
        await reception.books.do(lambda: _remove(reception, found))
        return await reception.send(request, {"id": found.id, "object": "file", "deleted": True})
    return await reception.send(request, view(found))


def fetched(reception: Reception, file: str, tenant: TenantId) -> File:
    """What is known of a tenant's file."""
    with reception.database.read() as tx:
        return files.get(tx, file, tenant=tenant)


def place(reception: Reception, file: str) -> Path:
    """Where its bytes lie."""
    return reception.files_dir / file


def keep(reception: Reception, file: File) -> None:
    """Put a file into the books."""
    with reception.database.write() as tx:
        files.insert_one(tx, file)


def view(file: File) -> dict[str, Any]:
    """A file in OpenAI's form."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_us // SECOND_US,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "sha256": file.sha256,
    }


async def _take(reception: Reception, request: web.BaseRequest, guest: Guest) -> web.StreamResponse:
    if not request.content_type.startswith("multipart/"):
        raise invalid("send the file as multipart/form-data, with the fields file and purpose")
    if request.content_length is not None and request.content_length > BYTES_MAX + _PART:
        raise too_large(BYTES_MAX)
    name = names.fresh("file")
    target = place(reception, name)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        async with asyncio.timeout(_READ_S * 10):
            check = partial(reception.borders.check_file, guest)
            purpose, filename, size, digest = await _receive(request, target, check)
            if purpose == "fine-tune":
                await asyncio.to_thread(training_files.check, target)
    except TimeoutError:
        target.unlink(missing_ok=True)
        raise Refusal(408, "the file did not come in time", code="request_timeout") from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    at_us, site = reception.desk.clock.now_us(), reception.borders.site
    made = File(name, guest.tenant, purpose, filename, size, digest, at_us, site)
    await reception.books.do(lambda: keep(reception, made))
    return await reception.send(request, view(made))


async def _receive(request: web.BaseRequest, target: Path, check: Callable[[str], None]) -> tuple[str, str, int, str]:
    """Write the file as it comes; (purpose, file name, bytes, SHA-256)."""
    purpose, filename, size, digest = "", "", -1, sha256()
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.name == "purpose":
            purpose = (await part.read_chunk(1_024)).decode("utf-8", "replace")
            check(purpose)
        elif part.name == "file":
            filename, size = (part.filename or "file")[:255], 0
            with await asyncio.to_thread(target.open, "xb") as out:
                while data := await part.read_chunk(_PART):
                    size += len(data)
                    if size > BYTES_MAX:
                        raise too_large(BYTES_MAX)
                    digest.update(data)
                    await asyncio.to_thread(out.write, data)
                await asyncio.to_thread(_sync, out)
    if size < 0:
        raise invalid("the file is missing", param="file")
    if purpose not in _PURPOSES:
        raise invalid(f"purpose is one of {', '.join(_PURPOSES)}", param="purpose")
    check(purpose)
    return purpose, filename, size, digest.hexdigest()


def _sync(out: Any) -> None:
    out.flush()
    os.fsync(out.fileno())


async def _list(reception: Reception, request: web.BaseRequest, tenant: TenantId) -> web.StreamResponse:
    asked = request.query
    limit = page_limit(asked.get("limit"), most=_PAGE_MAX)

    def read() -> list[File]:
        with reception.database.read() as tx:
            after = files.get(tx, asked["after"], tenant=tenant) if "after" in asked else None
            return files.page(tx, tenant, purpose=asked.get("purpose"), after=after, limit=limit + 1)

    found = await reception.looking.do(read)
    return await reception.send(request, listed([view(one) for one in found], limit))


def page_limit(said: str | None, *, most: int) -> int:
    """How many items a caller wants on a page."""
    if said is None:
        return min(20, most)
    if not said.isdigit() or not 1 <= int(said) <= most:
        raise invalid(f"limit is a whole number from 1 to {most}", param="limit")
    return int(said)


def listed(views: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page in OpenAI's form, of which one item more than asked was read."""
    shown = views[:limit]
    return {
        "object": "list",
        "data": shown,
        "has_more": len(views) > limit,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }


async def _content(reception: Reception, request: web.BaseRequest, file: File) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    source = place(reception, file.id)
    if not source.exists():
        raise Refusal(404, f"the content of {file.id} lies at another gateway", code="not_found", param="file_id")
    response.content_length = source.stat().st_size
    await response.prepare(request)
    with await asyncio.to_thread(source.open, "rb") as content:
        while data := await asyncio.to_thread(content.read, _PART):
            async with asyncio.timeout(reception.stall_s):
                await response.write(data)
    return response


def _remove(reception: Reception, file: File) -> None:
    with reception.database.write() as tx:
        files.remove(tx, file.id)
    place(reception, file.id).unlink(missing_ok=True)
