"""The live system checks its own books with the functions that the tests use, and says so when one does not hold."""

from sublet.app.world import fleet_of
from sublet.core import invariants
from sublet.core.ids import PoolId
from sublet.core.invariants import Books
from sublet.core.ledger import Proof, check
from sublet.core.occupancy import Capacity
from sublet.store import jobs, leases, ledger, model_requests, nodes, pools, spans, usage
from sublet.store.database import Database, Tx


def read_books(tx: Tx, pool: PoolId, *, from_us: int, to_us: int) -> Books:
    """What is recorded of a pool over a period."""
    return Books(
        pool=pool,
        from_us=from_us,
        to_us=to_us,
        nodes=[Capacity(n.id, (1 << n.gpus) - 1, n.since_us) for n in nodes.everything(tx, pool=pool)],
        spans=spans.between(tx, pool, from_us, to_us),
        reserve=spans.reserve_levels(tx, pool, to_us),
        usage=usage.touching(tx, pool, from_us, to_us),
    )


def check_now(tx: Tx, *, pool: PoolId | None = None) -> list[str]:
    """Everything that must hold at every moment, of one pool or of all."""
    live, work = leases.live(tx, pool=pool), jobs.live(tx, pool=pool)
    sold = [row.pool.id for row in pools.everything(tx)]
    fleet = fleet_of(nodes.everything(tx, pool=pool), sold, live, work)
    return [*invariants.check_now(fleet, live, work), *invariants.check_leases(live)]


def check_money(tx: Tx) -> list[str]:
    """Every balance follows from the transfers, and no limit is passed."""
    return [*check(ledger.every_account(tx), ledger.every_transfer(tx)), *model_requests.misbooked(tx)]


def check_time(tx: Tx, pool: PoolId, *, from_us: int, to_us: int) -> list[str]:
    """The books of a pool over a period that is metered to its end."""
    return invariants.check_books(read_books(tx, pool, from_us=from_us, to_us=to_us))


def metered_until(tx: Tx, pool: PoolId, *, now_us: int) -> int:
    """Up to where the usage of every lease of a pool is recorded: the end of a period whose books can be checked."""
    open_ends = [now_us]
    for lease in leases.held(tx, pool=pool):
        measured = lease.metered_us or lease.started_us
        if lease.started_us is not None and measured is not None and measured != lease.stopped_us:
            open_ends.append(measured)  # it runs, or its last interval is written when its end is seen
    return min(open_ends)


def findings(tx: Tx, *, from_us: int, now_us: int) -> list[str]:
    """Everything that is broken, checked over the whole period since `from_us`; an empty list is the proof of order."""
    sold = [row.pool.id for row in pools.everything(tx)]
    return [
        *(line for pool in sold for line in findings_in(tx, pool, from_us=from_us, now_us=now_us)),
        *check_money(tx),
    ]


def findings_in(tx: Tx, pool: PoolId, *, from_us: int, now_us: int) -> list[str]:
    """Everything that is broken in one pool."""
    until = metered_until(tx, pool, now_us=now_us)
    return [*check_now(tx, pool=pool), *check_time(tx, pool, from_us=from_us, to_us=max(until, from_us))]


class Auditor:
    """Checks the live system again and again: pool by pool, and of the ledger what was booked since it last looked."""

    def __init__(self, database: Database) -> None:
        """The first look at the ledger reads all of it."""
        self._database = database
        self._proof, self._proven = Proof(), 0  # up to this transfer

    def findings(self, *, from_us: int, now_us: int) -> list[str]:
        """As the function of this name, but each part in a transaction of its own: nobody waits for a long one."""
        with self._database.read() as tx:
            sold = [row.pool.id for row in pools.everything(tx)]
        broken: list[str] = []
        for pool in sold:
            with self._database.read() as tx:
                broken += findings_in(tx, pool, from_us=from_us, now_us=now_us)
        return broken + self._money()

    def _money(self) -> list[str]:
        """What is wrong with the ledger. Whatever does not add up piece by piece is looked at once more as a whole.

        A transfer may become visible after one with a higher number; then this look is wrong, and the next begins anew.
        """
        with self._database.read() as tx:
            accounts = ledger.every_account(tx)
            last, fresh = ledger.transfers_after(tx, self._proven)
            broken = [*self._proof.take(accounts, fresh), *self._proof.check(accounts)]
            self._proven = last
            if not broken:
                return []
            self._proof, self._proven = Proof(), 0
            return check_money(tx)
