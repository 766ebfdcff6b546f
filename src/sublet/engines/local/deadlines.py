"""When a run must end, kept on a clock that cannot be set.

Orders name wall-clock instants. Each is turned into an instant of the boot clock when it is first read, so that a wall
clock which jumps afterwards neither shortens nor stretches what was promised.
"""

import time

NS_PER_US = 1_000
MS_PER_US = 1_000


def _boot_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // NS_PER_US


def _wall_us() -> int:
    return time.time_ns() // NS_PER_US


class SteadyClock:
    """Wall-clock instants that advance with the boot clock from the moment it was made."""

    def __init__(self) -> None:
        self._ahead_us = _wall_us() - _boot_us()

    def now_us(self) -> int:
        """Microseconds since the epoch; never runs backwards."""
        return _boot_us() + self._ahead_us


class Deadlines:
    """The reasons why a run must end, each with its instant; the earliest counts."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[int, int]] = {}  # reason -> (as ordered, on the boot clock), µs

    def set(self, reason: str, at_us: int) -> bool:
        """End the run at the wall instant `at_us`; False if that was known already."""
        known = self._ends.get(reason)
        if known is not None and known[0] == at_us:
            return False
        self._ends[reason] = (at_us, _boot_us() + at_us - _wall_us())
        return True

    def due(self) -> str | None:
        """The reason whose instant has come, the earliest first."""
        if not self._ends:
            return None
        reason, (_, at) = min(self._ends.items(), key=lambda item: item[1][1])
        return reason if at <= _boot_us() else None

    def wait_ms(self, longest_ms: int) -> int:
        """How long nothing needs to be done, rounded up so that a deadline is never polled for."""
        left_us = min((at for _, at in self._ends.values()), default=1 << 62) - _boot_us()
        return max(0, min(longest_ms, -(-left_us // MS_PER_US)))
