"""How many grants a second the hand-out makes: leases of one node, and gangs that are kept together.

An empty fleet is filled pool by pool through the kernel that hands out a round's winners, contracts and purses included. To
sort the nodes of a pool into bins and to measure its requests counts as well. What an engine or a database does is not in it.
"""

import math
import statistics
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sublet.bench.fleet import NODE_GPUS, NODES_A_POOL, empty_pool
from sublet.core.ids import PoolId
from sublet.core.kernels.grants import hand_out
from sublet.core.kernels.queue import FREE_TO_BID
from sublet.core.packing import bins_of, tastes_of
from sublet.core.placement import Room
from sublet.core.standing import Standing
from sublet.core.tables import NEVER, QUEUE_ROW
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US

Rows = npt.NDArray[Any]

SINGLES = (1, 2, 4, 8)
GANGS = (8, 16, 32, 64)
FILL = 0.9
SINGLES_A_SECOND, GANGS_A_SECOND = 1_000_000, 100_000
REPEATS = 5


class Filled(NamedTuple):
    """What one filling of the fleet took and gave."""

    seconds: float
    grants: int
    in_one_rack: int
    in_one_pod: int


def placements(gpus: int, nodes_a_pool: int = NODES_A_POOL) -> dict[str, Any]:
    """Grants a second for a fleet of so many GPUs in pools of so many nodes; the median of some repetitions."""
    pools = max(1, round(gpus / (nodes_a_pool * NODE_GPUS)))
    nodes = gpus // NODE_GPUS // pools
    standings = [empty_pool(Pool(PoolId(f"pool-{i:03d}"), "H100"), nodes) for i in range(pools)]
    rng = np.random.default_rng(0)
    asks = {
        "single": [_rows(nodes, SINGLES, (1,), rng) for _ in standings],
        "gang": [_rows(nodes, (8,), GANGS, rng) for _ in standings],
    }
    found: dict[str, Any] = {"gpus": nodes * pools * NODE_GPUS, "pools": pools}
    for name, rows in asks.items():
        _fill(standings[:1], rows[:1])  # what is compiled or read from the cache is not measured
        runs = [_fill(standings, rows) for _ in range(REPEATS)]
        seconds = [one.seconds / one.grants for one in runs]
        found[name] = {
            "grants": runs[0].grants,
            "a_second": round(1 / statistics.median(seconds)),
            "at_best": round(1 / min(seconds)),
        }
        if name == "gang":
            found[name]["in_one_rack_percent"] = round(100 * runs[0].in_one_rack / runs[0].grants, 1)
            found[name]["in_one_pod_percent"] = round(100 * runs[0].in_one_pod / runs[0].grants, 1)
    return found


def growth(found: list[dict[str, Any]]) -> dict[str, float]:
    """By which power of the fleet's size the time for a grant grows: 0 is not at all."""
    first, last = found[0], found[-1]
    grown = math.log(last["gpus"] / first["gpus"])
    return {name: round(math.log(first[name]["a_second"] / last[name]["a_second"]) / grown, 2) for name in ("single", "gang")}


def is_met(found: dict[str, Any]) -> bool:
    """Whether the aims are reached."""
    return bool(found["single"]["a_second"] >= SINGLES_A_SECOND and found["gang"]["a_second"] >= GANGS_A_SECOND)


def _rows(nodes: int, each: tuple[int, ...], wide: tuple[int, ...], rng: np.random.Generator) -> Rows:
    """Requests for `FILL` of a pool, as rows of its queue."""
    rows = np.zeros(nodes * NODE_GPUS, QUEUE_ROW)
    rows["used"], rows["nodes"] = True, rng.choice(wide, len(rows))
    rows["gpus"] = rows["nodes"] * rng.choice(each, len(rows))
    rows["bid_micro"], rows["window_us"] = 2_000_000, HOUR_US
    return rows[: int(np.searchsorted(np.cumsum(rows["gpus"]), FILL * nodes * NODE_GPUS, side="right"))]


def _fill(standings: list[Standing], asks: list[Rows]) -> Filled:
    """Hand out each pool's GPUs to those who ask."""
    began, done = perf_counter(), []
    for standing, rows in zip(standings, asks, strict=True):
        done.append(_hand_out(standing, rows))
    seconds = perf_counter() - began
    grants = near = near_by = 0
    for standing, rows, (code, nodes) in zip(standings, asks, done, strict=True):
        granted = rows["nodes"][code == FREE_TO_BID]
        parts = np.split(nodes, np.cumsum(granted)[:-1])
        grants += len(granted)
        near += sum(len(set(standing.topology.rack[part].tolist())) == 1 for part in parts)
        near_by += sum(len(set(standing.topology.pod[part].tolist())) == 1 for part in parts)
    return Filled(seconds, grants, near, near_by)


def _hand_out(standing: Standing, rows: Rows) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """(code, nodes) of the requests of one pool: one tenant, one product, no limits."""
    room = Room(standing.nodes, standing.slots, standing.free, standing.row_of, standing.topology)
    one, none = np.ones(1, np.int64), np.full(1, NEVER, np.int64)
    code, _, _, nodes, _ = hand_out(
        rows,
        0,
        (1_000_000, one, one),
        (none.copy(), np.zeros(1, np.int64), 0),
        (np.zeros(1, np.bool_), np.full(1, -1, np.int64), np.zeros(1, np.int64)),
        (none.copy(), np.zeros(1, np.int64)),
        bins_of(room, standing),
        tastes_of(standing),
        np.zeros((0, len(room.free)), np.uint64),
    )
    return code, nodes
