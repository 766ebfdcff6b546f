"""One request to a model as it is metered: who asked, what was used, what it costs. No word of prompt or answer is in it."""

from dataclasses import dataclass
from enum import StrEnum

from sublet.core.ids import ModelName, TenantId


class Outcome(StrEnum):
    """How a request to a model ended."""

    DONE = "done"
    DISCONNECTED = "disconnected"  # its caller went away: what was made until then is charged
    BROKEN = "broken"  # we could not finish the answer: nothing is charged


class Counted(StrEnum):
    """Who counted the tokens."""

    SERVER = "server"  # the server program, with the model's own tokenizer
    GATEWAY = "gateway"  # the gateway, by the tokens it passed on, because the answer had no end to bear the server's count


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request that is over. `purse` paid for it; `posting` is the ledger's transfer that its charge is a part of."""

    id: str
    tenant: TenantId
    key: str
    kind: str  # chat | completion | embedding
    model: ModelName
    tier: str
    at_us: int  # when it came
    took_us: int
    first_us: int  # from its coming to the first token; 0: it had none
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int
    outcome: Outcome
    counted: Counted
    replica: str
    moves: int  # how often it went on at another replica
    purse: str
    batch: str = ""
    posting: str = ""
    booked_us: int = 0  # when its charge was booked: it belongs to the invoice of that instant


@dataclass(frozen=True, slots=True)
class TokenUse:
    """What requests for one model and tier used and cost together; `batched` ones at the price of batches."""

    model: ModelName
    tier: str
    batched: bool
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int


@dataclass(frozen=True, slots=True)
class TokenDay:
    """What one tenant's requests booked on one day (UTC) used; those that we could not finish are left out."""

    tenant: TenantId
    day_us: int  # its beginning
    use: TokenUse
