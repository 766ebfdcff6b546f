"""Random histories of a small fleet: whatever tenants, the owner and the machines do, the promises hold in every round."""

import itertools
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
from builders import BID, S, job_of, lease_of, short_terms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kept import Kept
from proofs import ROUND_CHECKS, the_view_is_untouched
from world import ROUND_US, Purse, Work, World

from sublet.core.ids import JobId, LeaseId, TenantId
from sublet.core.invariants import check_leases, check_now
from sublet.core.lease import Cause, LeaseClass, State
from sublet.core.owner import JobState
from sublet.core.plan import Plan
from sublet.core.rest import rests_until_us
from sublet.core.round import decide
from sublet.core.site import Site
from sublet.core.terms import CostSheet, Pool, Promise
from sublet.core.view import Quota, View


@dataclass(frozen=True)
class Setting:
    """What a family of histories has in common."""

    pool: Pool
    limits: tuple[int | None, ...] = (None, None, 20_000_000)
    quotas: tuple[Quota | None, ...] = (None, Quota(2), Quota(1, 3))
    breaks_nodes: bool = False
    forces: bool = False
    site: Site | None = None


TENANTS = [TenantId(name) for name in ("acme", "beta", "cyan")]
LIVES = st.sampled_from([3, 20, 60, 150, 600]).map(lambda s: s * S)
WORKS = st.builds(Work, life_us=LIVES, exit_code=st.sampled_from([0, 0, 1, 85]), heeds=st.booleans())
PICK = st.integers(0, 999)
EVENTS = {
    "request": st.fixed_dictionaries(
        {
            "tenant": st.sampled_from(TENANTS),
            "nodes": st.sampled_from([1, 1, 1, 2]),
            "each": st.sampled_from([1, 1, 2, 4]),
            "kind": st.sampled_from([0, 0, 0, 1, 1, 2, 3]),
            "whole": st.sampled_from([False, False, False, True]),
            "bid_micro": st.sampled_from([50_000, 300_000, 900_000, 1_500_000, BID, BID]),
            "restartable": st.sampled_from([True, True, False]),
            "work": WORKS,
        }
    ),
    "submit": st.fixed_dictionaries(
        {
            "nodes": st.sampled_from([1, 1, 1, 2]),
            "each": st.sampled_from([1, 2, 3, 4, 8]),
            "work": WORKS,
            "forced": st.booleans(),
        }
    ),
    "release": st.fixed_dictionaries({"pick": PICK}),
    "cancel": st.fixed_dictionaries({"pick": PICK}),
    "checkpoint": st.fixed_dictionaries({"pick": PICK}),
    "break_or_mend": st.fixed_dictionaries({"pick": PICK, "down": st.booleans()}),
    "raise_a_limit": st.fixed_dictionaries({"tenant": st.sampled_from(TENANTS)}),
}
WEIGHTS = [*["request"] * 8, *["submit"] * 4, "release", "cancel", "checkpoint", "break_or_mend", "raise_a_limit"]
SCRIPTS = st.lists(
    st.tuples(
        st.sampled_from(WEIGHTS).flatmap(lambda name: st.tuples(st.just(name), EVENTS[name])), st.sampled_from([0, 0, 1, 3, 9])
    ),
    min_size=15,
    max_size=50,
)
SIZES = st.lists(st.sampled_from([1, 2, 4, 4, 8]), min_size=1, max_size=5)


