"""What a request says of tools: which there are, and whether one of them has to be called."""

from collections.abc import Mapping, Sequence
from typing import Any

from sublet.gateway.refusals import invalid

Tool = Mapping[str, Any]
_NAMING = ("function", "custom")  # what a choice can name; it may be of any type, so this is no set
_ALLOWED = "allowed_tools"


def must_call(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The tools of which one has to be called; none: that is the model's to say. Raises `Refusal` 400 naming the field."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(one, dict) for one in tools)):
        raise invalid("tools is a list of objects", param="tools")
    if choice is None or choice == "auto" or choice == "none":  # noqa: PLR1714 (it may be an object, which no set takes)
        return ()
    if not tools:
        raise invalid("tool_choice demands a call, and there are no tools", param="tool_choice")
    if choice == "required":
        return tuple(tools)
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == _ALLOWED:
        mode, allowed = _allowed(choice, tools)
        return tuple(allowed) if mode == "required" else ()
    if kind not in _NAMING:
        raise invalid("tool_choice is auto, none, required, or an object that names a function", param="tool_choice")
    return (_named(choice, tools),)


def narrowed(body: dict[str, Any]) -> dict[str, Any]:
    """The same request without OpenAI's choice among allowed tools, which few server programs know: only those are there."""
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != _ALLOWED:
        return body
    mode, allowed = _allowed(choice, body["tools"])
    return {**body, "tools": allowed, "tool_choice": mode}


def has_turns(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a conversation has the answer of a tool in it."""
    return "tool" in [message["role"] for message in messages]


def part_of(tool: Tool) -> Mapping[str, Any]:
    """What an object says below the name of its own type; empty if nothing."""
    kind = tool.get("type")
    part = tool.get(kind) if isinstance(kind, str) else None
    return part if isinstance(part, dict) else {}


def _named(choice: Tool, tools: Sequence[Tool]) -> Tool:
    name = part_of(choice).get("name")
    for tool in tools:
        if tool.get("type") == choice.get("type") and part_of(tool).get("name") == name and name:
            return tool
    known = ", ".join(str(part_of(tool).get("name")) for tool in tools)
    raise invalid(f"tool_choice names {name!r}, and the tools are: {known}", param="tool_choice")


def _allowed(choice: Tool, tools: Sequence[Tool]) -> tuple[str, list[Tool]]:
    """(mode, tools)."""
    said = part_of(choice)
    mode, among = said.get("mode"), said.get("tools")
    if mode in ("auto", "required") and isinstance(among, list) and among and all(isinstance(one, dict) for one in among):
        return mode, [_named(one, tools) for one in among]
    raise invalid("tool_choice.allowed_tools has a mode (auto or required) and a list of tools", param="tool_choice")
