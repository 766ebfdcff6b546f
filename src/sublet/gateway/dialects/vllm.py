"""vLLM's server: `return_token_ids` puts the tokens of the prompt into the first chunk and those of each text beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sublet.core.model import Replica
from sublet.core.tokens import Tokens
from sublet.gateway.asks import Ask
from sublet.gateway.dialects.dialect import Bears, Event, Heard, usage_of
from sublet.gateway.upstream import Upstream


class Vllm:
    """Its additions to OpenAI's fields."""

    def shape(self, body: dict[str, Any], ask: Ask) -> None:
        """Token ids, and the usage with every chunk."""
        body["return_token_ids"] = True
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}

    def hear(self, event: Event, choice: dict[str, Any], ask: Ask, memory: dict[str, Any]) -> Heard:
        """The ids stand beside the text, also of tokens whose text comes later."""
        prompt = event.pop("prompt_token_ids", None) or choice.pop("prompt_token_ids", None)
        if prompt and not memory.get("resumed"):
            memory["prompt"] = prompt
        ids = choice.pop("token_ids", None)
        if ids is None:
            delta = choice.get("delta")
            said = choice.get("text") or (isinstance(delta, dict) and delta.get("content"))
            return Heard(missing=None if said else 0)
        return Heard(tuple(ids))

    def count(self, event: Event, memory: dict[str, Any]) -> Tokens | None:
        """The usage so far."""
        return usage_of(event)

    async def bears(self, upstream: Upstream, replica: Replica) -> Bears | None:
        """Tools are its own affair."""
        return Bears(tools=True, turns=True)

    async def prompt(self, upstream: Upstream, replica: Replica, ask: Ask, memory: Mapping[str, Any]) -> list[Any] | None:
        """The tokens that the first chunk named."""
        return memory.get("prompt")

    async def tokens_of(self, upstream: Upstream, replica: Replica, text: str) -> Sequence[int] | None:
        """Its streams name every token."""
        return None

    async def text_of(self, upstream: Upstream, replica: Replica, ids: Sequence[int]) -> str | None:
        """From its own address for that."""
        found = await upstream.ask_root(replica, "/detokenize", {"tokens": list(ids)})
        return str(found["prompt"])
