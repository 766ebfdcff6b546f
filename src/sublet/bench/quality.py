"""Placement by our score beside fragmentation gradient descent, best fit and chance: a week of the same requests (`churn`)."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.bench.churn import (
    BY_CHANCE,
    BY_LOSS,
    DEAR,
    FREE,
    GANGS,
    IN_POD,
    IN_RACK,
    OURS,
    RACK_HELD,
    SAMPLES,
    STRANDED,
    UNTOUCHED_NODES,
    UNUSABLE,
    Stream,
    Way,
    play,
    stream_of,
)
from sublet.bench.fleet import NODE_GPUS, NODES_A_POOL, empty_pool
from sublet.bench.progress import Progress
from sublet.core.ids import PoolId
from sublet.core.kernels.fragments import fragments
from sublet.core.packing import EXPECTED, STRANGE, bins_of
from sublet.core.placement import Room
from sublet.core.terms import Pool

Ints = npt.NDArray[np.int64]
Found = Mapping[str, Sequence[Mapping[str, float]]]

SEEDS = tuple(range(5))
LOAD = 0.95
_GANGS = ((2, 0.08), (4, 0.06), (8, 0.05), (16, 0.01))
"""Of the requests for whole nodes, this share is for so many of them."""
MIXES: Mapping[str, Mapping[int, float]] = {
    "as_gfs": {1: 0.35, 2: 0.1, 4: 0.05, 8: 0.5},
    "mostly_small": {1: 0.8, 2: 0.1, 4: 0.05, 8: 0.05},
    "even": {1: 0.25, 2: 0.25, 4: 0.25, 8: 0.25},
    "twos_and_threes": {2: 0.5, 3: 0.3, 8: 0.2},
    "odd": {1: 0.1, 2: 0.1, 3: 0.2, 5: 0.2, 6: 0.1, 8: 0.3},
}
"""How many GPUs of a node requests ask for, and how often. The first is the mix with which GFS (ASPLOS'26) runs FGD's score."""
OURS_NAME, FGD, BEST_FIT, RANDOM = "ours", "fgd", "best_fit", "random"
_WIDTH = NODE_GPUS + 1


def quality(seeds: Sequence[int] = SEEDS, progress: Progress = lambda _what, _share: None) -> dict[str, Any]:
    """For each mix of requests what each score makes of it, means over the seeds, and ours less FGD's seed by seed."""
    found: dict[str, Any] = {}
    for i, (name, mix) in enumerate(MIXES.items()):
        played: dict[str, list[dict[str, float]]] = {}
        for j, seed in enumerate(seeds):
            progress(f"a week of {name}, seed {seed}", (i + j / len(seeds)) / len(MIXES))
            stream = stream_of(_kinds(mix), NODES_A_POOL, LOAD, seed)
            for score, figures in _week(stream, mix).items():
                played.setdefault(score, []).append(figures)
        found[name] = _judged(played)
    stranded = sum(one["stranded"] for mix in found.values() for one in mix["scores"].values())
    first = found[next(iter(MIXES))]
    return {
        "nodes": NODES_A_POOL,
        "load": LOAD,
        "seeds": list(seeds),
        **found,
        "stranded": stranded,
        "met": stranded == 0 and first["unusable_percent_ours_less_fgd"]["mean"] <= 0,
    }


def _kinds(mix: Mapping[int, float]) -> list[tuple[int, int, float]]:
    single = 1 - sum(share for _, share in _GANGS)
    kinds = [(gpus, 1, share * (single if gpus == NODE_GPUS else 1)) for gpus, share in mix.items()]
    return kinds + [(NODE_GPUS, nodes, share * mix[NODE_GPUS]) for nodes, share in _GANGS]


def _week(stream: Stream, mix: Mapping[int, float]) -> dict[str, dict[str, float]]:
    """The figures of each score."""
    useless = _useless(mix)
    growth = useless[np.maximum(0, np.subtract.outer(-np.arange(_WIDTH), -np.arange(_WIDTH)))] - useless
    published = -np.floor(100 / (1 + np.exp(growth / 1_000))).astype(np.int64)  # FGD's score, in whole hundredths
    fullest = np.tile(np.arange(_WIDTH, dtype=np.int64), (_WIDTH, 1))
    ways = {OURS_NAME: (OURS, fullest), FGD: (BY_LOSS, published), BEST_FIT: (BY_LOSS, fullest), RANDOM: (BY_CHANCE, fullest)}
    known = np.array([EXPECTED.get(gpus, 0) for gpus in range(65)], np.int64)
    found = {}
    for name, (how, loss) in ways.items():
        standing = empty_pool(Pool(PoolId("pool"), "H100"), NODES_A_POOL)
        bins = bins_of(Room(standing.nodes, standing.slots, standing.free), standing)
        figures, waited = play(bins, stream, Way(how, loss, STRANGE, known, useless))
        found[name] = _told(figures, waited, stream)
    return found


def _useless(mix: Mapping[int, float]) -> Ints:
    """int64[g]: milli-GPU of so many free ones that the next request finds of no use, by FGD's own measure."""
    classes = np.array([(0, 1_000, gpus) for gpus in mix], np.int64)
    nodes = [np.array([1_000] * free + [0] * (NODE_GPUS - free), np.int64) for free in range(_WIDTH)]
    return np.array([round(fragments(0, node, classes, np.array(list(mix.values())))) for node in nodes], np.int64)


def _told(figures: npt.NDArray[np.float64], waited: npt.NDArray[np.float64], stream: Stream) -> dict[str, float]:
    samples, gangs = figures[SAMPLES], figures[GANGS]
    told = {
        "unusable_percent": figures[UNUSABLE] / figures[FREE] / 10,
        "free_percent": 100 * figures[FREE] / samples / (NODES_A_POOL * NODE_GPUS),
        "untouched_nodes": figures[UNTOUCHED_NODES] / samples,
        "minutes_waited": float(waited.mean()),
        "gang_minutes_waited": float(waited[stream.nodes[stream.kind] > 1].mean()),
        "gangs_in_one_rack_percent": 100 * figures[IN_RACK] / gangs,
        "gangs_in_one_pod_percent": 100 * figures[IN_POD] / gangs,
        "in_one_rack_where_one_held_it_percent": 100 * figures[IN_RACK] / max(1.0, figures[RACK_HELD]),
        "reclaim_of_half": figures[DEAR] / samples,
        "stranded": figures[STRANDED],
    }
    return {name: float(figure) for name, figure in told.items()}


def _judged(played: Found) -> dict[str, Any]:
    """Means, and the paired difference: what chance deals to both falls out."""
    means = {name: {key: round(fmean(one[key] for one in runs), 3) for key in runs[0]} for name, runs in played.items()}
    pairs = zip(played[OURS_NAME], played[FGD], strict=True)
    less = [ours["unusable_percent"] - fgd["unusable_percent"] for ours, fgd in pairs]
    spread = stdev(less) if len(less) > 1 else math.nan
    difference = {
        "mean": round(fmean(less), 3),
        "standard_error": round(spread / math.sqrt(len(less)), 3),
        "seeds_better": sum(one < 0 for one in less),
        "seeds_worse": sum(one > 0 for one in less),
    }
    return {"scores": means, "unusable_percent_ours_less_fgd": difference}
