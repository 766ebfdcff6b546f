"""What is wrong with an input, field by field, in words that help: the field, the line, and what was probably meant."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sublet.core.errors import Invalid

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with one field. `line` counts from 1, where the input is a file."""

    field: str
    message: str
    hint: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        way_out = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.field}: {self.message}{way_out}"


class InvalidFields(Invalid):
    """Several fields cannot be accepted; all of them are named at once."""

    def __init__(self, what: str, complaints: Sequence[Complaint]) -> None:
        count = len(complaints)
        first = complaints[0]
        super().__init__(
            f"{what}: {first.field}: {first.message}" if count == 1 else f"{what}: {count} fields are wrong",
            field=first.field,
            hint=first.hint if count == 1 else "correct each field named in `errors`",
        )
        self.complaints = tuple(complaints)


def explain(
    errors: Sequence[ErrorDetails], model: type[BaseModel] | None, lines: Mapping[Path, int] | None = None
) -> list[Complaint]:
    """Pydantic's findings in our words. `lines` knows where a field stands."""
    told: dict[str, Complaint] = {}
    for error in errors:
        path: Path = tuple(error["loc"])
        if error["type"] == "missing":
            line = _line_of(path[:-1], lines)
            complaint = Complaint(dotted(path), "it is missing", "add it", line)
        elif error["type"] == "extra_forbidden":
            hint = meant(str(path[-1]), fields_at(model, path[:-1]))
            complaint = Complaint(dotted(path), "there is no such field", hint, _line_of(path, lines))
        else:
            complaint = Complaint(dotted(path), _words(error), None, _line_of(path, lines))
        told.setdefault(complaint.field, complaint)
    return sorted(told.values(), key=lambda complaint: complaint.line or 0)


def meant(word: str, known: Sequence[str], *, cutoff: float = 0.6) -> str | None:
    """What somebody who wrote `word` probably meant, or all there is to choose from."""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=cutoff)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"choose from: {', '.join(known)}" if known else None


def dotted(path: Path) -> str:
    """A path as people write it: `lease.checkpoint.every`."""
    return ".".join(str(part) for part in path) or "the whole input"


def fields_at(model: type[BaseModel] | None, path: Path) -> list[str]:
    """The fields that the model has at a path, by the names that people write."""
    for part in path:
        if isinstance(part, int):  # one of several: the items of a list are alike
            continue
        written = {} if model is None else {field.alias or name: field for name, field in model.model_fields.items()}
        model = _model_in(written[str(part)].annotation) if str(part) in written else None
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _words(error: ErrorDetails) -> str:
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return said[:1].lower() + said[1:]


def _line_of(path: Path, lines: Mapping[Path, int] | None) -> int | None:
    if lines is None:
        return None
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)
