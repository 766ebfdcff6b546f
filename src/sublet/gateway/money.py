"""Money in memory: each request is reserved from its tenant's purse before anything is sent, and settled after.

The ledger holds what purses contain (`store.purses`), so nothing that happens here can pass a tenant's limit. A purse is
filled when a request does not fit into it, with enough for those that follow; what lies idle in it is given back.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import structlog

from sublet.app import names
from sublet.app.clock import Clock
from sublet.core.errors import SubletError
from sublet.core.ids import TenantId
from sublet.gateway.threads import Thread
from sublet.store import purses
from sublet.store.database import Database
from sublet.store.purses import Filled

_AHEAD = 64
"""A purse is filled for so many requests like the one that needs it ..."""
_AHEAD_S = 5.0
"""... and for as long as this, at the pace at which it was spent."""
_IDLE_S = 3.0
"""What was not needed for so long is given back."""
_POOR_S = 0.5
"""For so long after a refusal the ledger is not asked again, unless money has come back in the meantime."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside for one request."""

    tenant: TenantId
    purse: str
    amount_micro: int


@dataclass(slots=True)
class _Wallet:
    """A tenant's purse as this process knows it. The purse holds free + reserved + unbooked."""

    purse: str = ""
    free_micro: int = 0
    reserved_micro: int = 0
    unbooked_micro: int = 0  # charged, and not yet in the database
    spent_micro: int = 0  # since `counted_at`
    counted_at: float = field(default_factory=monotonic)
    needed_at: float = field(default_factory=monotonic)  # when it was last filled
    poor_until: float = 0.0
    poor_room_micro: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Money:
    """The purses of one gateway."""

    def __init__(self, database: Database, clock: Clock, books: Thread, gateway: str) -> None:
        self._database, self._clock, self._books, self._gateway = database, clock, books, gateway
        self._wallets: dict[TenantId, _Wallet] = {}

    async def reserve(self, tenant: TenantId, amount_micro: int) -> Reservation | None:
        """Set money aside, or return None where the tenant's limit does not reach."""
        wallet = self._wallets.get(tenant)
        if wallet is None:
            wallet = self._wallets.setdefault(tenant, _Wallet())
        if (
            (not wallet.purse or wallet.free_micro < amount_micro)
            and amount_micro
            and not await self._fill(tenant, wallet, amount_micro)
        ):
            return None
        wallet.free_micro -= amount_micro
        wallet.reserved_micro += amount_micro
        return Reservation(tenant, wallet.purse, amount_micro)

    def settle(self, reservation: Reservation, spent_micro: int) -> None:
        """The request is over: what it did not spend is free again."""
        assert 0 <= spent_micro <= reservation.amount_micro, "a charge never passes what was reserved"
        wallet = self._wallets[reservation.tenant]
        wallet.reserved_micro -= reservation.amount_micro
        wallet.free_micro += reservation.amount_micro - spent_micro
        wallet.unbooked_micro += spent_micro
        wallet.spent_micro += spent_micro

    def booked(self, tenant: TenantId, amount_micro: int) -> None:
        """So much of what was spent is in the database."""
        self._wallets[tenant].unbooked_micro -= amount_micro

    async def tend(self) -> None:
        """Give back what lies idle."""
        now = monotonic()
        for tenant, wallet in list(self._wallets.items()):
            if not wallet.purse or now - wallet.needed_at < _IDLE_S:
                continue
            async with wallet.lock:
                await self._give_back(tenant, wallet)

    async def close(self) -> None:
        """Give everything back that is not reserved. Whatever cannot be given back now is, by the next start."""
        for tenant, wallet in list(self._wallets.items()):
            async with wallet.lock:
                if wallet.purse:
                    wallet.spent_micro = 0
                    await self._give_back(tenant, wallet)

    async def _fill(self, tenant: TenantId, wallet: _Wallet, amount_micro: int) -> bool:
        """Get money from the ledger, one request at a time; whether there is enough now."""
        async with wallet.lock:
            if wallet.purse and wallet.free_micro >= amount_micro:
                return True
            now = monotonic()
            if now < wallet.poor_until and amount_micro > wallet.free_micro + wallet.poor_room_micro:
                return False
            pace = wallet.spent_micro / max(now - wallet.counted_at, 1.0)
            wallet.spent_micro, wallet.counted_at, wallet.needed_at = 0, now, now
            ask = partial(
                self._fill_purse,
                tenant,
                wallet.purse,
                need_micro=amount_micro - wallet.free_micro,
                want_micro=max(amount_micro * _AHEAD, int(pace * _AHEAD_S)),
            )
            purse, filled = await self._books.do(ask)
            wallet.purse = purse
            wallet.free_micro += filled.granted_micro
            if filled.granted_micro:
                return True
            wallet.poor_until, wallet.poor_room_micro = monotonic() + _POOR_S, filled.room_micro or 0
            return wallet.free_micro >= amount_micro  # some may have come back while we asked

    def _fill_purse(self, tenant: TenantId, purse: str, *, need_micro: int, want_micro: int) -> tuple[str, Filled]:
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            if not purse:
                purse = names.fresh("purse")
                purses.open_one(tx, id=purse, tenant=tenant, gateway=self._gateway, now_us=now_us)
            return purse, purses.fill(tx, purse, need_micro=need_micro, want_micro=want_micro, now_us=now_us)

    async def _give_back(self, tenant: TenantId, wallet: _Wallet) -> None:
        """Give back what is free beyond what the pace of spending needs; when nobody asks any more, the purse itself."""
        now = monotonic()
        needed = int(wallet.spent_micro / max(now - wallet.counted_at, 1.0) * _AHEAD_S)
        over = not needed and not wallet.reserved_micro and not wallet.unbooked_micro
        spare = wallet.free_micro - needed
        if not over and spare <= needed:
            wallet.spent_micro, wallet.counted_at = 0, now
            return
        purse = wallet.purse
        wallet.free_micro -= spare
        if over:
            wallet.purse = ""
        try:
            await self._books.do(lambda: self._return(purse, spare, over=over))
        except SubletError as error:
            log.warning("purse_not_returned", tenant=tenant, reason=error.message)
            if over:
                return  # the next start closes it
            wallet.free_micro += spare
        wallet.spent_micro, wallet.counted_at = 0, now

    def _return(self, purse: str, amount_micro: int, *, over: bool) -> None:
        with self._database.write() as tx:
            if over:
                purses.close(tx, purse, now_us=self._clock.now_us())
            elif amount_micro:
                purses.empty(tx, purse, amount_micro, now_us=self._clock.now_us())
