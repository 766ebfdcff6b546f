"""The one place that reads the time. Everything else is told `now_us`.

The clock never runs backwards, because spans, usage and leases would then lie about each other. It follows the wall clock
forwards; when the wall clock is set back it goes on at its own pace and says so, once. The last instant given out is kept
in the database, so that a restart after such a jump does not run backwards either.
"""

import threading
import time
from collections.abc import Callable

from sublet.core.units import SECOND_US, on_grid

JUMP_US = SECOND_US  # less is the ordinary slewing of a disciplined clock


class Clock:
    """Instants on the grid of 1/64 s, never decreasing. `wall` and `monotonic` give nanoseconds."""

    def __init__(self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._lock = threading.Lock()
        self._own_us = wall() // 1_000  # what our own time is ...
        self._at_ns = monotonic()  # ... and when that was so
        self._reported_us = 0
        self._jump_us: int | None = None

    def now_us(self) -> int:
        """The present instant (µs since the epoch), on the grid."""
        with self._lock:
            return on_grid(self._advance())

    def resume(self, last_us: int) -> None:
        """Start no earlier than the last instant that an earlier process gave out."""
        with self._lock:
            self._advance()
            self._own_us = max(self._own_us, last_us)
            self._notice_jump()

    def jumped_back_us(self) -> int | None:
        """How far the wall clock is behind ours since it was set back; None if that was told already or did not happen."""
        with self._lock:
            self._advance()
            jump, self._jump_us = self._jump_us, None
            return jump

    def _advance(self) -> int:
        now_ns = self._monotonic()
        wall_us = self._wall() // 1_000
        self._own_us = max(self._own_us + (now_ns - self._at_ns) // 1_000, wall_us)
        self._at_ns = now_ns - (now_ns - self._at_ns) % 1_000
        self._notice_jump(wall_us)
        return self._own_us

    def _notice_jump(self, wall_us: int | None = None) -> None:
        behind = self._own_us - (self._wall() // 1_000 if wall_us is None else wall_us)
        if behind < JUMP_US:
            self._reported_us = 0
        elif behind >= self._reported_us + JUMP_US:
            self._reported_us = behind
            self._jump_us = behind


def explain_jump(behind_us: int) -> str:
    """What an operator should know and do about a clock that was set back."""
    return (
        f"this machine's clock was set back by {behind_us / SECOND_US:.1f} s; Sublet keeps its own time, which goes on without"
        " a step, so no lease, deadline or charge is affected. Check the time service (chronyc tracking, timedatectl)"
    )
