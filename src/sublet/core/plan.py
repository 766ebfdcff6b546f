"""A plan: what one round decided, with the reason of each decision. Applying it leaves no choice open.

Items name the version they were decided on; an item whose subject has moved since is dropped by whoever applies the plan, and
the next round decides anew. Applying a plan twice is harmless for the same cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from sublet.core.blocks.deals import Auction, Shift
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
class Reclaim:
    """The leases that end for one job of the owner, as columns with one entry a lease: there may be tens of thousands.

    `notices_us`: when each is to be told. At `at_us`, the instant of the plan, it is told by this plan; later, it runs on as a
    dated lease, whose notice a later round gives. `loss_micro` is what all ends together are expected to cost, `bound_micro`
    what no choice of leases could have cost less than: the cost of a reclaim can be judged afterwards.
    """

    job: JobId
    pool: PoolId
    at_us: int
    due_us: int  # when they are promised
    gpus: int  # that the job needs
    leases: tuple[LeaseId, ...]
    versions: tuple[int, ...]
    notices_us: tuple[int, ...]
    deadlines_us: tuple[int, ...]
    losses_micro: tuple[int, ...]
    late: tuple[bool, ...]  # its GPUs come back after the promised time
    loss_micro: int
    bound_micro: int

    def __len__(self) -> int:
        """How many leases end."""
        return len(self.leases)

    def endings(self) -> Iterator[tuple[int, Notice]]:
        """(when it is given, notice) of each lease, with its reason."""
        why = f"the owner's job {self.job} needs {self.gpus} GPUs; ending this lease in"
        columns = (self.leases, self.versions, self.notices_us, self.deadlines_us, self.losses_micro, self.late)
        for lease, version, told, deadline, loss, late in zip(*columns, strict=True):
            cost = f"{loss / 1e6:.6f}{', after the promised time' if late else ''}"
            reason = f"{why} {(deadline - self.at_us) / 1e6:g} s loses least ({cost})"
            yield told, Notice(lease, version, Cause.RECLAIMED, deadline, reason, self.job, loss)

    def part(self, first: int, last: int) -> "Reclaim":
        """The same with only some of its leases, as they are written in portions; its sums stay those of the whole."""
        names = ("leases", "versions", "notices_us", "deadlines_us", "losses_micro", "late")
        return replace(self, **{name: getattr(self, name)[first:last] for name in names})

    @property
    def reason(self) -> str:
        """What it does, in a sentence."""
        wait = (max(self.deadlines_us, default=self.at_us) - self.at_us) / 1e6
        return (
            f"{len(self)} leases end within {wait:g} s for owner job {self.job}, which needs {self.gpus} GPUs; "
            f"that loses {self.loss_micro / 1e6:.6f}, and no choice less than {self.bound_micro / 1e6:.6f}"
        )


@dataclass(frozen=True, slots=True)
class Undated:
    """A dated lease goes on: nobody waits for its GPUs any more."""

    lease: LeaseId
    version: int
    reason: str


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
    reclaims: tuple[Reclaim, ...] = ()
    announced: tuple[Notice, ...] = ()  # ends that time brings, and those of dated leases
    undated: tuple[Undated, ...] = ()
    moves: tuple[Move, ...] = ()
    grants: tuple[Grant, ...] = ()
    waits: tuple[Wait, ...] = ()
    prices: tuple[PriceSet, ...] = ()
    reserves: tuple[ReserveSet, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    auctions: tuple[Auction, ...] = ()
    shifts: tuple[Shift, ...] = ()  # of blocks that wait for their start, to other pools of their kind

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All that it gives now; made when asked for."""
        return (*(notice for one in self.reclaims for at, notice in one.endings() if at <= self.at_us), *self.announced)

    @property
    def dated(self) -> tuple[tuple[int, Notice], ...]:
        """(when, notice) of those that later rounds give; made when asked for."""
        return tuple((at, notice) for one in self.reclaims for at, notice in one.endings() if at > self.at_us)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not any(getattr(self, field.name) for field in fields(self) if field.name != "at_us")
