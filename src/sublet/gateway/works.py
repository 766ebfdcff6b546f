"""One request in the making: what it may cost, what it has used, and how it ends."""

import os
from dataclasses import dataclass
from time import monotonic

from sublet.core.model import Model
from sublet.core.model_request import Counted, ModelRequest, Outcome
from sublet.core.tokens import Tokens, charge_tokens_micro, within
from sublet.gateway.asks import Ask, Bounds, Kind
from sublet.gateway.calls import Binding
from sublet.gateway.catalogue import Target
from sublet.gateway.money import Reservation
from sublet.gateway.visitors import Visitor


class _Random:
    """Random bytes, asked of the system in stock: asking for each request alone costs as much as all else about its name."""

    def __init__(self) -> None:
        self._stock, self._at = b"", 0

    def take(self) -> bytes:
        """Twelve of them."""
        if self._at >= len(self._stock):
            self._stock, self._at = os.urandom(12 * 256), 0
        self._at += 12
        return self._stock[self._at - 12 : self._at]


_RANDOM = _Random()
_PREFIXES = {Kind.CHAT: "chatcmpl-", Kind.COMPLETION: "cmpl-", Kind.EMBEDDING: "embd-"}


def fresh_id(kind: Kind) -> str:
    """A name for a request: the id of its answer, of its row on the usage page, and the header x-request-id."""
    return _PREFIXES[kind] + _RANDOM.take().hex()


@dataclass(slots=True)
class Work:
    """A request that was let in. `percent` of the prices is paid."""

    id: str
    visitor: Visitor
    ask: Ask
    at_us: int
    began: float
    target: Target
    bounds: Bounds
    reserved: Reservation
    reserved_tokens: int
    percent: int = 100
    batch: str = ""
    binding: Binding | None = None  # how the gateway itself holds the answer to be a call
    replica: str = ""
    tier: str = ""
    moves: int = 0
    first_s: float = 0.0  # when the first token came, monotonic

    @property
    def model(self) -> Model:
        """The model that answers."""
        return self.target.model

    def note_first(self) -> None:
        """A first token is here."""
        if not self.first_s:
            self.first_s = monotonic()

    def over(self, tokens: Tokens, outcome: Outcome, counted: Counted) -> ModelRequest:
        """The request as it is metered. A server's count never makes it cost more than was reserved."""
        used = within(tokens, input_max=self.bounds.input_max, output_max=self.bounds.output_max)
        amount = 0 if outcome is Outcome.BROKEN else charge_tokens_micro(used, self.model.prices, percent=self.percent)
        now = monotonic()
        return ModelRequest(
            id=self.id,
            tenant=self.visitor.guest.tenant,
            key=self.visitor.key,
            kind=self.ask.kind.value,
            model=self.model.name,
            tier=self.tier or self.ask.tier.value,
            at_us=self.at_us,
            took_us=int((now - self.began) * 1e6),
            first_us=int((self.first_s - self.began) * 1e6) if self.first_s else 0,
            input_tokens=used.input,
            cached_tokens=used.cached,
            output_tokens=used.output,
            amount_micro=min(amount, self.reserved.amount_micro),
            outcome=outcome,
            counted=counted,
            replica=self.replica,
            moves=self.moves,
            purse=self.reserved.purse,
            batch=self.batch,
        )
