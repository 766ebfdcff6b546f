"""Double entry in integer micro-units: accounts, transfers, and what must be true of them.

A *hold* reserves money on its debit account and moves none; a *post* turns a part of the hold into a charge; a *void* gives
the rest back; a *transfer* moves money at once. Transfers are only ever added, and their ids say what they are for, so the
same thing can not be booked twice. A limit bounds debits - credits + held of an account: what a tenant owes or may come to owe.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NewType

from sublet.core.ids import LeaseId, PoolId, TenantId
from sublet.core.rating import charge
from sublet.core.usage import Attempt, Usage

AccountId = NewType("AccountId", str)


class Kind(StrEnum):
    """What a transfer does to balances."""

    HOLD = "hold"
    POST = "post"
    VOID = "void"
    TRANSFER = "transfer"


class Purpose(StrEnum):
    """Why money moves."""

    USAGE = "usage"
    REFUND = "refund"
    CREDIT = "credit"
    CORRECTION = "correction"
    FORGONE = "forgone"  # time of a block that was bought and not used
    RESALE = "resale"  # what a tenant gets for giving it back
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Account:
    """An account with its balances, micro-units. `held_micro` is reserved on the debit side."""

    id: AccountId
    currency: str
    debits_micro: int = 0
    credits_micro: int = 0
    held_micro: int = 0
    limit_micro: int | None = None

    @property
    def balance_micro(self) -> int:
        """Debits less credits: what a receivable account is owed, or an expense has cost."""
        return self.debits_micro - self.credits_micro

    @property
    def used_micro(self) -> int:
        """What counts against the limit."""
        return self.debits_micro - self.credits_micro + self.held_micro


@dataclass(frozen=True, slots=True)
class Transfer:
    """One entry. `at_us` is when it was booked; `usage_seq` names the interval that a usage charge pays for."""

    id: str
    kind: Kind
    debit: AccountId
    credit: AccountId
    amount_micro: int
    at_us: int
    purpose: Purpose
    lease: LeaseId | None = None
    usage_seq: int | None = None
    memo: str = ""
    purse: str | None = None  # whose hold this is a part of, where no lease is


@dataclass(frozen=True, slots=True)
class Hold:
    """Money to reserve before a lease may start its attempt."""

    lease: LeaseId
    attempt: int
    tenant: TenantId
    pool: PoolId
    amount_micro: int


@dataclass(frozen=True, slots=True)
class Extension:
    """A wish to fund a running attempt from `from_us` (where its holds end now) to `to_us`."""

    lease: LeaseId
    attempt: int
    tenant: TenantId
    pool: PoolId
    gpus: int
    price_micro: int
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of an attempt's money: what the owner gives back and owes. The rest of its hold is voided with it."""

    attempt: Attempt
    refund_micro: int
    credit_micro: int
    forgone_micro: int = 0  # the rest of a block that its tenant did not use, at the block's price
    resale_micro: int = 0  # what the owner pays for that rest


def receivable(tenant: TenantId) -> AccountId:
    """What the tenant owes; it carries the spend limit."""
    return AccountId(f"assets:receivable:{tenant}")


def lease_income(pool: PoolId) -> AccountId:
    """What leases of the pool earned, before refunds."""
    return AccountId(f"income:leases:{pool}")


def refunds(pool: PoolId) -> AccountId:
    """Earnings given back: it stands against `lease_income`."""
    return AccountId(f"income:refunds:{pool}")


def credits_owed(pool: PoolId) -> AccountId:
    """What broken promises cost the owner."""
    return AccountId(f"expenses:credits:{pool}")


def tenant_accounts(tenant: TenantId, currency: str, *, limit_micro: int | None = None) -> tuple[Account, ...]:
    """The accounts that a new tenant needs."""
    return (Account(receivable(tenant), currency, limit_micro=limit_micro),)


def pool_accounts(pool: PoolId, currency: str) -> tuple[Account, ...]:
    """The accounts that a new pool needs."""
    return tuple(Account(name(pool), currency) for name in (lease_income, refunds, credits_owed))


def headroom(account: Account) -> int | None:
    """What may still be spent or reserved, micro-units; None where there is no limit."""
    return None if account.limit_micro is None else account.limit_micro - account.used_micro


