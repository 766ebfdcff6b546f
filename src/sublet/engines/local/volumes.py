"""Storage that survives attempts: one directory a lease, where a workload keeps its checkpoints."""

from pathlib import Path

from sublet.checkpoint import MARKER

COARSE_US = 20_000
"""How far a file's time may lag behind the clock: the kernel stamps files with the time of its last tick."""


def last_checkpoint(volume: Path | None, *, claimed_us: int, started_us: int | None, now_us: int) -> int | None:
    """When this run last marked a checkpoint: the marker's time, but never in the future.

    A mark older than the run's claim is an earlier attempt's and says nothing about what this one would lose.
    """
    if volume is None or started_us is None:
        return None
    try:
        marked_us = (volume / MARKER).lstat().st_mtime_ns // 1_000
    except OSError:
        return None
    if marked_us < claimed_us - COARSE_US:
        return None
    return max(started_us, min(marked_us, now_us))
