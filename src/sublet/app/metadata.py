"""The metadata address of a run, in the shape that agents for cloud spot instances already read.

Each run gets an address of its own that cannot be guessed: the run's name and an HMAC of it with a secret of this
installation. So a workload needs no key, and one that knows its neighbour's name still cannot read its notices.
"""

import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from sublet.core.errors import NotFound
from sublet.core.ids import LeaseId, RunId
from sublet.core.lease import Lease, State
from sublet.core.units import SECOND_US
from sublet.store import facts, leases
from sublet.store.database import Database, Tx

_FACT = "metadata_secret"
_TOLD = frozenset({State.NOTICED, State.STOPPING})


class Metadata:
    """Makes and reads the tokens of runs."""

    def __init__(self, secret: bytes, base_url: str) -> None:
        """`secret` is this installation's; `base_url` is how a workload reaches the API."""
        self._secret, self._base_url = secret, base_url

    @classmethod
    def open(cls, database: Database, base_url: str) -> "Metadata":
        """With the secret in the database, made at the first start."""
        with database.read() as tx:
            known = facts.get(tx, _FACT)
        if known is None:
            with database.write() as tx:
                known = facts.claim(tx, _FACT, secrets.token_hex(32))
        return cls(bytes.fromhex(known), base_url)

    def token(self, run: RunId) -> str:
        """The part of the address that only this run is told."""
        return f"{run}~{hmac.new(self._secret, run.encode(), sha256).hexdigest()[:40]}"

    def run_of(self, token: str) -> RunId:
        """Whose token this is; raises `NotFound` for one that we did not make."""
        run = RunId(token.partition("~")[0])
        if not hmac.compare_digest(self.token(run).encode(), token.encode()):
            raise NotFound("there is no such metadata address", hint="use the address in $SUBLET_METADATA_URL, unchanged")
        return run

    def env(self, run: RunId) -> Mapping[str, str]:
        """What a run is told of its metadata: our name for the address, and the one that AWS's libraries read."""
        address = f"{self._base_url}/metadata/{self.token(run)}"
        return {"SUBLET_METADATA_URL": address, "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{address}/"}


def noticed_lease(tx: Tx, run: RunId) -> Lease | None:
    """The lease of a run that was given notice; None while there is none, or when the run is a past attempt."""
    name, _, attempt = run.rpartition(".")
    try:
        lease = leases.get(tx, LeaseId(name))
    except NotFound:
        return None
    mine = str(lease.attempt) == attempt and lease.state in _TOLD
    return lease if mine and lease.deadline_us is not None else None


def iso(at_us: int) -> str:
    """An instant as clouds write it: whole seconds, UTC; a fraction is cut off, so the notice is never too hopeful."""
    return datetime.fromtimestamp(at_us // SECOND_US, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
