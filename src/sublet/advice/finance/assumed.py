"""Every assumption of a scenario: value, unit, what it is, and where it comes from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from sublet.advice.finance.read import Asked
from sublet.core.units import MICRO

DEFAULT, FILE = "default", "scenario"
SKIPPED = frozenset({"claims", "sources", "title", "turn"})


@dataclass(frozen=True, slots=True)
class Assumed:
    """One assumption. `value` is in `unit`; `source` is what the scenario says of it, or `default`, or `scenario`."""

    name: str
    value: Any
    unit: str
    says: str
    source: str


def assumed(asked: Asked) -> tuple[Assumed, ...]:
    """All of them, in the order of the file."""
    file = asked.file
    return tuple(_walk(file, "", file.currency, dict(file.sources)))


def _walk(part: BaseModel, path: str, currency: str, sources: dict[str, str]) -> Iterator[Assumed]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        here = f"{path}{field.alias or name}"
        if not path and name in SKIPPED:
            continue
        if isinstance(value, BaseModel):
            yield from _walk(value, f"{here}.", currency, sources)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for nth, one in enumerate(value, 1):
                yield from _walk(one, f"{here}.{getattr(one, 'name', None) or nth}.", currency, sources)
        elif value is not None and value != ():
            extra = field.json_schema_extra
            unit = str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else ""
            set_here = DEFAULT if name not in part.model_fields_set else FILE
            source = sources.get(here) or sources.get(path.rstrip(".")) or set_here
            yield Assumed(here, _plain(value, unit), unit.replace("{currency}", currency), field.description or "", source)


def _plain(value: Any, unit: str) -> Any:
    """As people write it: money in whole units."""
    if isinstance(value, int) and not isinstance(value, bool) and unit.startswith("{currency}"):
        return value / MICRO
    if isinstance(value, dict):
        return ", ".join(f"{key} = {part:g}" if isinstance(part, float) else f"{key} = {part}" for key, part in value.items())
    return list(value) if isinstance(value, tuple) else value
