"""A round on a made-up pool that touches every kernel, so that none is compiled while somebody waits.

Kernels are compiled at their first use and kept on disk; right after an install that takes longer than an owner's job may wait.
"""

import numpy as np

from sublet.core import finishing
from sublet.core.finance import paths
from sublet.core.finance.scenario import Generation, PricePath, Scenario, SoldClass
from sublet.core.finance.tables import months_of
from sublet.core.fleet import Placement
from sublet.core.forecast import FORECASTS, History, Series
from sublet.core.ids import JobId, LeaseId, NodeId, PoolId, TenantId
from sublet.core.lease import Access, Lease, LeaseClass, State
from sublet.core.owner import OwnerJob
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.site import Site
from sublet.core.standing import Standing
from sublet.core.terms import CostSheet, Pool
from sublet.core.units import HOUR_US, SECOND_US
from sublet.core.values import changed
from sublet.core.view import KeptView, PoolView, TenantView

READY_SOON = "getting ready to decide; the first time on a machine this takes some 20 s"

_NOW = 1_000 * HOUR_US
_NODES = 8
_TENANT = TenantId("rehearsal")


def rehearse() -> tuple[Plan, Plan]:
    """The plans of two rounds: one serves the owner, one holds the market."""
    pool = Pool(PoolId("rehearsal"), "GPU", classes=(LeaseClass.SPOT, LeaseClass.GUARDED))
    demand = Series(pool.id, History(_NOW - HOUR_US * np.arange(99, -1, -1), np.arange(100) % 3), 2 * _NODES)
    ahead = FORECASTS[pool.forecast].learn({pool.id: demand}, HOUR_US, _NOW).at(demand, np.array([_NOW])).row(0)
    view = PoolView(pool, pool.price_micro, 0, 0, {})
    horizons = {term for terms in pool.terms.values() for term in terms.terms_us} | {pool.hold_us, view.lead_us}
    view = PoolView(pool, pool.price_micro, 0, 0, dict.fromkeys(horizons, ahead))
    tenants = {_TENANT: TenantView(_TENANT, headroom_micro=10**12)}
    _accounts()
    _audited()
    owner, market = _standing(pool), _standing(pool)
    for number, nodes in enumerate((1, 1, 1, 2)):
        owner.put_job(_job(pool, number, nodes))
    market.put_lease(_lease(pool, 20, State.REQUESTED))
    bounded = changed(view, site=Site(pool.site, ramp_kw_per_min=2, save_gb_s=200))
    serves = decide(KeptView((bounded,), (owner,), tenants), now=_NOW)
    lends = decide(KeptView((view,), (market,), tenants), now=_NOW)
    return serves, lends


def _accounts() -> None:
    """One path of the owner's accounts, which the API draws too."""
    fleet = (Generation("GPU", 8, 10**10, 0, 12, 0, CostSheet()),)
    sold = (SoldClass("spot", LeaseClass.SPOT, 1, 100_000, 700_000),)
    scenario = Scenario(2, fleet, sold, PricePath(2_000_000))
    drawn = paths.draw(np.random.default_rng(0), scenario, 1)
    paths.books(months_of(scenario), paths.markets(scenario, drawn), np.zeros(2, np.int64))


def _audited() -> None:
    """One job that may be taken back, as audits over the API play them."""
    habit = np.array([finishing.Habit().row], np.int64)
    finishing.finish(np.full(1, HOUR_US), np.ones(1, np.int64), habit, finishing.steady(0.1), runs=1, seed=0)


def _standing(pool: Pool) -> Standing:
    """Leases on all nodes but two, and requests that wait."""
    standing = Standing(pool, tuple(NodeId(f"n{i}") for i in range(_NODES)), np.full(_NODES, 3, np.uint64))
    for number in range(_NODES - 2):
        standing.put_lease(_lease(pool, number, State.ACTIVE, ((NodeId(f"n{number}"), 3),)))
    for number in range(10, 13):
        standing.put_lease(_lease(pool, number, State.QUEUED))
    return standing


def _job(pool: Pool, number: int, nodes: int) -> OwnerJob:
    return OwnerJob(JobId(f"j{number}"), pool.id, "", 2 * nodes, nodes, _NOW - SECOND_US, _NOW - SECOND_US)


def _lease(pool: Pool, number: int, state: State, placement: Placement = ()) -> Lease:
    guarded = number % 3 == 0
    since = _NOW - HOUR_US
    runs = {
        "price_micro": pool.price_micro,
        "attempt": 1,
        "granted_us": since,
        "started_us": since,
        "ends_us": _NOW + SECOND_US if guarded else None,
    }
    return Lease(
        id=LeaseId(f"l{number}"),
        tenant=_TENANT,
        pool=pool.id,
        name="",
        lease_class=LeaseClass.GUARDED if guarded else LeaseClass.SPOT,
        access=Access.BATCH,
        gpus=2,
        nodes=1,
        bid_micro=3_000_000,
        grace_us=SECOND_US,
        requested_us=since,
        since_us=since,
        state=state,
        term_us=HOUR_US if guarded else None,
        placement=placement,
        **(runs if placement else {}),  # type: ignore[arg-type]
    )
