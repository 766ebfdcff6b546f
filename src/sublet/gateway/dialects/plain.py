"""Any server that speaks OpenAI's API and of which nothing else is known: it is asked for nothing more."""

from collections.abc import Mapping, Sequence
from typing import Any

from sublet.core.model import Replica
from sublet.core.tokens import Tokens
from sublet.gateway.asks import Ask, Kind
from sublet.gateway.dialects.dialect import Bears, Event, Heard, usage_of
from sublet.gateway.upstream import Upstream


class Plain:
    """A stream of texts without their tokens: it goes on elsewhere by its text, or from its beginning."""

    def shape(self, body: dict[str, Any], ask: Ask) -> None:
        """Nothing more is asked for."""

    def hear(self, event: Event, choice: dict[str, Any], ask: Ask, memory: dict[str, Any]) -> Heard:
        """No tokens are known."""
        return Heard(missing=None)

    def count(self, event: Event, memory: dict[str, Any]) -> Tokens | None:
        """Only the end says it."""
        return usage_of(event)

    async def bears(self, upstream: Upstream, replica: Replica) -> Bears | None:
        """Tools are its own affair."""
        return Bears(tools=True, turns=True)

    async def prompt(self, upstream: Upstream, replica: Replica, ask: Ask, memory: Mapping[str, Any]) -> list[Any] | None:
        """A text is its own prompt; what a chat became is not known."""
        prompt = ask.body.get("prompt")
        return [prompt] if ask.kind is Kind.COMPLETION and isinstance(prompt, str) else None

    async def tokens_of(self, upstream: Upstream, replica: Replica, text: str) -> Sequence[int] | None:
        """No tokens are known."""
        return None

    async def text_of(self, upstream: Upstream, replica: Replica, ids: Sequence[int]) -> str | None:
        """No tokens are known."""
        return None
