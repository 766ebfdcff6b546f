"""A plan: what one round decided, with the reason of each decision. Applying it leaves no choice open.

Items name the version they were decided on; an item whose subject has moved since is dropped by whoever applies the plan, and
the next round decides anew. Applying a plan twice is harmless for the same cause.
"""

from dataclasses import dataclass, fields

from sublet.core.blocks.deals import Auction
from sublet.core.fleet import Placement
from sublet.core.ids import JobId, LeaseId, PoolId
from sublet.core.lease import Cause, Event


@dataclass(frozen=True, slots=True)
class JobStart:
    """Give a waiting job of the owner its GPUs."""

    job: JobId
    version: int
    placement: Placement
    reason: str


@dataclass(frozen=True, slots=True)
class Entitled:
    """From this instant the job would have run had nothing been leased; its delay counts from here."""

    job: JobId
    at_us: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Keep these GPUs, some of which are still on their way back, for a waiting job: later rounds do not choose anew.

    Without it a round may promise the job other GPUs than those that leases were ended for, and end more.
    """

    job: JobId
    placement: Placement
    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """Step a lease (or withdraw it): admit, refuse, pause, resume, stop."""

    lease: LeaseId
    version: int
    event: Event
    reason: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Announce the end of a lease. `loss_micro` is what the end is expected to cost all sides."""

    lease: LeaseId
    version: int
    cause: Cause
    deadline_us: int
    reason: str
    job: JobId | None = None  # for whom it is reclaimed
    loss_micro: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """Give a queued lease its GPUs. `hold_micro` is reserved on the tenant's account until `funded_until_us`."""

    lease: LeaseId
    version: int
    placement: Placement
    price_micro: int
    exempt_until_us: int
    hold_micro: int
    funded_until_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a queued lease waits."""

    lease: LeaseId
    reason: str


@dataclass(frozen=True, slots=True)
class PriceSet:
    """A pool's price moved."""

    pool: PoolId
    price_micro: int
    floor_micro: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReserveSet:
    """A pool's hot buffer changed."""

    pool: PoolId
    gpus: int
    reason: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator has to know, and what to do."""

    kind: str
    pool: PoolId | None
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All decisions of one round, in the order in which they are applied."""

    at_us: int
    job_starts: tuple[JobStart, ...] = ()
    entitled: tuple[Entitled, ...] = ()
    kept: tuple[Kept, ...] = ()
    notices: tuple[Notice, ...] = ()
    moves: tuple[Move, ...] = ()
    grants: tuple[Grant, ...] = ()
    waits: tuple[Wait, ...] = ()
    prices: tuple[PriceSet, ...] = ()
    reserves: tuple[ReserveSet, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    auctions: tuple[Auction, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not any(getattr(self, field.name) for field in fields(self) if field.name != "at_us")
