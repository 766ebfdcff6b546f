"""What has to be exact is compared with its definition, on random cases: the bound, the account, and the bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sublet.app import apply
from sublet.app import decide as live
from sublet.core.bound import idle_of, leasable_curve
from sublet.core.forecast import History
from sublet.core.ids import NodeId, PoolId, TenantId
from sublet.core.lease import LeaseClass
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, SECOND_US
from sublet.sim import replay
from sublet.sim.figures import figures_of
from sublet.sim.generated import generated
from sublet.sim.outcome import Outcome, outcome_of
from sublet.sim.outlook import Blind
from sublet.sim.replay import Replay
from sublet.sim.scene import Scene, Wish

CASES = 2_000
REPLAYS = 12
_BEGIN_US = 416_000 * HOUR_US


def exactness(progress: Callable[[float], None]) -> dict[str, Any]:
    """The figures; each that is not exact names its first case."""
    wrong = _bound_cases(lambda share: progress(share / 2))
    outcomes = [_replayed(seed) for seed in range(REPLAYS)]
    again = [_replayed(seed) for seed in range(REPLAYS)]
    progress(1.0)
    return {
        "bound_cases": CASES,
        "bound_differs": wrong,
        "replays": REPLAYS,
        "gpu_us_conserved": all(one.conserved for one in outcomes),
        "leased_is_measured": all(
            sum(tally.leased_us for tally in one.by_class.values()) == one.states_us["leased"] for one in outcomes
        ),
        "same_seed_same_bytes": [_bytes(one) for one in outcomes] == [_bytes(one) for one in again],
        "one_code": all(vars(replay)[name] is vars(there)[name] for name, there in (("decide", live), ("lifecycle", apply))),
    }


def _bound_cases(progress: Callable[[float], None]) -> int:
    """How many of the random cases differ from the definition of the opening."""
    rng = np.random.default_rng(0)
    wrong = 0
    for case in range(CASES):
        lengths, gpus = rng.integers(1, 7, rng.integers(1, 13)), rng.integers(0, 7, 12)[:12]
        gpus = gpus[: len(lengths)]
        capacity, window = int(rng.integers(0, 7)), int(rng.integers(1, 25))
        end = int(lengths.sum())
        demand = History(np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64), gpus.astype(np.int64))
        idle = idle_of(demand, capacity, from_us=0, until_us=end)
        found = np.repeat(leasable_curve(idle, window), np.diff(idle.at_us)).tolist()
        wrong += found != by_definition(np.repeat(np.maximum(0, capacity - gpus), lengths).tolist(), window)
        if case % 100 == 0:
            progress(case / CASES)
    return wrong


def by_definition(idle: list[int], length: int) -> list[int]:
    """At each instant the largest minimum over the windows of `length` that contain it."""
    best = [0] * len(idle)
    for start in range(len(idle) - length + 1):
        least = min(idle[start : start + length])
        for at in range(start, start + length):
            best[at] = max(best[at], least)
    return best


def _replayed(seed: int) -> Outcome:
    jobs = generated(400, capacity=64, node_gpus=8, from_us=_BEGIN_US, days=4, load=0.6, seed=seed)
    wishes = tuple(Wish(TenantId("market"), LeaseClass.SPOT, gpus, 1, 9 * HOUR_US, 10**9) for gpus in (8, 2, 1))
    scene = Scene(
        pool=Pool(PoolId("p"), "GPU", pricing="fixed", reserve_min=seed % 5),
        nodes=tuple(NodeId(f"n{i}") for i in range(8)),
        sizes=(8,) * 8,
        jobs=jobs,
        from_us=_BEGIN_US,
        open_us=_BEGIN_US + 24 * HOUR_US,
        until_us=_BEGIN_US + 96 * HOUR_US,
        standing=wishes,
        market_us=60 * SECOND_US,
    )
    replay = Replay(scene, Blind())
    replay.run()
    return outcome_of("exactness", replay)


def _bytes(outcome: Outcome) -> str:
    return repr(figures_of([outcome], bounds_us={0: 1}, rng=np.random.default_rng(1)).document())
