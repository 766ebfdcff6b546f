"""How long something takes, over some repetitions."""

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any


def timed(what: Callable[[], Any], times: int) -> dict[str, Any]:
    """The spread of so many repetitions."""
    return spread([seconds_of(what) for _ in range(times)])


def seconds_of(what: Callable[[], Any]) -> float:
    """How long it takes once."""
    began = perf_counter()
    what()
    return perf_counter() - began


def spread(seconds: list[float]) -> dict[str, Any]:
    """Median, best and worst, in ms."""
    return {
        "median_ms": round(statistics.median(seconds) * 1e3, 2),
        "best_ms": round(min(seconds) * 1e3, 2),
        "worst_ms": round(max(seconds) * 1e3, 2),
        "times": len(seconds),
    }
