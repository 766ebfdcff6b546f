"""Rounds in which the owner wants GPUs: who starts, who is reclaimed for it, and whose GPUs are kept."""

from dataclasses import replace

from builders import POOL, T0, S, job_of, lease_of, place, pool_of, running, running_job, view_of

from sublet.core.ids import TenantId
from sublet.core.lease import Cause, Lease, LeaseClass, State
from sublet.core.owner import JobState, OwnerJob
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.topology import Within
from sublet.core.view import Quota, TenantView, View

NOW = T0 + 600 * S


def reclaimed(plan: Plan) -> dict[str, str | None]:
    return {notice.lease: notice.job for notice in plan.notices if notice.cause is Cause.RECLAIMED}


def after(view: View, plan: Plan) -> View:
    """The view of the next round: notices given, placements kept."""
    told = {notice.lease: notice for notice in plan.notices}
    kept = {item.job: item.placement for item in plan.kept}
    entitled = {item.job: item.at_us for item in plan.entitled}
    leases = [
        replace(x, state=State.NOTICED, noticed_us=plan.at_us, deadline_us=told[x.id].deadline_us, cause=told[x.id].cause)
        if x.id in told
        else x
        for x in view.leases
    ]
    jobs = [replace(x, placement=kept.get(x.id, x.placement), entitled_us=entitled.get(x.id, x.entitled_us)) for x in view.jobs]
    return replace(view, leases=tuple(leases), jobs=tuple(jobs))


def test_a_job_starts_at_once_where_gpus_are_free_and_nobody_is_reclaimed() -> None:
    plan = decide(view_of([4, 1], [running("a", (0, 0b11))], [job_of("j", 2)]), now=NOW)
    assert [(start.job, start.placement) for start in plan.job_starts] == [("j", place((0, 0b1100)))]
    assert reclaimed(plan) == {}
    assert [(item.job, item.at_us) for item in plan.entitled] == [("j", T0)]


def test_a_job_starts_where_it_would_have_started_had_nothing_been_leased() -> None:
    """On n1, which it fills, though leases have made n0 as full: else n0 is lost to gangs when the lease is gone."""
    plan = decide(view_of([4, 2], [running("a", (0, 0b11))], [job_of("j", 2)]), now=NOW)
    assert [start.placement for start in plan.job_starts] == [place((1, 0b11))]


def test_leases_keep_to_the_nodes_on_which_the_owner_has_least() -> None:
    """n0 is fuller, but with the owner's work: what is left there is for his next small job."""
    view = view_of([4, 4], [lease_of("q", gpus=1)], [running_job("r", (0, 0b111))], price_at_us=NOW)
    assert [grant.placement for grant in decide(view, now=NOW).grants] == [place((1, 0b1))]


def test_the_delay_counts_from_when_the_owner_s_own_work_made_way() -> None:
    plan = decide(view_of([2], [running("a", (0, 0b11))], [job_of("j", 2)], owner_freed_us=T0 + 90 * S), now=NOW)
    assert plan.entitled[0].at_us == T0 + 90 * S


def test_a_job_that_waits_for_the_owner_s_own_work_evicts_nobody() -> None:
    """Evicting what does not help (volcano-sh/volcano#4918)."""
    leases = [running("a", (0, 0b0001)), running("b", (1, 0b0001))]
    own = [running_job("r", (0, 0b0010)), running_job("s", (1, 0b0010))]
    plan = decide(view_of([2, 2], leases, [*own, job_of("j", 2)]), now=NOW)
    assert (reclaimed(plan), plan.entitled, plan.job_starts) == ({}, (), ())


def test_two_jobs_share_no_gpu_and_the_oldest_comes_first() -> None:
    leases = [running("a", (0, 0b0011)), running("b", (0, 0b1100), started_us=T0 - 9 * S)]
    plan = decide(view_of([4], leases, [job_of("first", 2), job_of("second", 2)]), now=NOW)
    assert reclaimed(plan) == {"a": "first", "b": "second"}
    assert {item.job: item.placement for item in plan.kept} == {"first": place((0, 0b0011)), "second": place((0, 0b1100))}
    assert plan.notices[0].reason.startswith("the owner's job first needs 2 GPUs; ending this lease in 120 s loses least")


