"""Random histories of a small fleet: whatever tenants, the owner and the machines do, the promises hold in every round."""

from copy import deepcopy
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from builders import BID, S, job_of, lease_of, short_terms
from proofs import ROUND_CHECKS, the_view_is_untouched
from sublet.core.ids import JobId, LeaseId, TenantId
from sublet.core.invariants import check_leases, check_now
from sublet.core.lease import HELD, Cause, LeaseClass, State
from sublet.core.owner import JobState
from sublet.core.terms import Breaking, Pool, Promise
from sublet.core.view import Quota
from world import ROUND_US, Purse, Work, World, gpus

TENANTS = [TenantId(name) for name in ("acme", "beta", "cyan")]
WORKS = st.builds(
    Work,
    life_us=st.integers(1, 400).map(lambda s: s * S),
    exit_code=st.sampled_from([0, 0, 1, 85]),
    heeds=st.booleans(),
)


class History(RuleBasedStateMachine):
    """The default contracts: spot and guarded, uniform price, no limits."""

    pool: Pool = short_terms()
    limits: tuple[int | None, ...] = (None, None, 20_000_000)
    quotas: tuple[Quota | None, ...] = (None, Quota(2), Quota(1, 3))
    breaks_nodes = False
    forces = False

    @initialize(sizes=st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=5), peak=st.integers(0, 4))
    def open(self, sizes: list[int], peak: int) -> None:
        self.world = World(self.pool, tuple(sizes), peak=peak)
        for name, limit, quota in zip(TENANTS, self.limits, self.quotas, strict=True):
            self.world.purses[name] = Purse(limit)
            if quota is not None:
                self.world.quotas[name] = quota
        self.number = 0
        self.excused: set[JobId] = set()  # nodes broke, or the contracts stood in the way, while they waited

    def _name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"

    @rule(
        tenant=st.sampled_from(TENANTS),
        nodes=st.integers(1, 2),
        each=st.sampled_from([1, 1, 2, 4]),
        lease_class=st.sampled_from(LeaseClass),
        whole=st.booleans(),
        bid=st.integers(50_000, BID),
        restartable=st.booleans(),
        work=WORKS,
    )
    def request(
        self, tenant: TenantId, nodes: int, each: int, lease_class: LeaseClass, whole: bool, bid: int, restartable: bool, work: Work
    ) -> None:
        terms = self.pool.terms[lease_class]
        lease = lease_of(
            self._name("l"),
            tenant=tenant,
            gpus=nodes * each,
            nodes=nodes,
            lease_class=lease_class,
            whole_nodes=whole,
            bid_micro=bid,
            restartable=restartable,
            grace_us=terms.grace_us,
            term_us=terms.terms_us[0] if terms.terms_us else None,
        )
        self.world.request(lease, work)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        may = [x.id for x in self.world.leases.values() if x.state not in {State.STOPPING, State.HANDOVER, State.ENDED}]
        if may:
            self.world.release(data.draw(st.sampled_from(may)))

    @rule(nodes=st.integers(1, 2), each=st.sampled_from([1, 2, 3, 4, 8]), work=WORKS, forced=st.booleans())
    def submit(self, nodes: int, each: int, work: Work, forced: bool) -> None:
        self.world.submit(job_of(self._name("j"), nodes * each, nodes, forced=forced and self.forces), work)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.world.jobs:
            self.world.cancel(data.draw(st.sampled_from(sorted(self.world.jobs))))

    @rule(data=st.data())
    def checkpoint(self, data: st.DataObject) -> None:
        active = [x.id for x in self.world.leases.values() if x.state is State.ACTIVE]
        if active:
            name = data.draw(st.sampled_from(active))
            self.world.leases[name] = replace(self.world.leases[name], checkpoint_us=self.world.now)

    @precondition(lambda self: self.breaks_nodes)
    @rule(data=st.data(), down=st.booleans())
    def break_or_mend(self, data: st.DataObject, down: bool) -> None:
        self.world.set_down(data.draw(st.integers(0, len(self.world.sizes) - 1)), down=down)
        self.excused |= {x.id for x in self.world.jobs.values() if x.state in {JobState.WAITING, JobState.STARTING}}

    @rule(tenant=st.sampled_from(TENANTS))
    def raise_the_spend_limit(self, tenant: TenantId) -> None:
        purse = self.world.purses[tenant]
        purse.limit = None if purse.limit is None else purse.limit + 500_000

    @rule(rounds=st.integers(1, 12))
    def let_time_pass(self, rounds: int) -> None:
        for _ in range(rounds):
            self._round()

    def _round(self) -> None:
        world = self.world
        world.advance()
        view, plan = world.decide()
        copy = deepcopy(view)
        again = world.decide()[1]
        assert plan == again, "the same view and instant give the same plan"
        the_view_is_untouched(view, copy)
        for check in ROUND_CHECKS:
            check(view, plan)
        self.excused |= {job.id for alarm in plan.alarms for job in view.jobs if f" {job.id} " in alarm.reason}
        world.apply(plan)
        self._check_state()
        self._check_promises()

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

    def teardown(self) -> None:
        """No cycle without progress (volcano-sh/volcano#3729, kubernetes-sigs/kueue#14468, ROCm/spur#881): each attempt that
        a reclaim cut off had its exempt time, unless its own workload left sooner, and attempts stand ever further apart."""
        ends: dict[LeaseId, int] = {}
        for attempt in getattr(self, "world", World(self.pool, (1,))).ended:
            if attempt.cause is not Cause.RECLAIMED:
                continue
            assert attempt.granted_us is not None and attempt.stopped_us is not None and attempt.deadline_us is not None
            left_early = attempt.exit_code is not None or attempt.stopped_us < attempt.deadline_us
            exempt = self.pool.terms[attempt.lease_class].exempt_us
            assert left_early or attempt.stopped_us - attempt.granted_us >= exempt
            if attempt.id in ends:
                wait = min(self.pool.backoff_us * 2 ** (attempt.reclaims - 1), self.pool.backoff_max_us)
                assert attempt.granted_us - ends[attempt.id] >= wait
            ends[attempt.id] = attempt.stopped_us


class LimitedHistory(History):
    """A safety limit, a lending limit, a fixed price, block leases and force; promised are two GPUs only."""

    pool = short_terms(
        classes=tuple(LeaseClass),
        reclaim_limit=3,
        lending_limit=6,
        pricing="fixed",
        price_micro=900_000,
        promise=Promise(within_us=120 * S, gpus=2),
    )
    forces = True


class BrokenHistory(History):
    """Nodes break and come back."""

    breaks_nodes = True


class FrugalHistory(History):
    """Every tenant has little to spend, and a reserve is held back."""

    pool = short_terms(reserve_min=1, smoothing_bps=0, hold_us=60 * S)
    limits = (200_000, 100_000, 50_000)


_SETTINGS = settings(
    max_examples=60, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestHistory = History.TestCase
TestLimitedHistory = LimitedHistory.TestCase
TestBrokenHistory = BrokenHistory.TestCase
TestFrugalHistory = FrugalHistory.TestCase
TestHistory.settings = TestLimitedHistory.settings = TestBrokenHistory.settings = TestFrugalHistory.settings = _SETTINGS
