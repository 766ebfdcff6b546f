"""What is going to happen in a replay, in order of time."""

from enum import IntEnum
from heapq import heappop, heappush


class Kind(IntEnum):
    """What happens. At one instant what frees GPUs comes first, rounds last."""

    JOB_ENDS = 0
    LEASE_FREE = 1
    LEASE_GONE = 2
    LEASE_STARTS = 3
    ASKED = 4
    MARKET = 5
    ROUND = 6


class Happenings:
    """A heap of (instant, kind, number, name, attempt); the number keeps the order of what was put first."""

    def __init__(self) -> None:
        """Nothing is going to happen."""
        self._heap: list[tuple[int, int, int, str, int]] = []
        self._number = 0

    def put(self, at_us: int, kind: Kind, name: str = "", attempt: int = 0) -> None:
        """Something will happen, to an attempt of the lease or the job of this name."""
        self._number += 1
        heappush(self._heap, (at_us, kind, self._number, name, attempt))

    @property
    def next_us(self) -> int | None:
        """When the next thing happens."""
        return self._heap[0][0] if self._heap else None

    def take(self, at_us: int) -> tuple[int, str, int] | None:
        """(kind, name, attempt) of the next thing that happens at this instant; None if nothing more does."""
        if not self._heap or self._heap[0][0] != at_us:
            return None
        _, kind, _, name, attempt = heappop(self._heap)
        return kind, name, attempt
