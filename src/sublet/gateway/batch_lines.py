"""The files of a batch: lines that ask, and lines that answer."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from sublet.core.batch import LINES_MAX
from sublet.gateway.asks import PATHS, Ask, Kind, read
from sublet.gateway.refusals import Refusal

KINDS = {f"/v1{path}": kind for kind, path in PATHS.items()}
_ERRORS_MAX = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch. `number` counts from 1."""

    number: int
    custom_id: str
    ask: Ask


def lines(source: Path, endpoint: str) -> Iterator[Line | dict[str, object]]:
    """The requests of a file, or what is wrong with a line."""
    number = 0
    with source.open("rb") as text:
        for number, raw in enumerate(text, 1):
            if number > LINES_MAX:
                yield _fault(number, "too_many_tasks", f"a batch has at most {LINES_MAX} lines")
                return
            if raw.strip():
                yield _line(number, raw, endpoint)
    if number == 0:
        yield _fault(None, "empty_file", "the file is empty")


def faults(source: Path, endpoint: str) -> tuple[int, list[dict[str, object]]]:
    """How many requests a file has, and what is wrong with it."""
    seen: set[str] = set()
    found: list[dict[str, object]] = []
    for line in lines(source, endpoint):
        if isinstance(line, dict):
            found.append(line)
        elif line.custom_id in seen:
            found.append(_fault(line.number, "duplicate_custom_id", f"custom_id {line.custom_id!r} is there twice"))
        else:
            seen.add(line.custom_id)
        if len(found) >= _ERRORS_MAX:
            break
    return len(seen), found


def answered(file: Path) -> set[str]:
    """The requests that have a line in an answer file. A last line that was not finished is cut off: it is written again."""
    done: set[str] = set()
    if not file.exists():
        return done
    whole = 0
    with file.open("rb") as text:
        for raw in text:
            if not raw.endswith(b"\n"):
                break
            whole += len(raw)
            done.add(orjson.loads(raw)["custom_id"])
    os.truncate(file, whole)
    return done


def append(file: Path, document: dict[str, Any]) -> None:
    """Write an answer so that it stays."""
    with file.open("ab") as out:
        out.write(orjson.dumps(document) + b"\n")
        out.flush()
        os.fdatasync(out.fileno())


def measured(file: Path) -> tuple[int, str]:
    """(bytes, SHA-256) of a file."""
    digest, size = sha256(), 0
    with file.open("rb") as content:
        while data := content.read(1 << 20):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()


def _line(number: int, raw: bytes, endpoint: str) -> Line | dict[str, object]:  # noqa: PLR0911 (one for each fault)
    try:
        asked = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _fault(number, "invalid_json_line", f"this line is not JSON: {error}")
    if not isinstance(asked, dict) or not isinstance(asked.get("custom_id"), str) or not asked["custom_id"]:
        return _fault(number, "missing_required_parameter", "custom_id is missing", "custom_id")
    if asked.get("method") != "POST" or asked.get("url") != endpoint:
        return _fault(number, "invalid_url", f"method is POST and url is {endpoint}, as the batch says", "url")
    body = asked.get("body")
    if not isinstance(body, dict):
        return _fault(number, "missing_required_parameter", "body is an object", "body")
    if body.get("stream"):
        return _fault(number, "invalid_value", "a batch cannot stream", "body.stream")
    kind: Kind = KINDS[endpoint]
    try:
        return Line(number, asked["custom_id"], read(kind, orjson.dumps(body)))
    except Refusal as refusal:
        return _fault(number, refusal.code or "invalid_value", refusal.message, refusal.param)


def _fault(line: int | None, code: str, message: str, param: str | None = None) -> dict[str, object]:
    return {"code": code, "line": line, "message": message, "param": param}
