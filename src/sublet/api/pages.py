"""Lists in pages: a page says where the next one starts, and a cursor means nothing to whoever holds it."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from sublet.core.errors import Invalid

T = TypeVar("T")
V = TypeVar("V")
Limit = Annotated[int, Query(ge=1, le=1_000, description="items on a page")]
After = Annotated[str | None, Query(max_length=256, pattern=r"^[A-Za-z0-9_-]+$", description="`next` of the page before")]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None = Field(default=None, description="give it as `after` to get the next page; null: this was the last")


def page(found: Sequence[V], limit: int, *, view: Callable[[V], T], place: Callable[[V], str]) -> Page[T]:
    """A page of views; `place` is where an item stands in the order."""
    last = place(found[-1]) if len(found) == limit else None
    return Page(items=[view(item) for item in found], next=None if last is None else cursor(last))


def cursor(place: str) -> str:
    """A place as a cursor."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(after: str | None) -> str | None:
    """The place behind a cursor."""
    if after is None:
        return None
    try:
        place = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _no_cursor() from None
    if not place or not place.isprintable():
        raise _no_cursor()
    return place


def instant_and_name(after: str | None) -> tuple[int, str] | None:
    """A cursor over a list in order of time, then name."""
    place = place_of(after)
    if place is None:
        return None
    instant, separator, name = place.partition("/")
    if not separator or not instant.isascii() or not instant.isdigit() or len(instant) > 18:
        raise _no_cursor()
    return int(instant), name


def _no_cursor() -> Invalid:
    return Invalid("this is no cursor", field="after", hint="give the `next` of the page before, unchanged")
