"""Money after the fact: charges for what was metered, funds for what goes on, and the settling of what ended.

Every step is a bounded batch in its own transaction and leaves the same books when it is run again, so the loop may die
anywhere. A tenant's limit is kept by the holds: a charge only ever turns a part of its attempt's hold into debt.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sublet.app.metering import funding_wish
from sublet.core.blocks.contract import bought_back_micro, forgone_micro
from sublet.core.ids import LeaseId, PoolId
from sublet.core.lease import Lease, LeaseClass
from sublet.core.ledger import Settlement
from sublet.core.rating import charge, owed_on_reclaim, paid_until_us
from sublet.core.terms import Pool
from sublet.core.units import MINUTE_US
from sublet.core.usage import Attempt, Usage
from sublet.store import leases, ledger, pools
from sublet.store import usage as usage_rows
from sublet.store.bulk import portions
from sublet.store.database import Database, Tx

_BATCH = 50
_BATCHES_MAX = 1_000

OnSettled = Callable[[Tx, Sequence[Settlement]], None]
"""Told of settlements in the transaction that books them."""


@dataclass(frozen=True, slots=True)
class Billed:
    """What one pass did. `uncovered` intervals are free for their tenants: the hold did not cover them."""

    charges: int
    charged_micro: Mapping[PoolId, int]
    extended: int
    settled: int
    uncovered: tuple[Usage, ...]
    short: tuple[LeaseId, ...]  # their tenants' limits ended their funds early


def bill(db: Database, *, now_us: int, on_settled: OnSettled | None = None) -> Billed:
    """One pass: charge, extend, settle. Running it again at once finds nothing to do."""
    charges, charged, uncovered = _charge(db, now_us=now_us)
    with db.read() as tx:
        sold = {row.pool.id: row.pool for row in pools.everything(tx)}
    extended, short = 0, list[LeaseId]()
    for pool in sold.values():
        moved, poor = _extend(db, pool, now_us=now_us)
        extended, short = extended + moved, short + poor
    settled = _settle(db, sold, now_us=now_us, on_settled=on_settled)
    return Billed(charges, charged, extended, settled, tuple(uncovered), tuple(short))


def _charge(db: Database, *, now_us: int) -> tuple[int, Mapping[PoolId, int], list[Usage]]:
    """Post the charges of unbilled usage: how many, how much in each pool, and what no hold covered."""
    charges, charged, uncovered = 0, Counter[PoolId](), list[Usage]()
    after: tuple[LeaseId, int] | None = None
    for _ in range(_BATCHES_MAX):
        with db.write() as tx:
            batch = usage_rows.unbilled(tx, after=after, limit=_BATCH)
            left = ledger.charge_all(tx, batch, now_us=now_us)
        posted = [one for one in batch if one not in left] if left else batch
        charges, uncovered = charges + len(posted), uncovered + left
        for one in posted:
            charged[one.pool] += charge(one)
        if len(batch) < _BATCH:
            break
        after = (batch[-1].lease, batch[-1].seq)
    return charges, charged, uncovered


def _extend(db: Database, pool: Pool, *, now_us: int) -> tuple[int, list[LeaseId]]:
    """Fund running leases of the pool for another window once less than half of one is left."""
    extended, short = 0, list[LeaseId]()
    with db.read() as tx:
        ending = usage_rows.running_short(tx, pool.id, before_us=now_us + pool.hold_us // 2)
    for names in portions(ending[: _BATCH * _BATCHES_MAX], _BATCH):
        with db.write() as tx:
            batch = usage_rows.running(tx, names, lock=True)
            wanted = [
                wish for lease in batch if (wish := funding_wish(lease, to_us=_funding_end_us(lease, pool, now_us=now_us)))
            ]
            ends = ledger.extend_all(tx, wanted, now_us=now_us) if wanted else {}
        extended += len(ends)
        short += [wish.lease for wish in wanted if ends.get(wish.lease, wish.from_us) < wish.to_us]
    return extended, short


def _funding_end_us(lease: Lease, pool: Pool, *, now_us: int) -> int:
    """Up to where a running lease is to be funded: a window ahead, yet not far past its end, nor past a reclaim's notice."""
    known_end = lease.deadline_us if lease.deadline_us is not None else lease.ends_us
    window_end = now_us + pool.hold_us
    if known_end is not None:
        window_end = min(window_end, known_end + pool.stop_us + MINUTE_US)
    return paid_until_us(lease, until_us=window_end)


def _settle(db: Database, sold: dict[PoolId, Pool], *, now_us: int, on_settled: OnSettled | None) -> int:
    """Settle finished attempts: refund and credit what the owner owes, give the rest of the hold back."""
    settled = 0
    for batch in _unsettled(db):
        with db.write() as tx:
            ended = _settlements(tx, batch, sold)
            ledger.settle_all(tx, ended, now_us=now_us)
            if on_settled is not None:
                on_settled(tx, ended)
        settled += len(ended)
    return settled


def _unsettled(db: Database) -> Iterator[list[Attempt]]:
    after: tuple[LeaseId, int] | None = None
    for _ in range(_BATCHES_MAX):
        with db.read() as tx:
            batch = usage_rows.unsettled(tx, after=after, limit=_BATCH)
        if batch:
            yield batch
        if len(batch) < _BATCH:
            return
        after = (batch[-1].lease, batch[-1].attempt)


def _settlements(tx: Tx, batch: Sequence[Attempt], sold: dict[PoolId, Pool]) -> list[Settlement]:
    charged = usage_rows.billed_micro(tx, batch)
    blocks = {one.id: one for one in leases.some(tx, {one.lease for one in batch if one.lease_class is LeaseClass.BLOCK})}
    settled = []
    for one in batch:
        pool, billed = sold[one.pool], charged.get((one.lease, one.attempt), 0)
        forgone = forgone_micro(blocks[one.lease], one) if one.lease in blocks else 0
        refund, credit = owed_on_reclaim(one, pool.terms[one.lease_class], billed)
        settled.append(Settlement(one, refund, credit, forgone, bought_back_micro(pool, forgone)))
    return settled