def test_what_one_victim_gives_beyond_a_job_s_need_serves_the_next() -> None:
    plan = decide(view_of([4], [running("a", (0, 0b1111))], [job_of("first", 2), job_of("second", 2)]), now=NOW)
    assert reclaimed(plan) == {"a": "first"}
    assert len(plan.kept) == 2


def test_gpus_kept_for_a_job_stay_its_own_though_others_come_back_that_fit_better() -> None:
    """Plans that are not sticky let jobs wait and others be evicted for nothing (SchedMD/slurm PR 203). In the second round
    the three GPUs of n1 would fit the first job more tightly; taking them would cost a second wave for the third."""
    leases = [running("a", (0, 0b11111)), running("b", (1, 0b1111), price_micro=9_000_000), running("c", (2, 0b1))]
    jobs = [job_of("first", 2), job_of("second", 3), job_of("third", 4)]
    before = view_of([5, 4, 1], leases, jobs)
    plan = decide(before, now=NOW)
    assert reclaimed(plan) == {"a": "first", "b": "third"}
    again = decide(after(before, plan), now=NOW + 4 * S)
    assert (reclaimed(again), again.kept, again.alarms) == ({}, (), ())


def test_a_job_starts_elsewhere_when_that_is_sooner_and_what_was_kept_goes_back_to_the_market() -> None:
    view = view_of(
        [2, 2], [running("a", (0, 0b11), state=State.NOTICED, deadline_us=NOW + 60 * S), lease_of("q", state=State.QUEUED)]
    )
    waiting = job_of("j", 2, placement=place((0, 0b11)), entitled_us=T0)
    plan = decide(replace(view, jobs=(waiting,)), now=NOW)
    assert [start.placement for start in plan.job_starts] == [place((1, 0b11))]


def test_gpus_kept_on_a_node_that_breaks_are_sought_anew() -> None:
    leases = [running("a", (0, 0b11), state=State.NOTICED, deadline_us=NOW + 60 * S), running("b", (1, 0b11))]
    waiting = job_of("j", 2, placement=place((0, 0b11)), entitled_us=T0)
    assert reclaimed(decide(view_of([2, 2], leases, [waiting]), now=NOW)) == {}
    assert reclaimed(decide(view_of([2, 2], leases, [waiting], down=[0]), now=NOW)) == {"b": "j"}


def test_nobody_is_evicted_from_a_broken_node_whose_gpus_the_owner_cannot_use() -> None:
    cheap, dear = running("cheap", (0, 0b11)), running("dear", (1, 0b11), price_micro=5_000_000)
    assert reclaimed(decide(view_of([2, 2], [cheap, dear], [job_of("j", 2)]), now=NOW)) == {"cheap": "j"}
    assert reclaimed(decide(view_of([2, 2], [cheap, dear], [job_of("j", 2)], down=[0]), now=NOW)) == {"dear": "j"}


def test_a_job_is_entitled_only_beside_the_places_that_older_jobs_really_take() -> None:
    """The first job starts on n0's free GPU. The second would have fitted n0 had the first gone to n1, but it did not: it
    waits for the owner's own work, and no promise is broken on paper."""
    leases = [running("a", (0, 0b1110)), running("b", (1, 0b1110))]
    own = running_job("r", (1, 0b0001))
    plan = decide(view_of([4, 4], leases, [own, job_of("first"), job_of("second", 4)]), now=NOW)
    assert [start.placement for start in plan.job_starts] == [place((0, 0b0001))]
    assert (reclaimed(plan), plan.alarms) == ({}, ())
    assert [item.job for item in plan.entitled] == ["first"]


def test_without_force_a_block_stands_and_the_owner_is_told() -> None:
    pool = pool_of(classes=tuple(LeaseClass))
    block = running("block", (0, 0b11), lease_class=LeaseClass.BLOCK, term_us=600 * S)
    plan = decide(view_of([2], [block], [job_of("j", 2)], pool=pool), now=NOW)
    assert (reclaimed(plan), [alarm.kind for alarm in plan.alarms]) == ({}, ["promise.at_risk"])
    assert "force may" in plan.alarms[0].reason
    forced = decide(view_of([2], [block], [job_of("j", 2, forced=True)], pool=pool), now=NOW)
    assert reclaimed(forced) == {"block": "j"}
    assert "after the promised time" in forced.notices[0].reason


