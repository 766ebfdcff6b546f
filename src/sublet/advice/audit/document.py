"""The JSON document of an audit. Keys are sorted, so that the same history and the same wishes give the same bytes."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from sublet.advice.audit.report import Line, Report


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    made = plain(report)
    assert isinstance(made, dict)
    made["groups"] = [line_of(line) for line in report.lines]
    del made["lines"]
    return made


def line_of(line: Line) -> dict[str, Any]:
    """A group with everything that is said of it."""
    choice, group = line.choice, dict(plain(line.group))
    return group | {
        "name": line.group.name,
        "shape": line.group.shape,
        "traits": plain(line.traits),
        "recommended": plain(choice.best) | {"name": choice.best.name},
        "why": choice.why,
        "stay_micro": line.stay_micro,
        "saving_micro": choice.saving_micro,
        "if_saving_micro": choice.if_saving_micro,
        "options": [plain(one) | {"name": one.name} for one in choice.options],
    }


def text_of(value: dict[str, Any]) -> str:
    """A document as text, with a line's end at its end."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def plain(value: Any) -> Any:
    """Dataclasses and mappings as objects, tuples as lists; what is infinite is null."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
