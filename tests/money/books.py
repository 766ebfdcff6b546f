"""A small world for tests of money: one pool, tenants, and leases that live as the control plane would let them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sublet.app.billing import bill
from sublet.app.metering import close_attempt, meter
from sublet.core import ledger as books
from sublet.core.ids import LeaseId, NodeId, PoolId, TenantId
from sublet.core.lease import Access, Cause, Event, Lease, LeaseClass, step
from sublet.core.ledger import Hold
from sublet.core.rating import hold_micro
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, MICRO, SECOND_US
from sublet.store import leases, ledger, pools, tenants
from sublet.store.database import Database
from sublet.store.tenants import Tenant

T0 = 1_767_225_600 * SECOND_US  # 2026-01-01T00:00:00Z
PRICE = 1_600_000
POOL = Pool(PoolId("h100"), "H100")


def queued(name: str, tenant: str = "acme", **fields: object) -> Lease:
    """A lease that waits for its first grant."""
    lease = Lease(
        id=LeaseId(name),
        tenant=TenantId(tenant),
        pool=POOL.id,
        name=f"train {name}",
        lease_class=LeaseClass.SPOT,
        access=Access.BATCH,
        gpus=2,
        nodes=1,
        bid_micro=2_000_000,
        grace_us=120 * SECOND_US,
        requested_us=T0,
        since_us=T0,
    )
    return step(replace(lease, **fields), Event.ADMIT, at=T0)  # type: ignore[arg-type]


@dataclass
class World:
    """A database with a pool and tenants, and short words for what happens to a lease."""

    db: Database
    pool: Pool = field(default_factory=lambda: POOL)

    def open(self, limits: dict[str, int | None]) -> None:
        with self.db.write() as tx:
            pools.put(tx, self.pool, now_us=T0)
            ledger.open_accounts(tx, books.pool_accounts(self.pool.id, "USD"))
            for name, limit in limits.items():
                tenants.insert_one(tx, Tenant(TenantId(name), name.title(), "USD", T0))
                ledger.open_accounts(tx, books.tenant_accounts(TenantId(name), "USD", limit_micro=limit))

    def add(self, *new: Lease) -> None:
        with self.db.write() as tx:
            leases.insert_all(tx, new)

    def get(self, name: str) -> Lease:
        with self.db.read() as tx:
            return leases.get(tx, LeaseId(name))

    def grant(self, lease: Lease, *, at: int, price: int = PRICE) -> bool:
        """Grant it and start it at once; False if the limit does not allow the hold."""
        window = min(self.pool.hold_us, lease.term_us or self.pool.hold_us)
        attempt = lease.attempt + 1
        hold = Hold(lease.id, attempt, lease.tenant, lease.pool, hold_micro(lease.gpus, window, price))
        granted = replace(
            step(lease, Event.GRANT, at=at),
            attempt=attempt,
            price_micro=price,
            placement=((NodeId("n1"), 3),),
            granted_us=at,
            funded_until_us=at + window,
            ends_us=at + lease.term_us if lease.term_us else None,
        )
        active = replace(step(step(granted, Event.ORDER, at=at), Event.STARTED, at=at), started_us=at)
        with self.db.write() as tx:
            if ledger.hold_all(tx, [hold], now_us=at):
                return False
            leases.save_all(tx, [(lease, active)])
        return True

    def notice(self, name: str, *, at: int, cause: Cause = Cause.RECLAIMED) -> Lease:
        lease = self.get(name)
        noticed = replace(step(lease, Event.NOTICE, at=at), noticed_us=at, deadline_us=at + lease.grace_us, cause=cause)
        with self.db.write() as tx:
            leases.save_all(tx, [(lease, noticed)])
        return noticed

    def meter(self, *names: str, at: int) -> None:
        with self.db.write() as tx:
            meter(tx, [leases.get(tx, LeaseId(name)) for name in names], now_us=at)

    def exit(self, name: str, *, at: int, cause: Cause | None = None) -> Lease:
        lease = self.get(name)
        ended = replace(
            step(lease, Event.EXITED, at=at), stopped_us=at, cause=cause or lease.cause or Cause.COMPLETED, exit_code=0
        )
        with self.db.write() as tx:
            (closed,) = close_attempt(tx, [ended], now_us=at)
            leases.save_all(tx, [(lease, closed)])
        return closed

    def requeue(self, name: str, *, at: int) -> Lease:
        lease = self.get(name)
        again = replace(
            step(lease, Event.REQUEUE, at=at),
            price_micro=None,
            placement=(),
            granted_us=None,
            started_us=None,
            noticed_us=None,
            deadline_us=None,
            stopped_us=None,
            funded_until_us=None,
            metered_us=None,
            cause=None,
        )
        with self.db.write() as tx:
            leases.save_all(tx, [(lease, again)])
        return again

    def bill(self, *, at: int) -> None:
        bill(self.db, now_us=at)

    def account(self, name: str) -> books.Account:
        with self.db.read() as tx:
            return ledger.account(tx, books.AccountId(name))

    def owed(self, tenant: str = "acme") -> int:
        return self.account(f"assets:receivable:{tenant}").balance_micro

    def held(self, tenant: str = "acme") -> int:
        return self.account(f"assets:receivable:{tenant}").held_micro

    def faults(self) -> list[str]:
        with self.db.read() as tx:
            return books.check(ledger.every_account(tx), ledger.every_transfer(tx))

    def transfer_ids(self) -> Iterable[str]:
        with self.db.read() as tx:
            return [entry.id for entry in ledger.every_transfer(tx)]


def busy_day(world: World) -> int:
    """A day with every kind of line: spot and guarded, grace, refund, credit, a second attempt, a correction."""
    minute = 60 * SECOND_US
    guarded: dict[str, Any] = {"lease_class": LeaseClass.GUARDED, "term_us": 4 * HOUR_US, "gpus": 8}
    spot = replace(queued("l1"), name="=train <b>llama</b>, 70B")
    world.add(spot, queued("l2", **guarded), queued("l3", tenant="beta"))
    for lease in (spot, world.get("l2"), world.get("l3")):
        world.grant(lease, at=T0)
    for ten in range(1, 13):
        world.meter("l1", "l2", "l3", at=T0 + ten * 10 * minute)
        world.bill(at=T0 + ten * 10 * minute)
    for name in ("l1", "l2"):
        world.notice(name, at=T0 + 125 * minute)
        world.exit(name, at=T0 + 127 * minute)
    world.requeue("l1", at=T0 + 130 * minute)
    world.grant(world.get("l1"), at=T0 + 140 * minute, price=1_234_567)
    world.exit("l1", at=T0 + 200 * minute)
    world.exit("l3", at=T0 + 200 * minute, cause=Cause.FAILED)
    end = T0 + 4 * HOUR_US
    world.bill(at=end)
    late = books.Transfer(
        "correction:1",
        books.Kind.TRANSFER,
        books.lease_income(world.pool.id),
        books.receivable(TenantId("acme")),
        dollars(0.5),
        end,
        books.Purpose.CORRECTION,
        memo='overcharged on "tuesday"',
    )
    with world.db.write() as tx:
        ledger.book(tx, [late])
    return T0 + 24 * HOUR_US


def dollars(amount: float) -> int:
    return round(amount * MICRO)


__all__ = ["HOUR_US", "MICRO", "POOL", "PRICE", "SECOND_US", "T0", "World", "busy_day", "dollars", "queued"]