def test_a_second_job_is_not_entitled_to_what_stands_in_the_way_of_the_first() -> None:
    dedicated = running("d", (0, 0b11), lease_class=LeaseClass.DEDICATED)
    plan = decide(view_of([2], [dedicated], [job_of("first", 2), job_of("second", 2, forced=True)]), now=NOW)
    assert [item.job for item in plan.entitled] == ["first"]
    assert len(plan.alarms) == 1


def test_a_reclaim_over_the_safety_limit_is_refused_unless_forced() -> None:
    pool = pool_of(reclaim_limit=3)
    leases = [running("a", (0, 0b0011)), running("b", (0, 0b1100))]
    queued = lease_of("q", state=State.QUEUED)
    plan = decide(view_of([5], [*leases, queued], [job_of("j", 5)], pool=pool), now=NOW)
    assert (reclaimed(plan), [alarm.kind for alarm in plan.alarms]) == ({}, ["reclaim.over_limit"])
    assert plan.grants == (), "the free GPU is not lent while the owner waits: the reclaim must not grow"
    forced = decide(view_of([5], leases, [job_of("j", 5, forced=True)], pool=pool), now=NOW)
    assert set(reclaimed(forced)) == {"a", "b"}


def test_the_safety_limit_is_for_the_whole_plan() -> None:
    leases = [running("a", (0, 0b0011)), running("b", (0, 0b1100))]
    jobs = [job_of("first", 2), job_of("second", 2)]
    plan = decide(view_of([4], leases, jobs, pool=pool_of(reclaim_limit=3)), now=NOW)
    assert reclaimed(plan) == {"a": "first"}
    forced = [replace(jobs[0], forced=True), jobs[1]]
    assert set(reclaimed(decide(view_of([4], leases, forced, pool=pool_of(reclaim_limit=1)), now=NOW))) == {"a"}


def test_borrowers_go_before_those_within_their_quota() -> None:
    """Preemption that ignores fair shares (kubernetes-sigs/kueue#10131)."""
    tenants = [TenantView(lease_of().tenant, quotas={view_of([1]).pools[0].pool.id: Quota(2)})]
    leases = [running("old", (0, 0b0011)), running("new", (0, 0b1100), granted_us=T0 + S)]
    assert reclaimed(decide(view_of([4], leases, [job_of("j", 2)], tenants=tenants), now=NOW)) == {"new": "j"}


def test_a_hold_is_served_like_a_job() -> None:
    hold: OwnerJob = job_of("h", 2, is_hold=True)
    plan = decide(view_of([2], [running("a", (0, 0b11))], [hold]), now=NOW)
    assert reclaimed(plan) == {"a": "h"}


def test_what_the_owner_s_ending_jobs_give_back_is_waited_for() -> None:
    ending = replace(running_job("r", (0, 0b11)), state=JobState.STOPPING)
    view = view_of([2, 2], [running("a", (1, 0b11))], [ending, job_of("j", 2)])
    plan = decide(view, now=NOW)
    assert reclaimed(plan) == {}
    assert plan.kept[0].placement == place((0, 0b11))


def tenants_with(**evictions: int) -> list[TenantView]:
    """Tenants that were evicted so often from the pool."""
    return [TenantView(TenantId(name), evictions={POOL: many}) for name, many in evictions.items()]


def of_two(*, cheap: int = 4) -> list[Lease]:
    """Leases of one GPU each: so many of tenant a, whose ends lose less, and four of tenant b."""
    mine = [running(f"a{i}", (0, 1 << i), tenant="a", price_micro=1_000_000 + i) for i in range(cheap)]
    return [*mine, *(running(f"b{i}", (1, 1 << i), tenant="b", price_micro=2_000_000 + i) for i in range(4))]


def test_tenants_over_their_evictions_are_taken_last() -> None:
    """Anti-thrash (GFS, RSC): a has one eviction left, so the second comes from b; without a budget both would be a's."""
    jobs = [job_of("first"), job_of("second")]
    known = tenants_with(a=2, b=0)
    bounded = decide(view_of([4, 4], of_two(), jobs, pool=pool_of(evictions_per_tenant=3), tenants=known), now=NOW)
    assert reclaimed(bounded) == {"a0": "first", "b0": "second"}
    assert reclaimed(decide(view_of([4, 4], of_two(), jobs, tenants=known), now=NOW)) == {"a0": "first", "a1": "second"}


