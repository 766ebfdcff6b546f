"""A request as it came: what the gateway itself has to understand of it. The rest is the server program's to judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import orjson

from sublet.core.model import Model, Tier
from sublet.core.tokens import input_tokens_max
from sublet.gateway.refusals import invalid
from sublet.gateway.shown import SHOWN_BYTES
from sublet.gateway.tools import Tool, has_turns, must_call

OUTPUT_TOKENS = 4_096
"""What an answer may have at most where neither its caller nor its model says so."""
_PREFIX_BYTES = 1_024
_CHOICES_MAX = 128
_TIERS: Mapping[str, Tier] = {
    "auto": Tier.DEFAULT,
    "default": Tier.DEFAULT,
    "flex": Tier.FLEX,
    "priority": Tier.PRIORITY,
}


class Kind(StrEnum):
    """What is asked of a model."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"


PATHS: Mapping[Kind, str] = {
    Kind.CHAT: "/chat/completions",
    Kind.COMPLETION: "/completions",
    Kind.EMBEDDING: "/embeddings",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that was read. `body` is what the caller sent."""

    kind: Kind
    body: Mapping[str, Any]
    body_bytes: int
    model: str
    tier: Tier
    stream: bool
    wants_usage: bool  # a last chunk with the usage
    answers: int  # prompts times choices
    prompts: int
    messages: int
    text_only: bool
    output_max: int | None  # of each answer, as its caller says
    prefix: bytes  # what requests have in common that would find each other's prompt in a cache
    must_call: tuple[Tool, ...] = ()  # tools of which the answer has to call one
    tool_turns: bool = False  # the conversation has answers of tools in it

    def bounds(self, model: Model) -> "Bounds":
        """The most tokens that this can use with a model."""
        context = model.context_length
        if not self.text_only and not context:
            raise invalid(f"{model.name} has no known context length, so only text may be sent to it", param="messages")
        shown = SHOWN_BYTES if self.must_call else 0
        body_bytes = self.body_bytes + shown if self.text_only else context
        input_one = input_tokens_max(body_bytes, self.messages, 0)
        input_max = min(input_one, context * self.prompts) if context else input_one
        if self.kind is Kind.EMBEDDING:
            return Bounds(input_max, 0, None)
        if self.output_max is not None:
            each = min(self.output_max, context) if context else self.output_max
            return Bounds(input_max, each * self.answers, self.output_max)
        each = int(model.options.get("output_tokens", 0)) or OUTPUT_TOKENS
        if not context:
            return Bounds(input_max, each * self.answers, each)
        room = context - min(input_one, context)
        if room >= min(each, context // 4):  # however the prompt is cut into tokens, so much fits
            return Bounds(input_max, min(each, room) * self.answers, min(each, room))
        return Bounds(input_max, context * self.answers, None)  # the server knows how much fits: it gets no limit from us


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most tokens that a request can use; `limit` is what the server is told for each answer, None: nothing."""

    input_max: int
    output_max: int
    limit: int | None


def read(kind: Kind, raw: bytes) -> Ask:
    """Read a request; raises `Refusal` 400 naming the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("say which model: a string", param="model")
    stream = _flag(body, "stream") if kind is not Kind.EMBEDDING else False
    options = body.get("stream_options")
    if options is not None and (not isinstance(options, dict) or not stream):
        raise invalid("stream_options is an object, and only for streams", param="stream_options")
    prompts, messages, prefix, text_only = _READERS[kind](body)
    choices = 1 if kind is Kind.EMBEDDING else max(_count(body, "n", 1), _count(body, "best_of", 1))
    if choices > _CHOICES_MAX:
        raise invalid(f"at most {_CHOICES_MAX} choices", param="n")
    _check_format(body)
    return Ask(
        kind=kind,
        body=body,
        body_bytes=len(raw),
        model=model,
        tier=_tier(body),
        stream=stream,
        wants_usage=bool(options and options.get("include_usage")),
        answers=prompts * choices,
        prompts=prompts,
        messages=messages,
        text_only=text_only,
        output_max=_output_max(body),
        prefix=blake2b(prefix[:_PREFIX_BYTES], digest_size=16).digest(),
        must_call=must_call(body) if kind is Kind.CHAT else (),
        tool_turns=kind is Kind.CHAT and has_turns(body["messages"]),
    )


def _tier(body: Mapping[str, Any]) -> Tier:
    name = body.get("service_tier") or "auto"
    if name not in _TIERS:
        raise invalid(f"service_tier is one of {', '.join(_TIERS)}", param="service_tier")
    return _TIERS[name]


def _output_max(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise invalid(f"{name} is a whole number of at least 1", param=name)
            return value
    return None


def _check_format(body: Mapping[str, Any]) -> None:
    """That the form of the answer is described by an object; what it says is for the server program."""
    form = body.get("response_format")
    if form is not None:
        if not isinstance(form, dict) or form.get("type") not in {"text", "json_object", "json_schema"}:
            raise invalid("response_format.type is text, json_object or json_schema", param="response_format")
        if form["type"] == "json_schema":
            said = form.get("json_schema")
            if not isinstance(said, dict) or not isinstance(said.get("schema"), dict):
                raise invalid("response_format.json_schema.schema must be an object", param="response_format.json_schema")
    stop = body.get("stop")
    if (
        stop is not None
        and not isinstance(stop, str)
        and not (isinstance(stop, list) and all(isinstance(s, str) for s in stop))
    ):
        raise invalid("stop is a string or a list of strings", param="stop")


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(f"{name} is true or false", param=name)
    return bool(value)


def _count(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise invalid(f"{name} is a whole number of at least 1", param=name)
    return value


_Found = tuple[int, int, bytes, bool]  # prompts, messages, prefix, only text


def _read_chat(body: Mapping[str, Any]) -> _Found:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages is a list with at least one message", param="messages")
    text_only = True
    for nth, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise invalid(f"messages[{nth}] must be an object with a role", param=f"messages.{nth}")
        content = message.get("content")
        if isinstance(content, list):
            text_only = text_only and all(isinstance(part, dict) and part.get("type") == "text" for part in content)
        elif content is not None and not isinstance(content, str):
            raise invalid(f"messages[{nth}].content must be text or a list of parts", param=f"messages.{nth}.content")
    return 1, len(messages), _beginning(messages[0].get("content"), messages[1:2]), text_only


def _read_completion(body: Mapping[str, Any]) -> _Found:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return 1, 1, prompt[:_PREFIX_BYTES].encode("utf-8", "replace"), True
    if not isinstance(prompt, list) or not prompt:
        raise invalid("prompt is a text, a list of texts, or a list of token numbers", param="prompt")
    if all(isinstance(part, int) and not isinstance(part, bool) for part in prompt):
        return 1, 1, orjson.dumps(prompt[:64]), True
    return len(prompt), len(prompt), _beginning(prompt[0], ()), True


def _read_embedding(body: Mapping[str, Any]) -> _Found:
    given = body.get("input")
    if isinstance(given, str) and given:
        return 1, 1, b"", True
    if not isinstance(given, list) or not given:
        raise invalid("input is a text, a list of texts, or a list of token numbers", param="input")
    prompts = 1 if isinstance(given[0], int) else len(given)
    return prompts, prompts, b"", True


def _beginning(first: Any, second: Any) -> bytes:
    """The head of a prompt: of the first part, and of the second if the first is short."""
    head = first[:_PREFIX_BYTES] if isinstance(first, str) else first
    if isinstance(first, str) and len(first) >= _PREFIX_BYTES:
        return head.encode("utf-8", "replace")
    return orjson.dumps([head, second], default=str)


_READERS = {Kind.CHAT: _read_chat, Kind.COMPLETION: _read_completion, Kind.EMBEDDING: _read_embedding}
