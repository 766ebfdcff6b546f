"""Who asks: keys are looked up once and remembered for a while, under a hash that only this process can make.

Every half second the gateway asks which keys were revoked and what has changed about the tenants it knows, so a revoked key, a
suspended tenant or a new limit counts within a second. What could not be refreshed for half a minute is forgotten.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from time import monotonic

from sublet.app import keys
from sublet.app.clock import Clock
from sublet.app.keys import Caller, Scope, Unauthenticated
from sublet.core.errors import Forbidden, Invalid
from sublet.core.ids import TenantId
from sublet.core.ledger import receivable
from sublet.core.token_terms import TokenTerms
from sublet.core.units import MINUTE_US
from sublet.gateway.limits import Limits, Rates
from sublet.gateway.refusals import Refusal
from sublet.gateway.threads import Thread
from sublet.store import keys as key_rows
from sublet.store import ledger, tenants, token_terms
from sublet.store.database import Database, Tx

REFRESH_S = 0.5
_LIFE_S = 30.0
_UNKNOWN_LIFE_S = 1.0
_KNOWN_MAX, _UNKNOWN_MAX = 100_000, 10_000
TENANT_HEADER = "OpenAI-Project"
"""An owner's key names no tenant: this header, which the official clients send for `project=`, says for whom it asks."""


@dataclass(slots=True)
class Guest:
    """A tenant whose requests come here."""

    tenant: TenantId
    currency: str
    suspended: bool
    terms: TokenTerms
    limits: Limits


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller and the tenant that pays."""

    key: str
    guest: Guest


@dataclass(slots=True)
class _Known:
    caller: Caller
    until: float


class Visitors:
    """The keys and tenants that this gateway has seen lately."""

    def __init__(self, database: Database, clock: Clock, thread: Thread, rates: Rates) -> None:
        self._database, self._clock, self._thread, self._rates = database, clock, thread, rates
        self._pepper = os.urandom(32)
        self._known: dict[bytes, _Known] = {}
        self._unknown: dict[bytes, float] = {}
        self._guests: dict[TenantId, Guest] = {}
        self._looked_us = clock.now_us()

    async def welcome(self, authorization: str | None, project: str | None) -> Visitor:
        """Who sends this; raises `Refusal` without a good key, or for a tenant that is suspended."""
        caller = await self._caller(authorization)
        tenant = caller.tenant
        if tenant is None:
            if caller.scope is not Scope.OWNER:
                raise Forbidden(f"a {caller.scope} key may not ask models", hint="use a tenant's key")
            if not project:
                hint = f"use a tenant's key, or name the tenant in the header {TENANT_HEADER}"
                raise Invalid("an owner's key names no tenant who pays", field=TENANT_HEADER, hint=hint)
            tenant = TenantId(project)
        elif caller.scope is not Scope.TENANT:
            raise Forbidden(f"a {caller.scope} key may not ask models", hint="use a tenant's key")
        guest = await self.guest(tenant)
        if guest.suspended:
            raise Refusal(403, "this tenant is suspended: the owner takes nothing new from it", code="tenant_suspended")
        return Visitor(caller.key, guest)

    async def guest(self, tenant: TenantId) -> Guest:
        """A tenant; raises `NotFound` for one that there is not."""
        known = self._guests.get(tenant)
        return known if known is not None else await self._thread.do(partial(self._meet, tenant))

    def everybody(self) -> list[Guest]:
        """The tenants that were here."""
        return list(self._guests.values())

    async def refresh(self) -> None:
        """What was revoked and changed since the last time."""
        since = self._looked_us - MINUTE_US
        self._looked_us = self._clock.now_us()
        gone, states = await self._thread.do(lambda: self._news(since, list(self._guests)))
        now, revoked = monotonic(), set(gone)
        for mark, known in list(self._known.items()):
            if known.caller.key in revoked or known.until < now:
                del self._known[mark]
        for guest in states:
            old = self._guests[guest.tenant]
            old.suspended, old.terms, old.currency = guest.suspended, guest.terms, guest.currency
            old.limits.change(self._rates_of(guest.terms))
        self._unknown = {mark: until for mark, until in self._unknown.items() if until > now}

    async def _caller(self, authorization: str | None) -> Caller:
        if authorization is None or not authorization.startswith("Bearer "):
            raise Unauthenticated("this address needs an API key", hint="send `Authorization: Bearer sk_...`")
        mark = blake2b(authorization.encode(), digest_size=16, key=self._pepper).digest()
        known, now = self._known.get(mark), monotonic()
        if known is not None and known.until > now:
            return known.caller
        if self._unknown.get(mark, 0.0) > now:
            raise Unauthenticated("this API key is not valid", hint="use a key that was not revoked")
        secret = authorization[7:].strip()
        try:
            caller = await self._thread.do(lambda: self._look_up(secret))
        except Unauthenticated:
            if len(self._unknown) < _UNKNOWN_MAX:
                self._unknown[mark] = now + _UNKNOWN_LIFE_S
            raise
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[mark] = _Known(caller, now + _LIFE_S)
        return caller

    def _look_up(self, secret: str) -> Caller:
        with self._database.read() as tx:
            return keys.authenticate(tx, secret)

    def _meet(self, tenant: TenantId) -> Guest:
        with self._database.read() as tx:
            guest = self._read(tx, tenant)
        return self._guests.setdefault(tenant, guest)

    def _news(self, since_us: int, known: Sequence[TenantId]) -> tuple[list[str], list[Guest]]:
        with self._database.read() as tx:
            return key_rows.revoked_since(tx, since_us), [self._read(tx, tenant) for tenant in known]

    def _read(self, tx: Tx, tenant: TenantId) -> Guest:
        found, terms = tenants.get(tx, tenant), token_terms.get(tx, tenant)
        currency = ledger.account(tx, receivable(tenant)).currency
        return Guest(tenant, currency, found.suspended, terms, Limits(self._rates_of(terms)))

    def _rates_of(self, terms: TokenTerms) -> Rates:
        given = self._rates
        return Rates(terms.requests_per_min or given.requests, terms.tokens_per_min or given.tokens)
