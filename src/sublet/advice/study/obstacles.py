"""Why a pool leases nothing, or one class of lease nothing, although GPUs are idle: what is in the way, and what to change."""

from collections.abc import Iterator
from dataclasses import dataclass

from sublet.advice.study.assumptions import Market
from sublet.advice.study.layout import PoolLayout
from sublet.advice.study.result import Study
from sublet.advice.study.words import length
from sublet.core.lease import LeaseClass
from sublet.core.terms import Pool, worst_handback_us
from sublet.core.units import SECOND_US
from sublet.sim.policies import OURS

NOTICE = {LeaseClass.SPOT: "terms.spot_notice", LeaseClass.GUARDED: "terms.guarded_notice"}
"""The key of `market.toml` that sets the notice of a class."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`total`: nothing at all was leased in these pools."""

    pools: tuple[str, ...]
    says: str
    hint: str
    total: bool


def obstacles(study: Study) -> tuple[Obstacle, ...]:
    """What stands in the way, pools with the same trouble named together."""
    found: dict[tuple[str, str, bool], list[str]] = {}
    for i, layout in enumerate(study.question.layouts):
        leased = study.by_pool[OURS][layout.pool].leased_gpu_h > 0
        if not study.idle[i].idle_us:
            continue
        for says, hint in _in_the_way(study, layout, study.pools[i], leased=leased):
            found.setdefault((says, hint, not leased), []).append(layout.pool)
    return tuple(Obstacle(tuple(pools), says, hint, total) for (says, hint, total), pools in found.items())


def _in_the_way(study: Study, layout: PoolLayout, pool: Pool, *, leased: bool) -> Iterator[tuple[str, str]]:
    asked = _asked_for(layout, study.question.market)
    if not asked:
        yield _nobody(layout, study.question.market)
        return
    late = [(name, takes) for name in sorted(asked) if (takes := _too_late_us(pool, name)) is not None]
    yield from (_late(pool, name, takes) for name, takes in late)
    if leased or len(late) == len(asked):
        return
    if pool.reserve_min >= layout.capacity:
        says = f"the reserve is {pool.reserve_min:,} GPUs, and the pool has {layout.capacity:,}: nothing is ever lendable"
        yield says, "lower reserve.min in the file of --price"
        return
    says = (
        "no lease was granted, although GPUs were idle: the reserve kept them, the owner's demand rose again before the next "
        "market round, or none was idle in a piece that a tenant asked for"
    )
    yield says, "lower reserve.quantile or reserve.min, or add tenants with fewer GPUs to the file of --price"


def _asked_for(layout: PoolLayout, market: Market) -> set[LeaseClass]:
    """The classes that somebody asks for in this pool."""
    if len(layout.spot.jobs):
        return {LeaseClass.SPOT}
    return {LeaseClass(one.lease_class) for one in market.tenants if one.gpus <= max(layout.sizes)}


def _nobody(layout: PoolLayout, market: Market) -> tuple[str, str]:
    if not market.tenants:
        return (
            "nobody asks for a lease: the market has no tenants",
            "add [[tenants]] to the file of --price, or leave it out",
        )
    least, largest = min(one.gpus for one in market.tenants), max(layout.sizes)
    says = f"nobody asks for what there is: a node has {largest} GPUs at most, and every tenant wants {least} or more on a node"
    return says, f"add a tenant with gpus = {largest} or fewer to the file of --price"


def _too_late_us(pool: Pool, name: LeaseClass) -> int | None:
    """How long a hand-back of this class takes at the longest, if that is longer than the promise."""
    terms = pool.terms[name]
    takes = worst_handback_us(pool, terms, terms.grace_us)
    assert takes is not None, f"{name} leases end without force"
    return takes if takes > pool.promise.within_us else None


def _late(pool: Pool, name: LeaseClass, takes_us: int) -> tuple[str, str]:
    notice, within = pool.terms[name].grace_us, pool.promise.within_us
    rest = takes_us - notice
    says = (
        f"no {name} lease may be granted: with a notice of {length(notice / SECOND_US)} its GPUs are back after "
        f"{length(takes_us / SECOND_US)} at the latest, and the owner is promised {length(within / SECOND_US)}"
    )
    longer = f'terms.promise to "{-(-takes_us // SECOND_US)}s" or more'
    if within <= rest:
        return says, f"set {longer} in the file of --price: even without a notice a hand-back takes {length(rest / SECOND_US)}"
    return says, f'set {NOTICE[name]} to "{(within - rest) // SECOND_US}s" or less, or {longer}, in the file of --price'
