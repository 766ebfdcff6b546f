"""Training files as they come in: every line a conversation, told by its number where it is none.

Whether a conversation is too long for a model depends on the model, so that is said when a job is asked for.
"""

from pathlib import Path
from typing import Any

import orjson

from sublet.gateway.refusals import Refusal, invalid

BYTES_MAX = 64 * 1024 * 1024
"""A run holds its whole training file in memory."""
ROLES = frozenset({"system", "user", "assistant"})
_FORM = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'


def check(file: Path) -> int:
    """How many conversations a file has; raises `Refusal` 400 that names the first line which is none."""
    if file.stat().st_size > BYTES_MAX:
        raise Refusal(
            413, f"a training file has at most {BYTES_MAX} bytes: cut it into several", param="file", code="file_too_large"
        )
    found = 0
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            if fault := _fault(raw):
                raise invalid(
                    f"line {number} of the file {fault}; each line is {_FORM}", param="file", code="invalid_file_format"
                )
            found += 1
    if not found:
        raise invalid(f"the file is empty; each line is {_FORM}", param="file", code="invalid_file_format")
    return found


def _fault(raw: bytes) -> str:
    """What is wrong with a line; empty if nothing is."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return f"is not JSON ({error})"
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list) or not messages:
        return "has no messages"
    for nth, message in enumerate(messages):
        if said := _wrong(message):
            return f"has a message (number {nth + 1}) {said}"
    if not any(one["role"] == "assistant" and one.get("weight", 1) != 0 for one in messages):
        return "has no answer to learn: no message of the assistant"
    return ""


def _wrong(message: Any) -> str:
    if not isinstance(message, dict):
        return "that is no object"
    if message.get("role") not in ROLES:
        return f"whose role is none of {', '.join(sorted(ROLES))}"
    if not isinstance(message.get("content"), str):
        return "whose content is no text"
    return "" if message.get("weight", 1) in {0, 1} else "whose weight is neither 0 nor 1"
