"""`sublet bench core`, the part about moving blocks among like pools: what is gained, how near the best, how long it takes."""

from time import perf_counter
from typing import Any

import numpy as np

from sublet.core.blocks.rebalance import SECONDS, Shelves, greedy, rebalanced, weights

POOLS, SITES, WINDOWS = 100, 33, 24 * 14
LIMIT = 150
"""Nodes of each pool that may be blocks: a fifth of the 750 that a pool of 600,000 GPUs has."""
ASKED = 60
"""Orders for each pool; those are sold that fit."""
RISEN = (0.5, 48, 30)
"""The owners of half of the pools want 30 of those nodes in the next two days: their forecasts have risen since."""
WHOLE = (8, 12, 30.0)
"""Pools, orders for each and seconds of the case that is solved as a whole."""


def measure() -> dict[str, Any]:
    """All pools of one kind, in parts; the same pools at many sites; and a case that can be solved as a whole."""
    rng = np.random.default_rng(0)
    pools, asked, seconds = WHOLE
    rebalanced(_shelves(rng, 2, 4), seed=0)  # what is loaded at the first use is not measured
    fleet = _shelves(rng, POOLS, ASKED)
    sites = [fleet.part(some, fleet.home)[0] for some in np.array_split(np.arange(POOLS), SITES)]
    small = _shelves(rng, pools, asked)
    whole, took = _timed(small, part=pools, seconds=seconds)
    return {
        "pools": POOLS,
        "blocks": len(fleet),
        "one_kind": _found([fleet], seconds=SECONDS),
        "by_site": _found(sites, seconds=SECONDS / SITES),
        "whole": {
            "pools": pools,
            "blocks": len(small),
            "seconds": took,
            "gap_to_its_bound": round(1 - whole.bound / whole.cost, 4),
            "greedy_to_whole": round(small.cost(greedy(small)) / whole.cost, 4),
            "parts_to_whole": {
                str(part): round(_timed(small, part=part, seconds=5.0)[0].cost / whole.cost, 4) for part in (2, 4)
            },
        },
    }


def _shelves(rng: np.random.Generator, pools: int, asked: int) -> Shelves:
    """Blocks of an hour to three days on 1 to 64 nodes, each sold in whichever pool it was asked of, and what is left since."""
    left, rows = np.full((pools, WINDOWS), LIMIT, np.int64), []
    rest = left.copy()
    for home in np.repeat(np.arange(pools), asked).tolist():
        first, nodes = int(rng.integers(1, WINDOWS - 1)), int(rng.choice((1, 2, 4, 8, 16, 32, 64)))
        last = min(WINDOWS, first + int(rng.integers(1, 73)))
        if rest[home, first:last].min() >= nodes:
            rest[home, first:last] -= nodes
            rows.append((first, last, nodes, home))
    share, ahead, wanted = RISEN
    left[np.flatnonzero(rng.random(pools) < share), :ahead] -= wanted
    begins, ends, sizes, homes = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    sold = np.bincount(homes, sizes * (ends - begins), pools).astype(np.int64)
    return Shelves(left, weights(left, sold), begins, ends, sizes, homes, np.ones((len(rows), pools), np.bool_))


def _timed(one: Shelves, **how: Any) -> tuple[Any, float]:
    began = perf_counter()
    found = rebalanced(one, seed=1, **how)
    return found, round(perf_counter() - began, 2)


def _found(kinds: list[Shelves], *, seconds: float) -> dict[str, Any]:
    """What is gained over these kinds of pools; `whole` counts nodes that could be sold as blocks of 64 in all of two weeks."""
    found = [_timed(one, seconds=seconds) for one in kinds]
    quick = [greedy(one) for one in kinds]
    before = sum(one.cost(one.home) for one in kinds)
    return {
        "kinds": len(kinds),
        "parts": sum(one.parts for one, _ in found),
        "seconds": round(sum(took for _, took in found), 2),
        "slowest_kind_s": max(took for _, took in found),
        "cost_to_before": round(sum(one.cost for one, _ in found) / before, 4),
        "greedy_cost_to_before": round(sum(one.cost(at) for one, at in zip(kinds, quick, strict=True)) / before, 4),
        "node_windows_beyond": sum(one.beyond(one.home) for one in kinds),
        "node_windows_beyond_after": sum(one.beyond(best.at) for one, (best, _) in zip(kinds, found, strict=True)),
        "pools_of_64_nodes": sum(_large(one, one.home) for one in kinds),
        "pools_of_64_nodes_after": sum(_large(one, best.at) for one, (best, _) in zip(kinds, found, strict=True)),
        "blocks_moved": sum(int((best.at != one.home).sum()) for one, (best, _) in zip(kinds, found, strict=True)),
    }


def _large(one: Shelves, at: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    """In how many pools a block of 64 nodes could still be sold for three days that begin in three days."""
    return int((one.rest(at)[:, 72:144].min(axis=1) >= 64).sum())
