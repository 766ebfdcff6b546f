"""The figures of a policy over one pool or several: what was leased, what it cost the owner, and what it brought."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.forecast import History
from sublet.core.forecast.scoring import interval
from sublet.core.forecast.series import Series, window_peaks
from sublet.core.ids import PoolId
from sublet.core.units import HOUR_US, MICRO, SECOND_US
from sublet.sim.outcome import Outcome

Ints = npt.NDArray[np.int64]
DAY_H = 24


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one length that were offered under a guarantee, and what became of them. 95 % interval, days resampled."""

    hours: float
    offered: int
    reclaimed: float
    low: float
    high: float
    gpu_h: float


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the owner's jobs waited because of leasing, from when each could have run. Seconds."""

    jobs: int
    waited: int  # those that waited at all
    mean_s: float
    p50_s: float
    p99_s: float
    max_s: float
    promise_s: float
    broken: int  # those that waited longer than was promised
    earlier: int = 0  # those that started by more than that earlier than they would have


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy. GPU-hours, shares of 1, money in whole units of the currency; `fleet_gpu_h` is capacity x time."""

    policy: str
    fleet_gpu_h: float
    owner_gpu_h: float
    leased_gpu_h: float
    idle_gpu_h: float
    reserve_gpu_h: float
    handover_gpu_h: float
    conserved: bool
    captured: Mapping[int, float]  # leased / what could have been leased in one piece of so many hours; 0: all idle time
    leases: int
    reclaims: int
    reclaims_per_gpu_day: float  # of leased time
    broken_guarantees: float  # share of the guaranteed leases that ended by a reclaim
    lost_gpu_h: float
    lost_share: float  # of the leased time
    windows: tuple[Windows, ...]
    delays: Delays
    later: Delays | None  # the same jobs compared with their start in the replay in which nothing is leased
    unstarted: int
    alarms: Mapping[str, int]
    revenue: float
    refunds: float
    credits: float
    cost: float
    net: float
    net_per_gpu_h: float  # of the fleet

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def figures_of(
    outcomes: Sequence[Outcome],
    *,
    bounds_us: Mapping[int, int],
    rng: np.random.Generator,
    alone: Sequence[Outcome] | None = None,
) -> Figures:
    """The figures of one policy over these pools.

    `bounds_us`: what could have been leased in pieces of so many hours, in GPU-µs; under 0 all that was idle. `rng` draws the
    intervals. `alone`: the same pools with nothing leased.
    """
    fleet_us = sum(one.capacity * one.lasted_us for one in outcomes)
    states = {state: sum(one.states_us[state] for one in outcomes) for state in outcomes[0].states_us}
    tallies = [tally for one in outcomes for tally in one.by_class.values()]
    leased_us, reclaims = states["leased"], sum(tally.reclaimed for tally in tallies)
    guaranteed = [tally for tally in tallies if tally.guaranteed]
    revenue, refunds, credited = (
        sum(getattr(tally, name) for tally in tallies) for name in ("revenue_micro", "refunded_micro", "credited_micro")
    )
    cost = sum(one.cost_micro for one in outcomes)
    net = revenue - refunds - credited - cost
    return Figures(
        policy=outcomes[0].policy,
        fleet_gpu_h=fleet_us / HOUR_US,
        owner_gpu_h=states["owner"] / HOUR_US,
        leased_gpu_h=leased_us / HOUR_US,
        idle_gpu_h=states["idle"] / HOUR_US,
        reserve_gpu_h=states["reserve"] / HOUR_US,
        handover_gpu_h=states["handover"] / HOUR_US,
        conserved=all(one.conserved for one in outcomes),
        captured={hours: _share(leased_us, bound) for hours, bound in bounds_us.items()},
        leases=sum(tally.granted for tally in tallies),
        reclaims=reclaims,
        reclaims_per_gpu_day=_share(reclaims * DAY_H * HOUR_US, leased_us),
        broken_guarantees=_share(sum(t.reclaimed for t in guaranteed), sum(t.ended for t in guaranteed)),
        lost_gpu_h=sum(tally.lost_us for tally in tallies) / HOUR_US,
        lost_share=_share(sum(tally.lost_us for tally in tallies), leased_us),
        windows=windows_of(outcomes, rng),
        delays=delays_of(outcomes),
        later=None if alone is None else later_than(outcomes, alone),
        unstarted=sum(one.unstarted for one in outcomes),
        alarms=_added([one.alarms for one in outcomes]),
        revenue=revenue / MICRO,
        refunds=refunds / MICRO,
        credits=credited / MICRO,
        cost=cost / MICRO,
        net=net / MICRO,
        net_per_gpu_h=_share(net / MICRO * HOUR_US, fleet_us),
    )


def delays_of(outcomes: Sequence[Outcome]) -> Delays:
    """The delays of all owner jobs over these pools, each from its entitlement."""
    return _delays([(one.delays_us, one.promise_us) for one in outcomes])


def later_than(outcomes: Sequence[Outcome], alone: Sequence[Outcome]) -> Delays:
    """How much later jobs started than with nothing leased; for some it is less than 0.

    A short delay of one job may let another slip in before a third, and where small jobs lie decides when a gang fits: so this
    is not what leasing did to that very job, but all that came of it.
    """
    found = []
    for one, base in zip(outcomes, alone, strict=True):
        both = (one.starts_us >= one.from_us) & (base.starts_us >= one.from_us)
        found.append(((one.starts_us - base.starts_us)[both], one.promise_us))
    return _delays(found)


def _delays(by_pool: Sequence[tuple[Ints, int]]) -> Delays:
    delays = np.concatenate([delays for delays, _ in by_pool])
    some = delays if len(delays) else np.zeros(1, np.int64)
    p50, p99 = np.quantile(some, [0.5, 0.99], method="higher") / SECOND_US
    return Delays(
        jobs=len(delays),
        waited=int((delays > 0).sum()),
        mean_s=float(some.mean()) / SECOND_US,
        p50_s=float(p50),
        p99_s=float(p99),
        max_s=float(some.max()) / SECOND_US,
        promise_s=max(promise for _, promise in by_pool) / SECOND_US,
        broken=sum(int((delays > promise).sum()) for delays, promise in by_pool),
        earlier=sum(int((delays < -promise).sum()) for delays, promise in by_pool),
    )


def windows_of(outcomes: Sequence[Outcome], rng: np.random.Generator) -> tuple[Windows, ...]:
    """What became of the windows that were offered each hour, by their length; only those that were over at the end count."""
    lengths = sorted({int(length) for one in outcomes for length in np.unique(one.offers[:, 1])})
    return tuple(_windows(outcomes, length, rng) for length in lengths)


def _windows(outcomes: Sequence[Outcome], length_us: int, rng: np.random.Generator) -> Windows:
    starts, offered, broken, gpu_h = [], [], [], 0.0
    for one in outcomes:
        mine = one.offers[(one.offers[:, 1] == length_us) & (one.offers[:, 0] + length_us <= one.until_us)]
        instants, gpus = mine[:, 0], mine[:, 2]
        history = History(*steps_of(one.demand))
        peak = window_peaks(Series(PoolId(one.pool), history, one.capacity), instants, length_us)
        starts.append(instants)
        offered.append(gpus > 0)
        broken.append((gpus > 0) & (peak > one.capacity - gpus))
        gpu_h += float(gpus.sum())
    at = np.concatenate(starts)
    hours, place = np.unique(at, return_inverse=True)
    hits = np.bincount(place, np.concatenate(broken), len(hours)).astype(np.int64)
    of = np.bincount(place, np.concatenate(offered), len(hours)).astype(np.int64)
    block = max(DAY_H, length_us // HOUR_US)
    low, high = interval(hits, of, block=block, rng=rng)
    return Windows(length_us / HOUR_US, int(of.sum()), _share(hits.sum(), of.sum()), low, high, gpu_h)


def steps_of(demand: Ints) -> tuple[Ints, Ints]:
    """(at_us, gpus) with one value an instant, the last one noted."""
    at, gpus = demand[:, 0], demand[:, 1]
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.zeros(0, np.bool_)
    return at[last], gpus[last]


def _added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {kind: sum(one.get(kind, 0) for one in counts) for kind in sorted({kind for one in counts for kind in one})}


def _share(part: float, whole: float) -> float:
    """0 of nothing is 0."""
    return float(part) / float(whole) if whole else 0.0
