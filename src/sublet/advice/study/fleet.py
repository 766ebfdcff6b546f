"""The fleet and its pools in a report: how large, how idle, and what somebody who knew the future could have leased of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sublet.advice.study.bands import Bands, bands_of
from sublet.advice.study.curves import Curve, curve_of
from sublet.advice.study.result import Study, bounds_of
from sublet.core.lease import LeaseClass
from sublet.core.pricing.floor import floor
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US, MICRO
from sublet.sim.outcome import Outcome
from sublet.sim.policies import OURS


@dataclass(frozen=True, slots=True)
class Bound:
    """What could have been leased in pieces of `hours` without a single reclaim; 0 hours: all that was idle.

    `share` is of the fleet's known time. `net` is what it would bring over the period at the posted price, costs taken off, in
    whole units of the currency.
    """

    hours: int
    gpu_h: float
    share: float
    net: float


@dataclass(frozen=True, slots=True)
class PoolPart:
    """One pool. `price` and `cost` are for a GPU-hour, in whole units of the currency.

    `jobs` are the owner's that are replayed, `spot_jobs` those that the trace itself marks as giving way.
    """

    pool: str
    gpu_model: str | None
    gpus: int
    nodes: int
    node_gpus: int  # of the largest node
    jobs: int
    spot_jobs: int
    price: float
    cost: float
    peak_gpus: int
    known_gpu_h: float
    bounds: tuple[Bound, ...]
    curve: Curve
    bands: Bands | None

    @property
    def idle_share(self) -> float:
        """Of the known time."""
        return self.bounds[0].share


@dataclass(frozen=True, slots=True)
class FleetPart:
    """All pools together."""

    gpus: int
    known_gpu_h: float
    unknown_h: float  # hours inside gaps of the log
    bounds: tuple[Bound, ...]
    curve: Curve

    @property
    def idle_share(self) -> float:
        """Of the known time."""
        return self.bounds[0].share

    def bound(self, hours: int) -> Bound:
        """The bound for pieces of so many hours."""
        return next(bound for bound in self.bounds if bound.hours == hours)


def fleet_part(study: Study) -> FleetPart:
    """All pools."""
    every = range(len(study.idle))
    return FleetPart(
        gpus=study.question.capacity,
        known_gpu_h=study.known_us / HOUR_US,
        unknown_h=study.idle[0].unknown_us / HOUR_US,
        bounds=_bounds(study, every),
        curve=curve_of(study.question, study.idle, study.outcomes[OURS]),
    )


def pool_parts(study: Study) -> tuple[PoolPart, ...]:
    """Each pool on its own, in the order of the question."""
    return tuple(_pool_part(study, i, outcome) for i, outcome in enumerate(study.outcomes[OURS]))


def _pool_part(study: Study, i: int, outcome: Outcome) -> PoolPart:
    layout, pool, idle = study.question.layouts[i], study.pools[i], study.idle[i]
    terms = pool.terms[LeaseClass.GUARDED].terms_us
    return PoolPart(
        pool=layout.pool,
        gpu_model=layout.gpu_model,
        gpus=layout.capacity,
        nodes=len(layout.nodes),
        node_gpus=max(layout.sizes),
        jobs=len(layout.jobs),
        spot_jobs=len(layout.spot.jobs),
        price=pool.price_micro / MICRO,
        cost=floor(pool.cost).total_micro / MICRO,
        peak_gpus=idle.peak,
        known_gpu_h=idle.known_us / HOUR_US,
        bounds=_bounds(study, [i]),
        curve=curve_of(study.question, [idle], [outcome]),
        bands=bands_of(study.question, study.outlook.get(pool.id), outcome, terms),
    )


def _bounds(study: Study, which: Sequence[int]) -> tuple[Bound, ...]:
    idle, pools = [study.idle[i] for i in which], [study.pools[i] for i in which]
    known_us = sum(one.known_us for one in idle)
    found = []
    for hours, gpu_us in bounds_of(idle).items():
        parts = [bounds_of([one])[hours] for one in idle]
        net = sum(part * margin_micro(pool) for part, pool in zip(parts, pools, strict=True)) / HOUR_US / MICRO
        found.append(Bound(hours, gpu_us / HOUR_US, gpu_us / known_us if known_us else 0.0, net))
    return tuple(found)


def margin_micro(pool: Pool) -> int:
    """What a leased GPU-hour brings at the posted price beyond its cost; a price below the floor is lifted to it."""
    cost = floor(pool.cost).total_micro
    return max(pool.price_micro, cost) - cost
