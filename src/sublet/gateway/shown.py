"""What a model's chat template does not show, written into the messages: the functions that may be called, and past calls."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

Message = dict[str, Any]
_BEFORE = "These functions can be called. Each line is one of them, with the JSON schema of its arguments:\n"
_AFTER = '\nAnswer with one call and nothing else: {"name": NAME, "arguments": OBJECT}'
SHOWN_BYTES = 256
"""What stands around the functions, at most; they themselves are part of the request."""
_TOLD = ("name", "description", "parameters")


def with_functions(messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The conversation with the functions at the end of what the system says, which is what a prefix cache likes best."""
    lines = [orjson.dumps({name: one[name] for name in _TOLD if one.get(name) is not None}).decode() for one in functions]
    text = _BEFORE + "\n".join(lines) + _AFTER
    first = messages[0]
    if first["role"] not in {"system", "developer"}:
        return [{"role": "system", "content": text}, *messages]
    said = first.get("content")
    content = [*said, {"type": "text", "text": text}] if isinstance(said, list) else f"{said}\n\n{text}" if said else text
    return [{**first, "content": content}, *messages[1:]]


def spelled(messages: Sequence[Message]) -> list[Message]:
    """The conversation with calls as texts of the assistant, and what they found as texts of the user, several in one."""
    told: list[Message] = []
    names: dict[str | None, str] = {}  # by the calls' ids
    answered = False  # the last message tells what a call found
    for message in messages:
        calls = message.get("tool_calls")
        if message["role"] == "assistant" and isinstance(calls, list):
            names |= {_id(call, "id"): str(_function(call).get("name")) for call in calls}
            told.append(_told(message, calls))
        elif message["role"] == "tool":
            text = f"{names.get(_id(message, 'tool_call_id'), 'The function')} answered: {_text(message.get('content'))}"
            if answered:
                told[-1]["content"] += f"\n{text}"
            else:
                told.append({"role": "user", "content": text})
            answered = True
            continue
        elif answered and message["role"] == "user" and isinstance(message.get("content"), str):
            told[-1]["content"] += f"\n\n{message['content']}"  # templates may refuse two of one role in a row
        else:
            told.append(message)
        answered = False
    return told


def _told(message: Message, calls: Sequence[Any]) -> Message:
    lines = [_text(message.get("content"))] if message.get("content") else []
    lines += [_call(_function(one)) for one in calls]
    return {name: value for name, value in message.items() if name != "tool_calls"} | {"content": "\n".join(lines)}


def _call(function: Mapping[str, Any]) -> str:
    """A call as the model is asked to write one."""
    given = function.get("arguments") or "{}"
    arguments = given if isinstance(given, str) else orjson.dumps(given).decode()
    return f'{{"name": {orjson.dumps(function.get("name")).decode()}, "arguments": {arguments}}}'


def _id(call: Any, name: str) -> str | None:
    found = call.get(name) if isinstance(call, dict) else None
    return found if isinstance(found, str) else None


def _function(call: Any) -> Mapping[str, Any]:
    found = call.get("function") if isinstance(call, dict) else None
    return found if isinstance(found, dict) else {}


def _text(content: Any) -> str:
    """A content's text, be it in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
