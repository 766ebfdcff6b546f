"""How the time of deciding grows with the fleet, with caches that help a small fleet no more than a large one.

Decided again and again, a small fleet stays in the processor's caches and a large one does not: what grows then is the price of
a byte. So as many fleets of each size are decided one after the other as make up the largest. As in a control plane that runs,
the garbage collector leaves the fleets alone.
"""

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

from sublet.bench.fleet import NOW_US, Size, fleet, full_house
from sublet.bench.reclaims import closed, gang, who_leaves
from sublet.core.round import decide
from sublet.core.units import SECOND_US

_TURNS = 5


def in_turn(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """For each size the mean time (ms) of a fleet's round and of its reclaim, the median of some turns; and what they touch."""
    largest, found = max(sizes), list[dict[str, Any]]()
    for gpus in sizes:
        seeds = range(max(1, largest // gpus))
        rounds, grants = _rounds(gpus, seeds)
        reclaims, leases = _reclaims(gpus, seeds)
        touched = {"fleets": len(seeds), "grants": grants, "leases_looked_at": leases}
        found.append({"gpus": gpus, **touched, "round_ms": round(rounds, 3), "reclaim_ms": round(reclaims, 3)})
    return found


def exponents(found: Sequence[dict[str, Any]]) -> dict[str, float]:
    """By which power of the fleet's size the time of each part grows: 1 is in proportion."""
    first, last = found[0], found[-1]
    grown = math.log(last["gpus"] / first["gpus"])
    return {part: round(math.log(last[f"{part}_ms"] / first[f"{part}_ms"]) / grown, 2) for part in ("round", "reclaim")}


def _rounds(gpus: int, seeds: Sequence[int]) -> tuple[float, int]:
    """(ms, grants) of a round of a fleet."""
    views = [fleet(Size().of(gpus), seed) for seed in seeds]
    grants = [len(decide(view, now=NOW_US, explain=False).grants) for view in views]
    works = [partial(decide, view, now=NOW_US + SECOND_US, explain=False) for view in views]
    with _left_alone():
        turns = [_mean_ms(works) for _ in range(_TURNS)]
    return statistics.median(turns), round(statistics.fmean(grants))


def _reclaims(gpus: int, seeds: Sequence[int]) -> tuple[float, int]:
    """(ms, leases that could leave) of the reclaims of a tenth of a full fleet."""
    views = [closed(full_house(Size().of(gpus), seed)) for seed in seeds]
    asked = [[gang(pool.pool.id) for pool in view.pools] for view in views]
    leases = [sum(len(view.standing(pool.pool.id).leases) for pool in view.pools) for view in views]
    works = [partial(who_leaves, view, jobs) for view, jobs in zip(views, asked, strict=True)]
    for work in works:
        work()
    with _left_alone():
        turns = [_mean_ms(works) for _ in range(_TURNS)]
    return statistics.median(turns), round(statistics.fmean(leases))


def _mean_ms(works: Sequence[Callable[[], Any]]) -> float:
    """How long each takes on average, all done once, one after the other.

    What they found is kept until all are done, as the plan of a large fleet is: else the small ones write to warm memory only.
    """
    began = perf_counter()
    found = [work() for work in works]
    return 1e3 * (perf_counter() - began) / len(found)


@contextmanager
def _left_alone() -> Iterator[None]:
    """The garbage collector does not go through what is there now."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
