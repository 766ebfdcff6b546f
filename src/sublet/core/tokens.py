"""From tokens to money.

A request's tokens are charged once, as a whole, rounded half up: cutting a stream into chunks or moving it to another replica
changes nothing. Before the answer is known the same formula, with the largest counts that can come, says what to reserve; it
grows with each count, so what is charged never passes what was reserved.
"""

from dataclasses import dataclass

from sublet.core.model import TOKENS, TokenPrices

BATCH_PERCENT = 50
"""What a batch pays of the prices: it waits for idle surplus, up to a day."""
TEMPLATE_TOKENS = 512
"""Tokens that a model's template may put around a prompt, at most, besides those around each message."""
MESSAGE_TOKENS = 16
"""Tokens that a template may put around one message, at most."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a request used. `cached` are those of `input` that the server found in its prefix cache."""

    input: int = 0
    cached: int = 0
    output: int = 0


def charge_tokens_micro(tokens: Tokens, prices: TokenPrices, *, percent: int = 100) -> int:
    """What the tokens cost in micro-units, half a unit rounded up; `percent` of the prices is paid.

    (input - cached) x input price + cached x cached price + output x output price, prices for a million tokens.
    """
    assert 0 <= tokens.cached <= tokens.input and tokens.output >= 0
    whole = (
        (tokens.input - tokens.cached) * prices.input_micro
        + tokens.cached * prices.cached_micro
        + tokens.output * prices.output_micro
    )
    return (2 * whole * percent + 100 * TOKENS) // (2 * 100 * TOKENS)


def reserve_tokens_micro(input_max: int, output_max: int, prices: TokenPrices, *, percent: int = 100) -> int:
    """The most that a request can cost whose counts stay within these, wherever its prompt is found cached."""
    dearest = max(prices.input_micro, prices.cached_micro)
    return charge_tokens_micro(Tokens(input_max, 0, output_max), TokenPrices(dearest, 0, prices.output_micro), percent=percent)


def input_tokens_max(body_bytes: int, messages: int, context_length: int) -> int:
    """The most tokens that a prompt can have which was sent in a JSON document of so many bytes.

    Every token of a text stands for at least one of its bytes, and JSON writes no text shorter than it is.
    """
    bound = body_bytes + TEMPLATE_TOKENS + MESSAGE_TOKENS * messages
    return min(bound, context_length) if context_length else bound


def within(tokens: Tokens, *, input_max: int, output_max: int) -> Tokens:
    """The counts that a server gave, cut to what can be: no caller pays for a server's slip."""
    input_ = max(0, min(tokens.input, input_max))
    return Tokens(input_, max(0, min(tokens.cached, input_)), max(0, min(tokens.output, output_max)))
