"""Calls of tools where a caller demands one and the server program cannot promise it: the answer is bound by a schema.

The server is asked for a JSON document with the name of a function and its arguments, which its grammar holds it to, and what
comes back is told in OpenAI's shape. Each document is one call.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from sublet.gateway.refusals import broken, invalid
from sublet.gateway.tools import Tool, part_of

_DEPTH_MAX = 64
_HEAD_CHARS_MAX = 4_096
_NAME = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")')
_ARGUMENTS = re.compile(_NAME.pattern + r'\s*,\s*"arguments"\s*:\s*(?=\{)')
_SHAPED = ("$ref", "anyOf", "oneOf", "allOf", "type")  # what says by itself what a document is
_NOT_SENT = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "stop")


@dataclass(frozen=True, slots=True)
class Binding:
    """How the answers to one request are bound. `id` is the request's."""

    functions: tuple[Mapping[str, Any], ...]  # one of which is called
    schema: Mapping[str, Any]
    id: str

    def bind(self, body: dict[str, Any], *, shown: bool) -> dict[str, Any]:
        """The request for a bound answer; `shown`: the template shows tools, so they stay.

        Without a seed it gets one of its own, so that an answer drawn by chance can be told again by another replica.
        """
        bound = {name: value for name, value in body.items() if name not in _NOT_SENT}
        if shown:
            bound["tools"], bound["tool_choice"] = body["tools"], "none"
        bound["response_format"] = {"type": "json_schema", "json_schema": {"name": "call", "schema": self.schema}}
        if bound.get("seed") is None:
            bound["seed"] = int.from_bytes(blake2b(self.id.encode(), digest_size=4).digest(), "big") >> 1
        return bound

    def turn(self, document: Mapping[str, Any]) -> None:
        """Make calls of a whole answer's texts; raises `Refusal` 502 where one is none."""
        turner = Turner(self)
        for choice in document.get("choices") or ():
            message = choice.get("message") or {}
            turned = turner.turn({**choice, "delta": message})
            calls = turned["delta"].pop("tool_calls", None)
            message.update(turned["delta"])
            if calls:
                message["tool_calls"] = [{name: value for name, value in calls[0].items() if name != "index"}]
            choice["finish_reason"], choice["logprobs"] = turned["finish_reason"], None

    def call_id(self, index: int) -> str:
        """The name of the call in a choice."""
        return f"call_{blake2b(f'{self.id}/{index}'.encode(), digest_size=12).hexdigest()}"


def bound_to(tools: Sequence[Tool], id_: str) -> Binding:
    """Bind a request to a call of one of these; raises `Refusal` 400 where one cannot be called."""
    functions = tuple(_function(tool) for tool in tools)
    kept = {f"f{nth}": _moved(_parameters(one), f"#/$defs/f{nth}", _DEPTH_MAX) for nth, one in enumerate(functions)}
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": one["name"]}, "arguments": {"$ref": f"#/$defs/f{nth}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for nth, one in enumerate(functions)
    ]
    return Binding(functions, {"$defs": kept, **(calls[0] if len(calls) == 1 else {"anyOf": calls})}, id_)


class Turner:
    """Makes calls of the texts that one server says, choice by choice and piece by piece."""

    __slots__ = ("_binding", "_told", "_words")

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._words: dict[int, CallWords] = {}
        self._told: set[int] = set()  # choices whose call has its head

    def turn(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A chunk's choice with the piece of a call in place of its text; raises `Refusal` 502 where it is none."""
        index = int(choice.get("index") or 0)
        words = self._words.setdefault(index, CallWords())
        delta, finish = dict(choice.get("delta") or {}), choice.get("finish_reason")
        text = delta.pop("content", None)
        arguments = words.feed(text) if text else ""
        delta["content"] = None
        call: dict[str, Any] = {}
        name = self._name(words) if text or finish else ""
        if name and index not in self._told:
            self._told.add(index)
            call = {"id": self._binding.call_id(index), "type": "function", "function": {"name": name, "arguments": arguments}}
        elif arguments:
            call = {"function": {"arguments": arguments}}
        if call:
            delta["tool_calls"] = [{"index": 0, **call}]
        if finish == "stop":
            if not words.over:
                raise broken("the server program was bound to call a function, and has not")
            finish = "tool_calls"
        return {**choice, "delta": delta, "logprobs": None, "finish_reason": finish}

    def _name(self, words: "CallWords") -> str:
        """Which function is called, as soon as that is sure; empty: it is not."""
        functions = self._binding.functions
        return str(functions[0]["name"]) if len(functions) == 1 else words.name


class CallWords:
    """Reads a text of the form `{"name": NAME, "arguments": OBJECT}` as it comes."""

    __slots__ = ("_depth", "_escaped", "_head", "_quoted", "name", "over")

    def __init__(self) -> None:
        self.name = ""
        self.over = False  # its arguments are complete
        self._head: str | None = ""  # until the arguments begin
        self._depth, self._quoted, self._escaped = 0, False, False

    def feed(self, piece: str) -> str:
        """What of the arguments is in the next piece of the text; raises `Refusal` 502 if there are none in sight."""
        if self._head is not None:
            piece = self._begun(self._head + piece)
        if self.over or not piece:
            return ""
        for at, char in enumerate(piece):
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._quoted, self._escaped = char != '"', char == "\\"
            elif char == '"':
                self._quoted = True
            elif char in "{}":
                self._depth += 1 if char == "{" else -1
                if not self._depth:
                    self.over = True
                    return piece[: at + 1]
        return piece

    def _begun(self, head: str) -> str:
        """What stands after the head, which says the name."""
        self._head = head
        if not self.name and (named := _NAME.match(head)):
            self.name = orjson.loads(named[1])
        found = _ARGUMENTS.match(head)
        if found is None:
            if len(head) > _HEAD_CHARS_MAX:
                raise broken("the server program was bound to call a function, and says something else")
            return ""
        self._head = None
        return head[found.end() :]


def _function(tool: Tool) -> Mapping[str, Any]:
    function = part_of(tool)
    if tool.get("type") != "function" or not isinstance(function.get("name"), str) or not function["name"]:
        raise invalid("only functions can be called here: each tool is a function with a name", param="tools")
    return function


def _parameters(function: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of its arguments, which are an object; without one it takes none."""
    schema = function.get("parameters")
    if schema is None or schema == {}:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise invalid(f"the parameters of {function['name']} must be the JSON schema of an object", param="tools")
    return schema if any(name in schema for name in _SHAPED) else {"type": "object", **schema}


def _moved(schema: Any, root: str, depth: int) -> Any:
    """A schema with its references as they are where it stands below `root` of another document."""
    if depth == 0:
        raise invalid(f"the parameters of a function are nested more than {_DEPTH_MAX} deep", param="tools")
    if isinstance(schema, list):
        return [_moved(one, root, depth - 1) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: root + value[1:]
        if name == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, root, depth - 1)
        for name, value in schema.items()
    }
