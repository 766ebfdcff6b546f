"""Where every GPU-second of a replay went: six integer sums that add up to capacity x time.

The six states of `core.occupancy`, summed as time passes instead of from spans afterwards; tests hold one to the other.
"""

from array import array
from dataclasses import dataclass, field

from sublet.core.occupancy import STATES

OWNER, LEASED, HANDOVER = "owner", "leased", "handover"


@dataclass(slots=True)
class Account:
    """GPU-microseconds by state since `since_us`. What nobody holds is `reserve` up to the reserve's level, then `idle`."""

    capacity: int
    now_us: int
    held: dict[str, int] = field(default_factory=lambda: {OWNER: 0, LEASED: 0, HANDOVER: 0})
    reserve: int = 0
    total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    since_us: int = 0
    hours: "array[int]" = field(default_factory=lambda: array("q"))  # at each mark: instant, then the sums as STATES

    def begin(self) -> None:
        """Count from now on."""
        self.total = dict.fromkeys(STATES, 0)
        self.since_us = self.now_us

    def advance(self, to_us: int) -> None:
        """Time passes, and everybody holds what he holds."""
        passed = to_us - self.now_us
        if not passed:
            return
        held, total = self.held, self.total
        owner, leased, handover = held[OWNER], held[LEASED], held[HANDOVER]
        free = self.capacity - owner - leased - handover
        kept = min(free, self.reserve)
        total[OWNER] += owner * passed
        total[LEASED] += leased * passed
        total[HANDOVER] += handover * passed
        total["reserve"] += kept * passed
        total["idle"] += (free - kept) * passed
        self.now_us = to_us

    def move(self, before: str | None, after: str | None, gpus: int) -> None:
        """So many GPUs change their state; None: held by nobody."""
        if before != after:
            if before is not None:
                self.held[before] -= gpus
            if after is not None:
                self.held[after] += gpus

    def mark(self) -> None:
        """Note the sums, for a curve over time."""
        self.hours.append(self.now_us)
        self.hours.extend(self.total[state] for state in STATES)

    @property
    def free(self) -> int:
        """GPUs that nobody holds."""
        return self.capacity - sum(self.held.values())

    @property
    def conserved(self) -> bool:
        """Whether the six sums add up to capacity x time."""
        return sum(self.total.values()) == self.capacity * (self.now_us - self.since_us)