def hold_transfer(hold: Hold, *, nth: int, at_us: int) -> Transfer:
    """The reservation: the first of an attempt is number 0, its extensions count up."""
    return Transfer(
        id=f"hold:{hold.lease}:{hold.attempt}:{nth}",
        kind=Kind.HOLD,
        debit=receivable(hold.tenant),
        credit=lease_income(hold.pool),
        amount_micro=hold.amount_micro,
        at_us=at_us,
        purpose=Purpose.HOLD,
        lease=hold.lease,
        memo=f"reserved for attempt {hold.attempt}",
    )


def charge_transfer(usage: Usage, *, at_us: int) -> Transfer:
    """The charge of an interval, paid out of the attempt's hold."""
    return Transfer(
        id=f"charge:{usage.lease}:{usage.seq}",
        kind=Kind.POST,
        debit=receivable(usage.tenant),
        credit=lease_income(usage.pool),
        amount_micro=charge(usage),
        at_us=at_us,
        purpose=Purpose.USAGE,
        lease=usage.lease,
        usage_seq=usage.seq,
        memo=f"{usage.gpus} GPUs, attempt {usage.attempt}",
    )


def settling_transfers(settled: Settlement, *, left_micro: int, at_us: int) -> list[Transfer]:
    """What was forgone, refund, credit and the void of what is left of the hold; those of nothing are left out."""
    attempt = settled.attempt
    key, owed = f"{attempt.lease}:{attempt.attempt}", receivable(attempt.tenant)
    entry = partial(Transfer, at_us=at_us, lease=attempt.lease)
    given_back = GivenBack(
        f"{attempt.lease}", attempt.lease, attempt.attempt, attempt.tenant, attempt.pool,
        min(settled.forgone_micro, left_micro), settled.resale_micro,
    )  # fmt: skip
    left_micro -= given_back.forgone_micro
    entries = [
        *given_back_transfers(given_back, at_us=at_us),
        entry(
            id=f"refund:{key}",
            kind=Kind.TRANSFER,
            debit=refunds(attempt.pool),
            credit=owed,
            amount_micro=settled.refund_micro,
            purpose=Purpose.REFUND,
            memo=f"attempt {attempt.attempt} was reclaimed: its charges are given back",
        ),
        entry(
            id=f"credit:{key}",
            kind=Kind.TRANSFER,
            debit=credits_owed(attempt.pool),
            credit=owed,
            amount_micro=settled.credit_micro,
            purpose=Purpose.CREDIT,
            memo=f"attempt {attempt.attempt} was reclaimed: credit for the broken promise",
        ),
        entry(
            id=f"void:{key}",
            kind=Kind.VOID,
            debit=owed,
            credit=lease_income(attempt.pool),
            amount_micro=left_micro,
            purpose=Purpose.HOLD,
            memo=f"attempt {attempt.attempt} is over",
        ),
    ]
    return [entry for entry in entries if entry.amount_micro > 0]


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Time of a block that its tenant gives back, whole or the last part: its price, and what the tenant gets for it.

    `key` makes it happen once: the order that sells it, or the lease itself when it ends.
    """

    key: str
    lease: LeaseId
    attempt: int
    tenant: TenantId
    pool: PoolId
    forgone_micro: int
    resale_micro: int


def given_back_transfers(given: GivenBack, *, at_us: int) -> list[Transfer]:
    """The price of the time, out of the block's hold, and what the owner pays for it; those of nothing are left out."""
    owed = receivable(given.tenant)
    entries = [
        Transfer(
            id=f"forgone:{given.key}:{given.attempt}",
            kind=Kind.POST,
            debit=owed,
            credit=lease_income(given.pool),
            amount_micro=given.forgone_micro,
            at_us=at_us,
            purpose=Purpose.FORGONE,
            lease=given.lease,
            memo="time of the block that was bought and not used",
        ),
        Transfer(
            id=f"resale:{given.key}:{given.attempt}",
            kind=Kind.TRANSFER,
            debit=refunds(given.pool),
            credit=owed,
            amount_micro=given.resale_micro,
            at_us=at_us,
            purpose=Purpose.RESALE,
            lease=given.lease,
            memo="for the time of the block that was given back",
        ),
    ]
    return [entry for entry in entries if entry.amount_micro > 0]


@dataclass(slots=True)
class Change:
    """What transfers add to an account's balances, micro-units."""

    debits_micro: int = 0
    credits_micro: int = 0
    held_micro: int = 0


