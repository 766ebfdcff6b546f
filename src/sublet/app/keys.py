"""API keys: who may knock, and which doors open.

A key is 256 random bits, shown once. Its SHA-256 is kept (docs/decisions/0009: a slow hash protects secrets that can be
guessed; these cannot). The first owner key is made at the first start and written to `owner.key` in the data directory.
"""

import hashlib
import hmac
import os
import secrets
import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sublet.app import names
from sublet.core.errors import Conflict, Forbidden, Invalid, NotFound, SubletError
from sublet.core.ids import TenantId
from sublet.store import facts, tenants
from sublet.store import keys as store
from sublet.store.database import Tx
from sublet.store.keys import KeyRow

PREFIX = "sk_"
OWNER_KEY_FILE = "owner.key"
_PLACE = "owner_key_place"


class Scope(StrEnum):
    """What a key may do."""

    OWNER = "owner"  # everything
    TENANT = "tenant"  # one tenant's leases and bills
    FINANCE = "finance"  # reads all money, issues invoices; moves no lease
    READ_ONLY = "read-only"  # reads everything, changes nothing


class Unauthenticated(SubletError):
    """The request shows no key that we know."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request: a key that was checked."""

    key: str
    scope: Scope
    tenant: TenantId | None = None

    @property
    def sees(self) -> TenantId | None:
        """The only tenant whose things exist for this caller; None: all exist."""
        return self.tenant

    def require(self, *scopes: Scope) -> None:
        """Raise `Forbidden` unless the key has one of `scopes`; an owner's key always passes.

        A key that names a tenant opens only what is open to tenants: all else shows more than one tenant's things.
        """
        if self.scope is not Scope.OWNER and self.scope not in scopes:
            fits = " or ".join(sorted({Scope.OWNER, *scopes}))
            raise Forbidden(
                f"a {self.scope} key may not do this", hint=f"use a key of scope {fits}: `sublet key add` makes one"
            )
        if self.tenant is not None and Scope.TENANT not in scopes:
            raise Forbidden("a tenant's key does not open this", hint="use a key that belongs to no tenant")

    def tenant_for(self, wanted: str | None) -> TenantId:
        """The tenant a request is made for: a tenant's key names it itself, an owner must say."""
        if self.tenant is not None:
            if wanted is not None and wanted != self.tenant:
                raise NotFound(f"there is no tenant {wanted}", field="tenant", hint="leave the tenant away: the key names it")
            return self.tenant
        if wanted is None:
            raise Invalid("say for which tenant", field="tenant", hint="add the tenant's id, or use the tenant's own key")
        return TenantId(wanted)


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key with its secret, which is shown this once."""

    row: KeyRow
    secret: str


def add(tx: Tx, *, scope: Scope, name: str, tenant: TenantId | None, now_us: int) -> Minted:
    """Make a key. A tenant's key names its tenant; a read-only key may name one and then sees only that."""
    if scope is Scope.TENANT and tenant is None:
        raise Invalid("a tenant's key belongs to a tenant", field="tenant", hint="say which: --tenant ID")
    if scope in {Scope.OWNER, Scope.FINANCE} and tenant is not None:
        raise Invalid(f"a key of scope {scope} belongs to no tenant", field="tenant", hint="leave the tenant away")
    if tenant is not None:
        tenants.get(tx, tenant)
    return _insert(tx, PREFIX + secrets.token_urlsafe(32), scope=scope, name=name, tenant=tenant, now_us=now_us)


def authenticate(tx: Tx, secret: str) -> Caller:
    """Whose key this is; raises `Unauthenticated` for a key that is unknown or was revoked."""
    presented = digest(secret)
    row = store.by_hash(tx, presented)
    known = row is not None and hmac.compare_digest(row.secret_sha256, presented)
    if row is None or not known or row.revoked_us is not None:
        raise Unauthenticated(
            "this API key is not valid", hint="send `Authorization: Bearer sk_...` with a key that was not revoked"
        )
    return Caller(row.id, Scope(row.scope), row.tenant)


def revoke(tx: Tx, key: str, *, now_us: int) -> KeyRow:
    """Close the door to a key; the last owner key stays, or nobody could open it again."""
    row = store.get(tx, key)
    if row.scope == Scope.OWNER and row.revoked_us is None and store.living(tx, Scope.OWNER) == 1:
        raise Conflict("this is the last owner key", field="key", hint="make another owner key first, then revoke this one")
    store.revoke(tx, key, now_us=now_us)
    return store.get(tx, key)


def ensure_owner_key(tx: Tx, data_dir: Path, *, now_us: int) -> Path | None:
    """At the first start, make the owner's key and write it to a file that only its owner can read; else None.

    Of several control planes that start at once on one database, one makes it; `owner_key_place` says which. The file comes
    first: if we end between the two, the next start takes the secret from the file.
    """
    if store.page(tx, scope=Scope.OWNER, limit=1):
        return None
    data_dir.mkdir(parents=True, exist_ok=True)
    file = data_dir / OWNER_KEY_FILE
    place = f"{socket.gethostname()}:{file.absolute()}"
    if facts.claim(tx, _PLACE, place) != place:
        return None
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = file.read_text().strip()
        if len(secret) < len(PREFIX) + 40:
            raise Conflict(f"{file} holds no key", hint="remove that file and start again") from None
    else:
        secret = PREFIX + secrets.token_urlsafe(32)
        with os.fdopen(handle, "w") as out:
            out.write(secret + "\n")
            out.flush()
            os.fsync(out.fileno())
    _insert(tx, secret, scope=Scope.OWNER, name="first owner key", tenant=None, now_us=now_us)
    return file


def owner_key_place(tx: Tx) -> str:
    """Where the first owner key lies, `host:path`; empty if it was made before that was noted."""
    return facts.get(tx, _PLACE) or ""


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _insert(tx: Tx, secret: str, *, scope: Scope, name: str, tenant: TenantId | None, now_us: int) -> Minted:
    row = KeyRow(names.fresh("key"), digest(secret), scope.value, tenant, name, now_us)
    store.insert_one(tx, row)
    return Minted(row, secret)
