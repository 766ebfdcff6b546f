"""The page's files over HTTP. They hold no data: whoever opens the page needs a key before it shows anything."""

from functools import cache
from pathlib import Path
from typing import Annotated

import fastapi
from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

FILES = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    # Everything comes from this very server, and nothing is written into the page as markup.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
def index() -> Response:
    """The page."""
    return _file("index.html")


@router.get("/console/{name}")
def part(name: Annotated[str, fastapi.Path(max_length=64)]) -> Response:
    """One of its parts."""
    if name not in _known():
        raise HTTPException(404, f"the page has no part {name}")
    return _file(name)


@cache
def _known() -> frozenset[str]:
    return frozenset(path.name for path in FILES.iterdir() if path.suffix in _TYPES)


def _file(name: str) -> Response:
    path = FILES / name
    return Response(path.read_bytes(), media_type=f"{_TYPES[path.suffix]}; charset=utf-8", headers=_HEADERS)
