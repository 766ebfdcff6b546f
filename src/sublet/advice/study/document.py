"""The JSON document of a report: the whole value, keys sorted, so that the same study gives the same bytes."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from sublet.advice.study.report import Report


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values. Numbers that stand as keys (lengths in hours) become text, as JSON wants it."""
    made = _plain(report)
    assert isinstance(made, dict)
    return made


def text_of(report: Report) -> str:
    """The document as text, with a line's end at its end."""
    return json.dumps(document(report), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _plain(value: Any) -> Any:
    """Dataclasses and mappings as objects, tuples as lists."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
