"""The feedback of GFS in a replay: the factor on the quota, moved at each market round by how leases ended of late.

A success is an hour that a lease ran undisturbed, or its own end; a failure is a reclaim (`core.forecast.feedback`).
"""

from collections import deque

from sublet.core.forecast.feedback import TRAILING_US, Ends, next_eta
from sublet.core.units import HOUR_US


class Feedback:
    """The factor and what moves it."""

    def __init__(self, risk: float) -> None:
        """`risk`: the reclaim probability that is accepted."""
        self._risk = risk
        self._eta = 1.0
        self._last_us: int | None = None
        self._recent: deque[tuple[int, float, int]] = deque()  # (instant, successes, failures)

    def ended(self, now_us: int, *, failed: bool) -> None:
        """A lease ended."""
        self._recent.append((now_us, 0.0 if failed else 1.0, 1 if failed else 0))

    def moved(self, now_us: int, *, running: int, waited_us: int) -> float:
        """The factor for the next market round; `running` leases ran since the last one, the first request waits so long."""
        if self._last_us is not None:
            self._recent.append((now_us, running * (now_us - self._last_us) / HOUR_US, 0))
        self._last_us = now_us
        while self._recent and self._recent[0][0] <= now_us - TRAILING_US:
            self._recent.popleft()
        ends = Ends(failed=sum(one[2] for one in self._recent), succeeded=int(sum(one[1] for one in self._recent)))
        self._eta = next_eta(self._eta, ends, risk=self._risk, waited_us=waited_us)
        return self._eta
