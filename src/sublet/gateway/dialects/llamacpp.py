"""llama.cpp's server.

Asked for the likeliest token after sampling (`n_probs` with `post_sampling_probs`, which costs nothing that sampling has not
computed), each chunk of a stream bears the id of its token. A token that ends inside a character is held back and its id is
lost; `timings_per_token` counts tokens and so shows it. `return_progress` says how long the prompt was before the first token.
The prompt of `/v1/completions` may be a list of texts and token ids, and `/apply-template` gives a chat's text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sublet.core.model import Replica
from sublet.core.tokens import Tokens
from sublet.gateway.asks import Ask, Kind
from sublet.gateway.dialects.dialect import Bears, Event, Heard, usage_of
from sublet.gateway.upstream import Unreachable, Upstream

_TEMPLATE_FIELDS = ("messages", "chat_template_kwargs", "reasoning_format", "add_generation_prompt")
_OFFERED, _CALLED = "function_offered", "function_called"
_PROBE: Mapping[str, Any] = {
    "messages": [
        {"role": "user", "content": "question"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call00000", "type": "function", "function": {"name": _CALLED, "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call00000", "content": "answer"},
    ],
    "tools": [{"type": "function", "function": {"name": _OFFERED, "parameters": {"type": "object", "properties": {}}}}],
    "tool_choice": "none",
}


class LlamaCpp:
    """Its additions to OpenAI's fields."""

    def shape(self, body: dict[str, Any], ask: Ask) -> None:
        """Token ids, counts and the length of the prompt."""
        body["return_progress"] = True
        body["timings_per_token"] = True
        if not body.get("logprobs"):
            body["n_probs"] = 1
            body["post_sampling_probs"] = True

    def hear(self, event: Event, choice: dict[str, Any], ask: Ask, memory: dict[str, Any]) -> Heard:
        """The id stands with the probabilities; a jump of the counter means that others were held back before it."""
        said = choice.get("logprobs")
        found = said.get("content") if isinstance(said, dict) else None
        if not ask.body.get("logprobs"):
            choice["logprobs"] = None
        if not found:
            return Heard()
        ids = tuple(one["id"] for one in found)
        if ask.body.get("logprobs"):
            for one in found:
                one.pop("id", None)
                for other in one.get("top_logprobs") or ():
                    other.pop("id", None)
        before = memory.get("predicted", 0)
        timings = event.get("timings")
        now = timings["predicted_n"] if timings else before + len(ids)
        memory["predicted"] = now
        return Heard(ids, missing=max(0, now - before - len(ids)))

    def count(self, event: Event, memory: dict[str, Any]) -> Tokens | None:
        """From the progress of the prompt, the timings of each token, and the usage at the end."""
        progress = event.pop("prompt_progress", None)
        if progress is not None:
            memory["input"], memory["cached"] = progress["total"], progress["cache"]
        timings = event.pop("timings", None)
        usage = usage_of(event)
        if usage is not None:
            return usage
        if timings is None and progress is None:
            return None
        return Tokens(memory.get("input", 0), memory.get("cached", 0), timings["predicted_n"] if timings else 0)

    async def bears(self, upstream: Upstream, replica: Replica) -> Bears | None:
        """Seen by what its template makes of a short conversation; one that refuses it shows nothing."""
        try:
            prompt = str((await upstream.ask_root(replica, "/apply-template", _PROBE))["prompt"])
        except Unreachable:
            return None
        return Bears(tools=_OFFERED in prompt, turns=_CALLED in prompt)

    async def prompt(self, upstream: Upstream, replica: Replica, ask: Ask, memory: Mapping[str, Any]) -> list[Any] | None:
        """The chat as the template writes it, or the prompt as it was given."""
        if ask.kind is Kind.CHAT:
            fields = {name: ask.body[name] for name in _TEMPLATE_FIELDS if name in ask.body}
            rendered = await upstream.ask_root(replica, "/apply-template", fields)
            return [rendered["prompt"]]
        prompt = ask.body["prompt"]
        if isinstance(prompt, str):
            return [prompt]
        return list(prompt) if all(isinstance(part, int) for part in prompt) else None

    async def tokens_of(self, upstream: Upstream, replica: Replica, text: str) -> Sequence[int] | None:
        """From its own address for that."""
        found = await upstream.ask_root(replica, "/tokenize", {"content": text, "add_special": False, "parse_special": False})
        return [int(one) for one in found["tokens"]]

    async def text_of(self, upstream: Upstream, replica: Replica, ids: Sequence[int]) -> str | None:
        """From its own address for that."""
        found = await upstream.ask_root(replica, "/detokenize", {"tokens": list(ids)})
        return str(found["content"])
