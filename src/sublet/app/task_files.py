"""Task files, read with the line of every field, so that all mistakes are named at once, each with its line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sublet.app import complaints
from sublet.app.complaints import Complaint, InvalidFields
from sublet.app.tasks import Task


def text_of(file: Path) -> str:
    """What stands in a task file."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        found = [Complaint("task file", f"{file} cannot be read: {reason}", "check the path")]
        raise InvalidFields("the task file", found) from error


def read(text: str, *, what: str = "the task") -> Task:
    """The task in a YAML text; raises `InvalidFields` with every mistake and its line."""
    document, lines, doubled = document_of(text, what=what)
    return checked(document, lines, doubled, what=what)


def checked(document: Any, lines: Mapping[complaints.Path, int], doubled: list[Complaint], *, what: str) -> Task:
    """The task behind a document whose lines are known."""
    if not isinstance(document, dict):
        raise InvalidFields(
            what, [Complaint("task file", "it must have fields such as `run:`", "see `sublet launch --help`", 1)]
        )
    _read_norway(document)
    try:
        task = Task.model_validate(document)
    except ValidationError as error:
        raise InvalidFields(what, [*doubled, *complaints.explain(error.errors(), Task, lines)]) from error
    if doubled:
        raise InvalidFields(what, doubled)
    return task


def _read_norway(document: dict[Any, Any]) -> None:
    """YAML 1.1 reads the code of Norway, without quotes, as "no"; in `lease.residency` it is put right."""
    lease = document.get("lease")
    if isinstance(lease, dict) and "residency" in lease:
        places = lease["residency"]
        listed = places if isinstance(places, list) else [places]
        named = ["NO" if place is False else place for place in listed]
        if named != listed:
            lease["residency"] = named


def document_of(text: str, *, what: str) -> tuple[Any, dict[complaints.Path, int], list[Complaint]]:
    """The YAML document, the line of each field, and the fields that stand there twice."""
    lines: dict[complaints.Path, int] = {}
    doubled: list[Complaint] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _walk(node, (), lines, doubled)
        return yaml.safe_load(text), lines, doubled
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        problem = error.problem or "it is not YAML"
        raise InvalidFields(what, [Complaint("task file", problem, "check quotes and indentation", line)]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidFields(what, [Complaint("task file", f"it is not YAML: {error}", "check the characters")]) from error


def _walk(node: yaml.Node, path: complaints.Path, lines: dict[complaints.Path, int], doubled: list[Complaint]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = (*path, str(key.value))
            if str(key.value) in seen:
                line = key.start_mark.line + 1
                doubled.append(Complaint(complaints.dotted(below), "it stands there twice", "keep one", line))
            seen.add(str(key.value))
            lines[below] = key.start_mark.line + 1
            _walk(value, below, lines, doubled)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*path, index), lines, doubled)
