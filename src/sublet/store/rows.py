"""Between frozen values and rows: field by field, enums as text, placements as JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from sublet.core.fleet import Placement
from sublet.core.ids import NodeId


def placement_text(placement: Placement) -> str:
    """A placement as JSON: [[node, mask], ...]."""
    return json.dumps(placement, separators=(",", ":"))


@lru_cache(maxsize=65_536)
def placement_of(text: str) -> Placement:
    """The placement behind `placement_text`."""
    return tuple((NodeId(node), int(mask)) for node, mask in json.loads(text))


def plain(row: Any) -> dict[str, Any]:
    """A row as a plain dict."""
    mapping: Mapping[str, Any] = row._mapping  # noqa: SLF001 (SQLAlchemy's public name for it)
    return dict(mapping)


_READERS: dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {}


def row_of(value: Any) -> dict[str, Any]:
    """A flat frozen value as a row. `dataclasses.asdict` copies deeply, which costs a round as much as its SQL."""
    kind = type(value)
    if kind not in _READERS:
        names = tuple(field.name for field in fields(kind))
        _READERS[kind] = (names, attrgetter(*names))
    names, read = _READERS[kind]
    return dict(zip(names, read(value), strict=True))
