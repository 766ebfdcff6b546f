"""The live system checks its own books with the functions that the tests use, and says so when one does not hold."""

from sublet.app.world import fleet_of
from sublet.core import invariants
from sublet.core.ids import PoolId
from sublet.core.invariants import Books
from sublet.core.ledger import check
from sublet.core.occupancy import Capacity
from sublet.store import jobs, leases, ledger, nodes, pools, spans, usage
from sublet.store.database import Tx


def read_books(tx: Tx, pool: PoolId, *, from_us: int, to_us: int) -> Books:
    """What is recorded of a pool over a period."""
    return Books(
        pool=pool,
        from_us=from_us,
        to_us=to_us,
        nodes=[Capacity(n.id, (1 << n.gpus) - 1, n.since_us) for n in nodes.everything(tx) if n.pool == pool],
        spans=spans.between(tx, pool, from_us, to_us),
        reserve=spans.reserve_levels(tx, pool, to_us),
        usage=usage.touching(tx, pool, from_us, to_us),
    )


def check_now(tx: Tx) -> list[str]:
    """Everything that must hold at every moment."""
    live, work = leases.live(tx), jobs.live(tx)
    sold = [row.pool.id for row in pools.everything(tx)]
    fleet = fleet_of(nodes.everything(tx), sold, live, work)
    return [*invariants.check_now(fleet, live, work), *invariants.check_leases(live)]


def check_money(tx: Tx) -> list[str]:
    """Every balance follows from the transfers, and no limit is passed."""
    return check(ledger.every_account(tx), ledger.every_transfer(tx))


def check_time(tx: Tx, *, from_us: int, to_us: int) -> list[str]:
    """The books of every pool over a period that is metered to its end."""
    sold = [row.pool.id for row in pools.everything(tx)]
    return [line for pool in sold for line in invariants.check_books(read_books(tx, pool, from_us=from_us, to_us=to_us))]


def metered_until(tx: Tx, *, now_us: int) -> int:
    """Up to where the usage of every lease is recorded: the end of a period whose books can be checked."""
    open_ends = [now_us]
    for lease in leases.held(tx):
        measured = lease.metered_us or lease.started_us
        if lease.started_us is not None and measured is not None and measured != lease.stopped_us:
            open_ends.append(measured)  # it runs, or its last interval is written when its end is seen
    return min(open_ends)


def findings(tx: Tx, *, from_us: int, now_us: int) -> list[str]:
    """Everything that is broken, checked over the whole period since `from_us`; an empty list is the proof of order."""
    until = metered_until(tx, now_us=now_us)
    return [*check_now(tx), *check_money(tx), *check_time(tx, from_us=from_us, to_us=max(until, from_us))]
