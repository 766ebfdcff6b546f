"""The loop that gives back the purses of gateways which are gone: money that is reserved for nobody (decision 0035).

A silent gateway whose journal can be read here, and whose lock nobody holds, is settled at once, as its own next start would.
Any other keeps what it has until a stated time, because it may only be cut off; then its purses are given back.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from sublet.app import token_journal
from sublet.core.ids import TenantId
from sublet.core.model_request import ModelRequest
from sublet.core.purse import Gateway, Purse
from sublet.core.units import DAY_US, SECOND_US
from sublet.store import events, gateways, purses
from sublet.store.database import Database, Tx
from sublet.store.events import Entry

SILENT_US = 60 * SECOND_US
"""A gateway that was not heard of for so long is looked for."""
LOST_US = DAY_US
"""One that cannot be looked into is given so long since it was last heard of."""
EVERY_US = 10 * SECOND_US
_PORTION = 400
log = structlog.get_logger(__name__)


class LostGateways:
    """One pass over the gateways that have purses is a `tick`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next_us = 0

    def tick(self, now_us: int) -> None:
        """Look, if it is time to."""
        if now_us < self._next_us:
            return
        self._next_us = now_us + EVERY_US
        with self._database.read() as tx:
            known = gateways.with_purses(tx)
        for gateway in known:
            if gateway.seen_us is None:
                with self._database.write() as tx:  # from now on it has a time at which it was last heard of
                    gateways.beat(tx, replace(gateway, seen_us=now_us))
            elif gateway.seen_us < now_us - SILENT_US:
                self._look_for(gateway, now_us)

    def _look_for(self, gateway: Gateway, now_us: int) -> None:
        folder = Path(gateway.folder) if gateway.folder else None
        if folder is not None and token_journal.may_be_read(folder, gateway.id):
            lock = token_journal.taken(folder)
            if lock is None:
                return  # it lives, and only cannot reach the database
            with lock:
                left = token_journal.left_in(folder)
                self._charge(left, now_us)
                self._give_back(gateway, f"and {len(left)} requests in its journal are charged", now_us)
            return
        until = (gateway.seen_us or now_us) + LOST_US
        if now_us >= until:
            self._give_back(gateway, "its journal was not found: what was in it is free", now_us)
        elif gateway.until_us is None:
            self._tell_until(gateway, until, now_us)

    def _charge(self, left: Sequence[ModelRequest], now_us: int) -> None:
        """Book what is not booked: a request's id makes it count once, so its own next start may read it again."""
        for start in range(0, len(left), _PORTION):
            with self._database.write() as tx:
                purses.charge(tx, left[start : start + _PORTION], now_us=now_us)

    def _give_back(self, gateway: Gateway, how: str, now_us: int) -> None:
        with self._database.write() as tx:
            for purse in purses.opened_by(tx, gateway.id):
                purses.close(tx, purse.id, now_us=now_us)
                said = f"gateway {gateway.id} is gone: {_money(purse)} reserved for it is given back, {how}"
                _tell(tx, "gateway.lost", said, purse, now_us)
            gateways.forget(tx, gateway.id)
        log.warning("gateway_lost", gateway=gateway.id, how=how)

    def _tell_until(self, gateway: Gateway, until_us: int, now_us: int) -> None:
        hours = (until_us - now_us) // (3_600 * SECOND_US)
        with self._database.write() as tx:
            if not gateways.keep_until(tx, gateway, until_us):
                return
            for purse in purses.opened_by(tx, gateway.id):
                said = f"gateway {gateway.id} is silent: {_money(purse)} stays reserved for it, for {hours} h at most"
                _tell(tx, "gateway.silent", said, purse, now_us)


def _money(purse: Purse) -> str:
    return f"{purse.left_micro / 1e6:.4f} {purse.currency}"


def _tell(tx: Tx, kind: str, said: str, purse: Purse, now_us: int) -> None:
    data = {"gateway": purse.gateway, "purse": purse.id, "amount_micro": purse.left_micro}
    events.append(tx, [Entry(now_us, kind, said, TenantId(purse.tenant), data=data)])