def changes(transfers: Iterable[Transfer]) -> dict[AccountId, Change]:
    """What transfers do to each account they touch. The store applies this, and `Proof` recomputes it."""
    out: defaultdict[AccountId, Change] = defaultdict(Change)
    _add_up(out, transfers)
    return dict(out)


def _add_up(sums: defaultdict[AccountId, Change], transfers: Iterable[Transfer]) -> None:
    for entry in transfers:
        debit, credit = sums[entry.debit], sums[entry.credit]
        if entry.kind is Kind.HOLD:
            debit.held_micro += entry.amount_micro
        if entry.kind in (Kind.POST, Kind.VOID):
            debit.held_micro -= entry.amount_micro
        if entry.kind in (Kind.POST, Kind.TRANSFER):
            debit.debits_micro += entry.amount_micro
            credit.credits_micro += entry.amount_micro


class Proof:
    """The books recomputed from the transfers alone, as far as those were given: a long ledger is proven piece by piece."""

    def __init__(self) -> None:
        """Nothing was booked yet."""
        self._sums: defaultdict[AccountId, Change] = defaultdict(Change)
        self._left: dict[str | None, int] = {}  # of what was held for a lease or a purse

    def take(self, accounts: Iterable[Account], transfers: Sequence[Transfer]) -> list[str]:
        """The next transfers, in the order they were booked; what is wrong with them."""
        known = {account.id: account for account in accounts}
        _add_up(self._sums, transfers)
        return [*_faulty_entries(known, transfers), *self._overposted(transfers)]

    def check(self, accounts: Sequence[Account]) -> list[str]:
        """What is wrong with the balances; the accounts as they were when the last of the transfers was booked."""
        nothing = Change()
        faults = [fault for one in accounts for fault in _faulty_balances(one, self._sums.get(one.id, nothing))]
        return [*faults, *_unbalanced(accounts)]

    def _overposted(self, entries: Iterable[Transfer]) -> Iterable[str]:
        """Posts and voids beyond what was held for the lease or the purse at that moment."""
        for entry in entries:
            if entry.kind is Kind.TRANSFER:
                continue
            holder = entry.lease or entry.purse
            left = self._left.pop(holder, 0) + (entry.amount_micro if entry.kind is Kind.HOLD else -entry.amount_micro)
            if left:
                self._left[holder] = left
            if left < 0 and entry.kind is not Kind.HOLD:
                yield f"{entry.id} takes {-left} micro-units more than was held for {holder}"


def check(accounts: Iterable[Account], transfers: Iterable[Transfer]) -> list[str]:
    """Everything that is wrong with the books, recomputed from the transfers alone; an empty list means that they balance.

    `transfers` must be all there are, in the order they were booked.
    """
    known, proof = list(accounts), Proof()
    return [*proof.take(known, list(transfers)), *proof.check(known)]


def _faulty_entries(known: Mapping[AccountId, Account], entries: Iterable[Transfer]) -> Iterable[str]:
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            yield f"{entry.id} is booked twice"
        seen.add(entry.id)
        if entry.amount_micro < 0:
            yield f"{entry.id} has the negative amount {entry.amount_micro}"
        missing = [account for account in (entry.debit, entry.credit) if account not in known]
        if missing:
            yield f"{entry.id} names {' and '.join(missing)}, which does not exist"
        elif known[entry.debit].currency != known[entry.credit].currency:
            yield f"{entry.id} moves {known[entry.debit].currency} into {known[entry.credit].currency}"


def _faulty_balances(account: Account, found: Change) -> Iterable[str]:
    for name in ("debits_micro", "credits_micro", "held_micro"):
        stored, expected = getattr(account, name), getattr(found, name)
        if stored != expected:
            yield f"{account.id}: {name} is {stored}, its transfers add up to {expected}"
    room = headroom(account)
    if room is not None and room < 0:
        yield f"{account.id} is {-room} micro-units over its limit of {account.limit_micro}"


def _unbalanced(accounts: Iterable[Account]) -> Iterable[str]:
    totals: dict[str, int] = defaultdict(int)
    for account in accounts:
        totals[account.currency] += account.balance_micro
    for currency, total in totals.items():
        if total:
            yield f"debits less credits in {currency} are {total}, not 0"