def test_within_one_reclaim_a_budget_is_not_passed_while_others_could_go() -> None:
    """One job on a node where both tenants are: a may lose one more lease, the cheapest of its own."""
    leases = [running(f"a{i}", (0, 1 << i), tenant="a", price_micro=1_000_000 + i) for i in range(4)]
    leases += [running(f"b{i}", (0, 16 << i), tenant="b", price_micro=2_000_000 + i) for i in range(4)]
    pool, known = pool_of(evictions_per_tenant=1), tenants_with(a=0, b=-9)
    plan = decide(view_of([8], leases, [job_of("j", 3)], pool=pool, tenants=known), now=NOW)
    assert set(reclaimed(plan)) == {"a0", "b0", "b1"}
    assert plan.reclaims[0].loss_micro > plan.reclaims[0].bound_micro, "the bound is what it would cost without budgets"


def test_a_budget_never_keeps_the_owner_waiting() -> None:
    pool, known = pool_of(evictions_per_tenant=0), tenants_with(a=5, b=5)
    plan = decide(view_of([4, 4], of_two(), [job_of("j", 8, nodes=2)], pool=pool, tenants=known), now=NOW)
    assert len(reclaimed(plan)) == 8
    assert len(plan.kept) == 1 and plan.alarms == ()


def test_a_reclaim_says_what_it_loses_and_what_no_choice_could_undercut() -> None:
    plan = decide(view_of([4, 4], of_two(), [job_of("j", 2)], owner_freed_us=NOW), now=NOW)
    (one,) = plan.reclaims
    assert (one.job, one.pool, one.gpus, len(one), one.late) == ("j", POOL, 2, 2, (False, False))
    assert one.loss_micro == one.bound_micro == sum(one.losses_micro) == sum(notice.loss_micro for notice in plan.notices)
    assert one.reason.startswith("2 leases end within 120 s for owner job j, which needs 2 GPUs; that loses ")


RACKS = (("p", "a"), ("p", "a"), ("p", "b"), ("p", "b"))


def in_racks(view: View) -> View:
    """The view with its four nodes in two racks."""
    return replace(view, fleet=replace(view.fleet, locations=RACKS))


def test_a_job_within_a_rack_ends_leases_in_one_rack_alone_and_keeps_its_nodes() -> None:
    """One lease on each node; anywhere, those on n0 and n2 would lose least. Once they are gone it starts there."""
    leases = [running(f"l{i}", (i, 0b1111), started_us=T0 + at * S) for i, at in enumerate((590, 100, 500, 400))]
    apart = decide(in_racks(view_of([4] * 4, leases, [job_of("j", 8, 2)])), now=NOW)
    assert set(reclaimed(apart)) == {"l0", "l2"}
    view = in_racks(view_of([4] * 4, leases, [job_of("j", 8, 2, within=Within.RACK)]))
    plan = decide(view, now=NOW)
    assert set(reclaimed(plan)) == {"l2", "l3"}
    assert [item.placement for item in plan.kept] == [place((2, 0b1111), (3, 0b1111))]
    second = after(view, plan)
    assert reclaimed(decide(second, now=NOW + S)) == {}, "every eviction serves the job it was made for"
    gone = replace(second, leases=second.leases[:2])
    freed = replace(gone, fleet=replace(in_racks(view_of([4] * 4, second.leases[:2])).fleet, locations=RACKS))
    assert [start.placement for start in decide(freed, now=NOW + S).job_starts] == [place((2, 0b1111), (3, 0b1111))]


def test_a_job_that_no_rack_could_hold_evicts_nobody_and_a_looser_one_behind_it_is_served() -> None:
    own = [running_job("r", (0, 0b1111)), running_job("s", (2, 0b1111))]
    leases = [running("a", (1, 0b1111)), running("b", (3, 0b1111))]
    near, far = job_of("near", 8, 2, within=Within.RACK), job_of("far", 8, 2)
    plan = decide(in_racks(view_of([4] * 4, leases, [near, far, *own])), now=NOW)
    assert reclaimed(plan) == {"a": "far", "b": "far"}
    alone = decide(in_racks(view_of([4] * 4, leases, [near, *own])), now=NOW)
    assert reclaimed(alone) == {} and alone.entitled == ()
