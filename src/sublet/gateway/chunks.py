"""Chunks as their caller gets them: one id, one model, one form, whichever replica said them and however it was asked."""

from time import time
from typing import Any

import orjson

from sublet.core.tokens import Tokens
from sublet.gateway.asks import Kind
from sublet.gateway.said import CONTENT, TOOL, Resume, Said, pieces
from sublet.gateway.works import Work

Choice = dict[str, Any]


class Chunks:
    """Writes the chunks of one stream and notes in `said` what they tell."""

    __slots__ = ("_chat", "_head", "_said", "_tail", "_wants_usage", "_work", "pieces")

    def __init__(self, work: Work, said: Said) -> None:
        self._work, self._said = work, said
        self._chat = work.ask.kind is Kind.CHAT
        self._wants_usage = work.ask.wants_usage
        self.pieces = 0  # chunks with text
        self._head: dict[str, Any] = {
            "id": work.id,
            "object": "chat.completion.chunk" if self._chat else "text_completion",
            "created": int(time()),
            "model": work.model.name,
        }
        self._tail: set[int] = set()  # choices whose role was told

    def of(self, choices: list[Choice], resume: Resume) -> bytes:
        """The chunk for what a replica's chunk says that is new; empty if nothing is."""
        told = [new for choice in choices if (new := self._new(choice, resume)) is not None]
        return self._chunk(told) if told else b""

    def cut_off(self) -> bytes:
        """The end of an answer that has reached its bound."""
        self._said.finished.add(0)
        body: dict[str, Any] = {"delta": {}} if self._chat else {"text": ""}
        return self._chunk([{"index": 0, **body, "logprobs": None, "finish_reason": "length"}])

    def usage(self, tokens: Tokens) -> bytes:
        """The last chunk, for who wants it: what was used."""
        if not self._wants_usage:
            return b""
        used = {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
            "prompt_tokens_details": {"cached_tokens": tokens.cached},
        }
        return self._event({**self._head, "service_tier": self._work.tier, "choices": [], "usage": used})

    def _chunk(self, choices: list[Choice]) -> bytes:
        chunk = {**self._head, "service_tier": self._work.tier, "choices": choices}
        if self._wants_usage:
            chunk["usage"] = None
        return self._event(chunk)

    @staticmethod
    def _event(chunk: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def _new(self, choice: Choice, resume: Resume) -> Choice | None:
        """A choice with what of it was not told yet; None if that is nothing."""
        index = int(choice.get("index") or 0)
        said = self._said
        if index in said.finished:
            return None
        found = pieces(choice)
        if resume.skips or resume.tool_heads:
            choice, found = _trimmed(choice, found, resume)
        for channel, piece in found:
            said.note(channel, piece)
        finish = choice.get("finish_reason")
        if finish:
            said.finished.add(index)
        if not found and not finish and not choice.get("logprobs"):
            return None
        if found:
            self.pieces += 1
        return self._formed(choice, index, finish)

    def _formed(self, choice: Choice, index: int, finish: Any) -> Choice:
        """In the form of the endpoint that was called."""
        if not self._chat:
            text = choice.get("text") or ""
            return {"index": index, "text": text, "logprobs": choice.get("logprobs"), "finish_reason": finish}
        delta = choice.get("delta")
        if delta is None:
            text = choice.get("text")
            delta = {"content": text} if text else {}
            if choice.get("logprobs") and "content" not in choice["logprobs"]:
                choice["logprobs"] = _chat_logprobs(choice["logprobs"])
        delta.pop("role", None)
        if index not in self._tail:
            self._tail.add(index)
            delta = {"role": "assistant", "content": "", **delta}
        elif delta.get("content", "") is None:
            del delta["content"]
        return {"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": finish}


def _trimmed(choice: Choice, found: list[Any], resume: Resume) -> tuple[Choice, list[Any]]:
    """Without what was told before."""
    rests = [(channel, resume.rest(channel, piece), channel in resume.tool_heads) for channel, piece in found]
    kept = [(channel, rest) for channel, rest, headed in rests if rest or (channel[1] == TOOL and not headed)]
    calls = (choice.get("delta") or {}).get("tool_calls") or ()
    if choice.get("text") is not None:
        text = next((rest for channel, rest in kept if channel[1] == CONTENT), "")
        return {**choice, "text": text, "logprobs": choice.get("logprobs") if kept else None}, kept
    delta: dict[str, Any] = {}
    for channel, rest in kept:
        if channel[1] != TOOL:
            delta["content" if channel[1] == CONTENT else "reasoning_content"] = rest
            continue
        call = next(one for one in calls if int(one.get("index") or 0) == channel[2])
        function = {**(call.get("function") or {}), "arguments": rest}
        if channel in resume.tool_heads:
            function.pop("name", None)
            call = {"index": channel[2]}
        delta.setdefault("tool_calls", []).append({**call, "function": function})
    return {**choice, "delta": delta, "logprobs": choice.get("logprobs") if kept else None}, kept


def _chat_logprobs(given: dict[str, Any]) -> dict[str, Any]:
    """The probabilities of a completion in the form of a chat."""
    content = []
    tokens, chances = given.get("tokens") or [], given.get("token_logprobs") or []
    tops = given.get("top_logprobs") or [None] * len(tokens)
    for token, chance, top in zip(tokens, chances, tops, strict=False):
        others = [{"token": name, "logprob": value, "bytes": list(name.encode())} for name, value in (top or {}).items()]
        content.append({"token": token, "logprob": chance, "bytes": list(token.encode()), "top_logprobs": others})
    return {"content": content}
