"""The owner's statement of a period, from the books."""

from collections import defaultdict

from sublet.core.ids import PoolId
from sublet.core.ledger import Purpose
from sublet.core.statement import Earned, Statement, statements
from sublet.core.usage import UsageKind
from sublet.store import ledger, pools
from sublet.store import usage as usage_rows
from sublet.store.database import Database


def statement(db: Database, *, from_us: int, to_us: int) -> list[Statement]:
    """Revenue, refunds, credits, cost and margin of every pool: one statement a currency.

    Usage counts in the period it began in, refunds and credits in the one they were booked in. Time of blocks that was
    bought and not used is revenue, and what was paid for it is given back like a refund.
    """
    with db.read() as tx:
        sold = [row.pool for row in pools.everything(tx)]
        gpu_us = usage_rows.gpu_us_by_kind(tx, from_us, to_us)
        revenue = usage_rows.charged_micro(tx, from_us, to_us)
        given_back = ledger.debited(tx, (Purpose.REFUND, Purpose.CREDIT, Purpose.RESALE), from_us, to_us)
        forgone = ledger.credited(tx, (Purpose.FORGONE,), from_us, to_us)
    owed: dict[tuple[Purpose, PoolId], int] = defaultdict(int)
    for (purpose, account), amount in (given_back | forgone).items():
        owed[purpose, PoolId(account.split(":", 2)[2])] += amount
    return statements(
        [
            Earned(
                pool=pool.id,
                currency=pool.currency,
                cost=pool.cost,
                billed_gpu_us=gpu_us.get((pool.id, UsageKind.BILLED), 0),
                free_gpu_us=sum(gpu_us.get((pool.id, kind), 0) for kind in UsageKind if kind is not UsageKind.BILLED),
                revenue_micro=revenue.get(pool.id, 0) + owed[Purpose.FORGONE, pool.id],
                refund_micro=owed[Purpose.REFUND, pool.id] + owed[Purpose.RESALE, pool.id],
                credit_micro=owed[Purpose.CREDIT, pool.id],
            )
            for pool in sold
        ],
        from_us=from_us,
        to_us=to_us,
    )
