"""`sublet bench core`: how long deciding takes for a fleet of a given size, part by part and as whole rounds.

Nothing is applied by an engine or a database: it is the decisions that are measured. The machine's own memory bandwidth is
measured in the same run, so that "how far from the limit" is a ratio.
"""

import os
import platform
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from sublet.bench import blocks, rebalance
from sublet.bench.fleet import NODE_GPUS, NOW_US, Size, fleet
from sublet.bench.placements import growth, is_met, placements
from sublet.bench.progress import Progress
from sublet.bench.quality import quality
from sublet.bench.reclaims import closed, reclaim
from sublet.bench.sizes import exponents, in_turn
from sublet.bench.timing import seconds_of, spread, timed
from sublet.core import lifecycle
from sublet.core.plan import Plan
from sublet.core.pricing import PRICING, Bids, Market
from sublet.core.round import decide
from sublet.core.units import SECOND_US
from sublet.core.view import KeptView

SIZES = (6_000, 60_000, 600_000)
ROUNDS = 20
BIDS = 100_000


def measure(gpus: int, rounds: int, progress: Progress) -> dict[str, Any]:
    """Everything for a fleet of so many GPUs, and what the same takes for fleets of a tenth and a hundredth."""
    sizes = sorted({size for size in SIZES if size < gpus} | {gpus})
    progress(f"{gpus:,} GPUs", 0.0)
    largest = _of_size(Size().of(gpus), rounds)
    progress("smaller fleets", 0.3)
    grown, handed_out = in_turn(sizes), [placements(size) for size in sizes]
    weeks = quality(progress=lambda what, share: progress(what, 0.5 + 0.5 * share))
    return {
        "benchmark": "core",
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "memory_gb_s": round(_bandwidth(), 1)},
        **largest,
        "clearing": _clearing(),
        "blocks": blocks.measure(),
        "rebalance": rebalance.measure(),
        "growth": grown,
        "exponents": exponents(grown) if len(grown) > 1 else None,
        "placements": _placements(handed_out),
        "quality": weeks,
    }


def _placements(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Grants a second at each size; for the largest also with all nodes in one pool."""
    largest = found[-1]["gpus"]
    return {
        "by_size": found,
        "in_one_pool": placements(largest, nodes_a_pool=largest // NODE_GPUS),
        "exponents": growth(found) if len(found) > 1 else None,
        "met": is_met(found[-1]),
    }


def _of_size(size: Size, rounds: int) -> dict[str, Any]:
    process = psutil.Process()
    before = process.memory_info().rss
    view = fleet(size)
    held = process.memory_info().rss - before
    decide(view, now=NOW_US, explain=False)  # what is compiled or read from the cache is not measured
    return {
        "gpus": size.gpus,
        "pools": len(view.pools),
        "leases": sum(len(view.standing(one.pool.id).leases) for one in view.pools),
        "memory_mb": round(held / 1e6),
        "round": _rounds(view, rounds),
        "told_why": timed(lambda: decide(view, now=NOW_US + 2 * SECOND_US), 3),
        "nobody_asks": timed(lambda: decide(closed(view), now=NOW_US + 2 * SECOND_US, explain=False), 10),
        "reclaim": reclaim(size),
    }


def _rounds(view: KeptView, rounds: int) -> dict[str, Any]:
    """Whole rounds of the market; each grants, and what it granted starts and is gone before the next."""
    seconds, grants = [], 0
    for i in range(rounds):
        now = NOW_US + i * SECOND_US
        began = perf_counter()
        plan = decide(view, now=now, explain=False)
        seconds.append(perf_counter() - began)
        grants += len(plan.grants)
        if i % 2 == 0:
            _grant_some(view, plan, now)
    return spread(seconds) | {"grants_a_round": grants // rounds}


def _grant_some(view: KeptView, plan: Plan, now: int) -> None:
    """A thousandth of what was granted becomes leases: the next round finds another fleet."""
    for grant in plan.grants[::1_000]:
        for pool in view.pools:
            standing = view.standing(pool.pool.id)
            lease = standing.leases.get(grant.lease)
            if lease is not None:
                standing.put_lease(lifecycle.ordered(lease, grant, at_us=now, funded_until_us=grant.funded_until_us))
                break


def _clearing() -> dict[str, Any]:
    """One clearing of a hundred thousand bids."""
    rng = np.random.default_rng(0)
    bids = Bids(rng.integers(500_000, 3_000_000, BIDS), rng.choice((1, 2, 4, 8), BIDS).astype(np.int64))
    market = Market(180_000, 150_000, 1_600_000, 1_600_000, 2_000, may_move=True)
    return timed(lambda: PRICING["uniform"](bids, market), 30) | {"bids": BIDS}


def _bandwidth() -> float:
    """Bytes read and written a second by a copy of 256 MB, in GB."""
    source = np.ones(1 << 25)
    target = np.empty_like(source)
    best = min(seconds_of(lambda: np.copyto(target, source)) for _ in range(5))
    return 2 * source.nbytes / best / 1e9
