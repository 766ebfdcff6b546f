"""Models that are served, and the replicas that serve them.

A replica is one run of a server program: an attempt of a lease (decision 0029), or an address outside that nobody here runs.
`REPLICA_NEXT` is the whole truth about its life; a new attempt is a new replica. The request path only reads these values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sublet.core.ids import LeaseId, ModelName, PoolId, ReplicaId, TenantId
from sublet.core.lease import LeaseClass
from sublet.core.transitions import walked

TOKENS = 1_000_000
"""Prices are for so many tokens."""
ON_ITS_NODE = "{node}"
"""Stands for the host of a server that is reached by the address of whatever node its run gets."""
OUTSIDE = "outside"
"""The site of an address of which nobody has said where it is; no residency rule allows it."""


class Tier(StrEnum):
    """How much a caller wants its answer, in the words of OpenAI's `service_tier`."""

    FLEX = "flex"
    DEFAULT = "default"
    PRIORITY = "priority"


TIER_CLASS: Mapping[Tier, LeaseClass] = {
    Tier.FLEX: LeaseClass.SPOT,
    Tier.DEFAULT: LeaseClass.GUARDED,
    Tier.PRIORITY: LeaseClass.DEDICATED,
}
"""The class of lease on which the replicas of a tier run."""


class ReplicaState(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"  # its server was or will be started; it loads the weights
    READY = "ready"  # it has answered: it takes requests
    DRAINING = "draining"  # its end is known: what runs may finish or go on elsewhere, nothing new goes there
    GONE = "gone"


class ReplicaEvent(StrEnum):
    """What may happen to a replica."""

    ANSWER = "answer"  # it is ready
    SILENCE = "silence"  # it was ready and does not answer any more
    DRAIN = "drain"
    END = "end"


_S, _E = ReplicaState, ReplicaEvent
REPLICA_NEXT: Mapping[tuple[ReplicaState, ReplicaEvent], ReplicaState] = {
    (_S.STARTING, _E.ANSWER): _S.READY,
    (_S.STARTING, _E.DRAIN): _S.DRAINING,
    (_S.STARTING, _E.END): _S.GONE,
    (_S.READY, _E.SILENCE): _S.STARTING,
    (_S.READY, _E.DRAIN): _S.DRAINING,
    (_S.READY, _E.END): _S.GONE,
    (_S.DRAINING, _E.END): _S.GONE,
}


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """What a million tokens cost, in micro-units of the model's currency. `cached` are input tokens found in a prefix cache."""

    input_micro: int = 0
    cached_micro: int = 0
    output_micro: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """An open model under the name by which callers ask for it."""

    name: ModelName
    server: str  # a key of `gateway.servers.SERVERS`: vllm | llamacpp | url
    source: str  # a file or directory, `hub:ORG/NAME[:FILE]`, `builtin`, or the address of an outside server
    created_us: int
    checksum: str = ""  # SHA-256 of the weights in hex; empty: not checked
    context_length: int = 0  # tokens of prompt and answer together at most; 0: as the weights say
    aliases: tuple[str, ...] = ()  # other names for it
    currency: str = "USD"
    prices: TokenPrices = field(default_factory=TokenPrices)
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)  # of its server, e.g. slots or threads
    sites: tuple[str, ...] = ()  # where replicas may run, or where an outside address is; empty: any, and `OUTSIDE`
    tenant: TenantId | None = None  # whose it is, e.g. tuned on its data; None: everybody's
    path: str = ""  # where the weights lie on the machines; empty: not there yet, or none are needed
    detail: str = ""  # what a person should know: how far the weights are, or what is wrong with them

    def answers_to(self, name: str) -> bool:
        """Whether a caller who says `name` means this model."""
        return name == self.name or name in self.aliases

    def open_to(self, tenant: TenantId) -> bool:
        """Whether a tenant may ask it, or learn that it is there: what was tuned on a tenant's data is that tenant's alone."""
        return self.tenant in {None, tenant}


@dataclass(frozen=True, slots=True)
class Serving:
    """How many replicas of a model are kept for a tier, and on which terms. One for each model and tier."""

    model: ModelName
    tier: Tier
    tenant: TenantId  # whose leases they are
    replicas_min: int
    replicas_max: int
    gpus: int = 1  # of each replica
    pool: PoolId | None = None  # None: any that sells the class at an allowed site
    bid_micro: int | None = None  # most for a GPU-hour; None: as for any lease
    asked_us: int = 0  # when a caller last found no replica that is ready
    busy_us: int = 0  # since when there was work for every replica; 0: there is room
    idle_us: int = 0  # since when one replica less would do; 0: it would not
    failures: int = 0  # replicas in a row that ended before they were ready
    retry_us: int = 0  # no new replica is asked for before that
    detail: str = ""  # why there are fewer replicas than wanted


@dataclass(frozen=True, slots=True)
class Replica:
    """One run of a server program."""

    id: ReplicaId  # the run of its lease, or `MODEL@outside`
    model: ModelName
    tier: Tier
    url: str  # what the official clients call the base URL: ends in /v1 for our own servers; never with a slash
    secret: str  # bearer token of the server; empty: it wants none
    site: str
    since_us: int  # when `state` was entered
    state: ReplicaState = ReplicaState.STARTING
    lease: LeaseId | None = None  # None: nobody here runs it
    slots: int = 1  # requests it works on at once
    busy: int = 0  # requests it worked on when it was last asked
    queued: int = 0  # and those that waited inside it
    progress: str = ""  # how far it has come, while it starts

    @property
    def is_addressed(self) -> bool:
        """Whether it is known where it is: a node's address is asked for once a run has a node."""
        return ON_ITS_NODE not in self.url

    def at(self, host: str) -> "Replica":
        """The same on a node of this address (a name, or an IPv4 or IPv6 address)."""
        return replace(self, url=self.url.replace(ON_ITS_NODE, f"[{host}]" if ":" in host else host))

    @property
    def root(self) -> str:
        """Where the server's own paths such as /health are."""
        return self.url.removesuffix("/v1")


def step_replica(replica: Replica, event: ReplicaEvent, *, at_us: int) -> Replica:
    """The replica after `event`; raises `IllegalStep` if the table has no such step."""
    state = walked(REPLICA_NEXT, replica.state, [event], "replica", replica.id)
    return replace(replica, state=state, since_us=max(at_us, replica.since_us))
