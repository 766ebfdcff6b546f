"""What a server program's own words mean: the additions that we ask for, and where the tokens of a stream are found in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sublet.core.model import Replica
from sublet.core.tokens import Tokens
from sublet.gateway.asks import Ask
from sublet.gateway.upstream import Upstream

Event = dict[str, Any]
"""One chunk of a stream, as it came."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The tokens behind a piece of text; `missing` others stand before them, None: nobody knows how many."""

    ids: tuple[int, ...] = ()
    missing: int | None = 0


@dataclass(frozen=True, slots=True)
class Bears:
    """What of tools a chat template puts into the prompt."""

    tools: bool = False  # those that may be called
    turns: bool = False  # calls of the past and what they found


class Dialect(Protocol):
    """One server program. What a chunk has beside OpenAI's fields is taken out of it as it is read."""

    def shape(self, body: dict[str, Any], ask: Ask) -> None:
        """Ask for what we need in a stream."""

    def hear(self, event: Event, choice: dict[str, Any], ask: Ask, memory: dict[str, Any]) -> Heard:
        """The tokens of a chunk's choice; `memory` is the stream's own, kept from chunk to chunk."""

    def count(self, event: Event, memory: dict[str, Any]) -> Tokens | None:
        """The tokens used so far, if the chunk says so."""

    async def bears(self, upstream: Upstream, replica: Replica) -> Bears | None:
        """What of tools the replica's chat template shows; None: it cannot be asked now. Who needs no help of ours: all."""

    async def prompt(self, upstream: Upstream, replica: Replica, ask: Ask, memory: Mapping[str, Any]) -> list[Any] | None:
        """The prompt as the model saw it, in parts that a list of token numbers can follow; None: it cannot be had.

        The body of `ask` is what was sent.
        """

    async def tokens_of(self, upstream: Upstream, replica: Replica, text: str) -> Sequence[int] | None:
        """The tokens of a text; None: it cannot be asked."""

    async def text_of(self, upstream: Upstream, replica: Replica, ids: Sequence[int]) -> str | None:
        """The text of tokens; None: it cannot be asked."""


def usage_of(event: Mapping[str, Any]) -> Tokens | None:
    """The usage that OpenAI's own fields state."""
    usage = event.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Tokens(int(usage.get("prompt_tokens") or 0), int(cached or 0), int(usage.get("completion_tokens") or 0))