class History:
    """A world and the script of what people do in it; after each event some rounds pass, and each of them is checked."""

    def __init__(self, setting: Setting, sizes: list[int], peak: int) -> None:
        self.setting, self.pool = setting, setting.pool
        self.world = World(setting.pool, tuple(sizes), peak=peak, site=setting.site)
        for name, limit, quota in zip(TENANTS, setting.limits, setting.quotas, strict=True):
            self.world.purses[name] = Purse(limit)
            if quota is not None:
                self.world.quotas[name] = quota
        self.number = 0
        self.kept = Kept(setting.pool, tuple(sizes))
        self.excused: set[JobId] = set()  # nodes broke, or the contracts stood in the way, while they waited

    def play(self, script: Sequence[tuple[tuple[str, dict[str, Any]], int]]) -> None:
        for (event, details), rounds in script:
            getattr(self, event)(**details)
            for _ in range(rounds):
                self.round()
        for _ in range(40):
            self.round()
        self.check_progress()

    def _name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"

    def request(self, *, kind: int, nodes: int, each: int, work: Work, whole: bool, **wishes: Any) -> None:
        lease_class = self.pool.classes[min(kind, len(self.pool.classes) - 1)]
        terms = self.pool.terms[lease_class]
        each = self.world.sizes[self.number % len(self.world.sizes)] if whole else each
        length = terms.terms_us[0] if terms.terms_us else None
        fixed = {"gpus": nodes * each, "nodes": nodes, "lease_class": lease_class, "whole_nodes": whole, "term_us": length}
        self.world.request(lease_of(self._name("l"), **fixed, **wishes, grace_us=terms.grace_us), work)

    def release(self, pick: int) -> None:
        over = {State.STOPPING, State.HANDOVER, State.ENDED}
        if may := [x.id for x in self.world.leases.values() if x.state not in over]:
            self.world.release(may[pick % len(may)])

    def submit(self, *, nodes: int, each: int, work: Work, forced: bool) -> None:
        self.world.submit(job_of(self._name("j"), nodes * each, nodes, forced=forced and self.setting.forces), work)

    def cancel(self, pick: int) -> None:
        if self.world.jobs:
            self.world.cancel(list(self.world.jobs)[pick % len(self.world.jobs)])

    def checkpoint(self, pick: int) -> None:
        if active := [x for x in self.world.leases.values() if x.state is State.ACTIVE]:
            lease = active[pick % len(active)]
            self.world.leases[lease.id] = replace(lease, checkpoint_us=self.world.now)

    def break_or_mend(self, pick: int, *, down: bool) -> None:
        if self.setting.breaks_nodes:
            self.world.set_down(pick % len(self.world.sizes), down=down)
            self.excused |= {x.id for x in self.world.jobs.values() if x.state in {JobState.WAITING, JobState.STARTING}}

    def raise_a_limit(self, tenant: TenantId) -> None:
        purse = self.world.purses[tenant]
        purse.limit = None if purse.limit is None else purse.limit + 100_000

    def round(self) -> None:
        world = self.world
        world.advance()
        view, plan = world.decide()
        copy = replace(view, fleet=deepcopy(view.fleet))
        again = world.decide()[1]
        assert plan == again, "the same view and instant give the same plan"
        the_view_is_untouched(view, copy)
        assert self.kept.decided(view, world.now) == plan, "a view that is kept current decides what one that is read anew does"
        self._check_rest(view, plan)
        for check in ROUND_CHECKS:
            check(view, plan)
        self.excused |= {job.id for alarm in plan.alarms for job in view.jobs if f" {job.id} " in alarm.reason}
        world.apply(plan)
        self._check_state()
        self._check_promises()

    def _check_rest(self, view: View, plan: Plan) -> None:
        """What may rest has nothing to decide before it is to be looked at again."""
        if not replace(plan, alarms=()).empty:
            return
        until = rests_until_us(view.pools[0], view.standing(self.pool.id), now_us=self.world.now)
        last = min(until, self.world.now + 3600 * S) - 1
        for at in {self.world.now + 1, (self.world.now + last) // 2, last}:
            if self.world.now < at < until:
                assert replace(decide(view, now=at), at_us=plan.at_us) == plan, f"{until - self.world.now} µs were to be slept"

    def _check_state(self) -> None:
        """No more is sold than there is, the contracts are kept, and no tenant owes more than its limit."""
        view = self.world.view()
        assert check_now(view.fleet, view.leases, view.jobs) == []
        assert check_leases(self.world.leases.values()) == []
        for purse in self.world.purses.values():
            assert purse.limit is None or purse.spent + sum(purse.held.values()) <= purse.limit

    def _check_promises(self) -> None:
        """Reclaim that never says when is no promise: from the moment a job could have run had nothing been leased, it runs
        within the time that was promised, and a job that still waits is not past it."""
        for job in self.world.jobs.values():
            if job.entitled_us is None or job.id in self.excused:
                continue
            waits = job.state in {JobState.WAITING, JobState.STARTING}
            if waits or (job.state is JobState.RUNNING and job.started_us is not None):
                until = self.world.now - ROUND_US if waits else job.started_us
                assert (until or 0) - job.entitled_us <= self.pool.promise.within_us, f"{job}"

    def check_progress(self) -> None:
        """No cycle without progress (volcano-sh/volcano#3729, kubernetes-sigs/kueue#14468, ROCm/spur#881): each attempt that
        a reclaim cut off had its exempt time, unless its own workload left sooner, and attempts stand as far apart as their
        losses call for."""
        ends: dict[LeaseId, tuple[int, int, int]] = {}  # when the last attempt stopped, what it had saved, how long it ran
        for attempt in self.world.ended:
            if attempt.cause is not Cause.RECLAIMED:
                continue
            assert attempt.granted_us is not None and attempt.stopped_us is not None and attempt.deadline_us is not None
            left_early = attempt.exit_code is not None or attempt.stopped_us < attempt.deadline_us
            exempt = self.pool.terms[attempt.lease_class].exempt_us
            assert left_early or attempt.stopped_us - attempt.granted_us >= exempt
            if attempt.id in ends:
                doubled = min(self.pool.backoff_us * 2 ** (attempt.reclaims - 1), self.pool.backoff_max_us)
                stopped, saved, ran = ends[attempt.id]
                longest = min(doubled, max(self.pool.backoff_us, 12 * (ran - saved + self.pool.restart_us)))
                assert attempt.granted_us - stopped >= (self.pool.backoff_us if saved >= longest else longest)
            started = attempt.started_us or attempt.stopped_us
            safe = attempt.stopped_us if attempt.exit_code == 85 else attempt.checkpoint_us or 0
            ends[attempt.id] = attempt.stopped_us, max(0, safe - started), attempt.stopped_us - started


_SETTINGS = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@_SETTINGS
@given(script=SCRIPTS, sizes=SIZES, peak=st.integers(0, 3))
def test_the_owner_is_served_in_time_and_no_tenant_is_wronged(script: Any, sizes: list[int], peak: int) -> None:
    """Spot and guarded leases at a uniform price, one tenant without limits, one with a quota, one with both."""
    History(Setting(short_terms()), sizes, peak).play(script)


@pytest.mark.no_cover
@_SETTINGS
@given(script=SCRIPTS, sizes=SIZES)
def test_limits_and_force_hold_over_any_history(script: Any, sizes: list[int]) -> None:
    """A safety limit, a lending limit, a posted price, all classes and force; two GPUs are promised."""
    pool = short_terms(
        classes=tuple(LeaseClass),
        reclaim_limit=3,
        lending_limit=6,
        pricing="fixed",
        price_micro=900_000,
        promise=Promise(within_us=120 * S, gpus=2),
    )
    History(Setting(pool, forces=True), sizes, 0).play(script)


@pytest.mark.no_cover
@_SETTINGS
@given(script=SCRIPTS, sizes=SIZES)
def test_nodes_that_break_and_come_back_confuse_nobody(script: Any, sizes: list[int]) -> None:
    History(Setting(short_terms(), breaks_nodes=True), sizes, 0).play(script)


@_SETTINGS
@given(script=SCRIPTS, sizes=SIZES)
def test_small_purses_are_never_overspent(script: Any, sizes: list[int]) -> None:
    """Tenants run out of money, are paused and go on; a reserve is held back and the price moves at once."""
    pool = short_terms(reserve_min=1, smoothing_bps=0, hold_us=60 * S)
    History(Setting(pool, limits=(90_000, 60_000, 30_000)), sizes, 1).play(script)


@pytest.mark.no_cover
@_SETTINGS
@given(script=SCRIPTS, sizes=SIZES)
def test_schedules_and_budgets_hold_over_any_history(script: Any, sizes: list[int]) -> None:
    """A site that sheds a GPU and a half a minute, and tenants that may be evicted twice: some are told later, none is wronged.

    What one history lends comes back in time if the site can give it back; larger leases may have to go one by one.
    """
    pool = short_terms(cost=CostSheet(busy_w=1_000, idle_w=0, pue_permille=1_000, wear_micro=0), evictions_per_tenant=2)
    pool = replace(pool, promise=Promise(within_us=400 * S))
    history = History(Setting(pool, site=Site("local", ramp_kw_per_min=2, save_gb_s=20)), sizes, 0)
    history.play(script)


def test_a_tenant_is_not_lent_and_evicted_for_ever() -> None:
    """An owner who wants the node back whenever a tenant has it (djinnos/djinn#2909, ROCm/spur#881): every attempt has its
    exempt time, and attempts come ever more seldom, down to one in the longest back-off."""
    history = History(Setting(short_terms()), [2], 0)
    world = history.world
    world.request(lease_of("l", gpus=2, grace_us=20 * S), Work(life_us=10**6 * S))
    granted: list[int] = []
    for _ in range(400):
        lease = world.leases[LeaseId("l")]
        if lease.granted_us not in {None, *granted}:
            granted.append(lease.granted_us or 0)
            history.submit(nodes=1, each=2, work=Work(life_us=20 * S), forced=False)
        history.round()
    history.check_progress()
    gaps = [later - sooner for sooner, later in itertools.pairwise(granted)]
    assert all(attempt.stopped_us - attempt.granted_us >= 24 * S for attempt in world.ended)  # type: ignore[operator]
    assert len(granted) > 6
    assert [gap >= wait * S for gap, wait in zip(gaps, [20, 40, 80, 100, 100, 100], strict=False)] == [True] * 6
