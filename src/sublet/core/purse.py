"""A purse: money of one tenant that the ledger holds for one gateway, out of which requests are reserved and paid.

The ledger reserves a purse once for many requests; the gateway then decides about each in memory. So a limit holds for streams,
batches and leases together, under any number of gateways, and a request costs no transaction of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sublet.core.ids import ModelName, TenantId
from sublet.core.ledger import Account, AccountId, Kind, Purpose, Transfer, receivable


@dataclass(frozen=True, slots=True)
class Purse:
    """Money held for a gateway, micro-units. `entries` counts its transfers, which makes their ids."""

    id: str
    tenant: TenantId
    gateway: str
    currency: str
    left_micro: int
    entries: int
    opened_us: int
    closed_us: int | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway as the control plane knows it, by what it says of itself every few seconds."""

    id: str
    folder: str = ""  # where its journal is, on its own machine
    seen_us: int | None = None  # when it last said that it lives
    until_us: int | None = None  # silent, it keeps its purses until then; None: nobody has missed it


@dataclass(frozen=True, slots=True)
class Posting:
    """What requests for one model cost together, paid out of a purse."""

    model: ModelName
    amount_micro: int
    requests: int


def model_income(model: ModelName) -> AccountId:
    """What a model's tokens earned."""
    return AccountId(f"income:models:{model}")


def token_income(currency: str) -> AccountId:
    """Where a purse's hold points before it is known which models it will pay for; nothing is ever booked on it."""
    return AccountId(f"income:tokens:{currency.lower()}")


def purse_accounts(currency: str, models: Sequence[ModelName] = ()) -> tuple[Account, ...]:
    """The accounts that a purse and its postings need."""
    return (Account(token_income(currency), currency), *(Account(model_income(model), currency) for model in models))


def filling(purse: Purse, amount_micro: int, *, at_us: int) -> Transfer:
    """The reservation of more money for a purse."""
    return _entry(purse, Kind.HOLD, amount_micro, 1, token_income(purse.currency), Purpose.HOLD, "reserved for tokens", at_us)


def emptying(purse: Purse, amount_micro: int, *, at_us: int) -> Transfer:
    """What a purse gives back unspent."""
    return _entry(purse, Kind.VOID, amount_micro, 1, token_income(purse.currency), Purpose.HOLD, "not needed for tokens", at_us)


def payments(purse: Purse, postings: Sequence[Posting], *, at_us: int) -> list[Transfer]:
    """The charges for requests, one transfer a model."""
    return [
        _entry(
            purse,
            Kind.POST,
            one.amount_micro,
            nth,
            model_income(one.model),
            Purpose.USAGE,
            f"{one.requests} requests to {one.model}",
            at_us,
        )
        for nth, one in enumerate(postings, 1)
    ]


def grant_micro(need_micro: int, want_micro: int, room_micro: int | None) -> int:
    """How much a purse gets that needs so much now and wants so much for later; 0 where the tenant's money does not reach.

    Beyond its need it takes at most half of what is left, so that leases and other gateways find some, too.
    """
    want = max(want_micro, need_micro)
    if room_micro is None:
        return want
    return 0 if need_micro > room_micro else max(need_micro, min(want, room_micro // 2))


def _entry(  # noqa: PLR0917 (all of a transfer)
    purse: Purse, kind: Kind, amount_micro: int, nth: int, credit: AccountId, purpose: Purpose, memo: str, at_us: int
) -> Transfer:
    return Transfer(
        id=f"{purse.id}:{purse.entries + nth}",
        kind=kind,
        debit=receivable(purse.tenant),
        credit=credit,
        amount_micro=amount_micro,
        at_us=at_us,
        purpose=purpose,
        memo=memo,
        purse=purse.id,
    )
