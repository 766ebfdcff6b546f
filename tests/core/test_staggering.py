"""A reclaim that a site cannot bear at once becomes a schedule, and no more is lent than the site gives back in time."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from builders import POOL, T0, S, job_of, lease_of, pool_of, running, view_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core import lifecycle
from sublet.core.ids import LeaseId, PoolId
from sublet.core.kernels import ramp
from sublet.core.lease import Cause, Lease, State
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.site import Site, shed_w
from sublet.core.staggering import ramp_gpus, ramp_limit
from sublet.core.standing import Standing
from sublet.core.terms import CostSheet, Promise
from sublet.core.view import KeptView, View

NOW = T0 + 600 * S
MINUTE = 60 * S
SLOTS = 60
KW = CostSheet(busy_w=1_000, idle_w=0, pue_permille=1_000)
"""One GPU that stops sheds a kilowatt."""


@dataclass(frozen=True)
class Asked:
    """A lease that has to end."""

    earliest_us: int
    grace_us: int
    saves_mb_s: int
    sheds_w: int


ASKED = st.lists(
    st.builds(
        Asked,
        earliest_us=st.integers(0, 40 * 64).map(lambda ticks: ticks * S // 64),
        grace_us=st.sampled_from([0, S, 7 * S, 20 * S, 20 * S + S // 2, 45 * S]),
        saves_mb_s=st.integers(0, 9),
        sheds_w=st.integers(0, 9),
    ).map(lambda one: replace(one, earliest_us=max(one.earliest_us, one.grace_us))),
    max_size=14,
)
BOUNDS = st.tuples(st.sampled_from([-1, 4, 9, 20]), st.sampled_from([-1, 4, 9, 20]))
GIVEN = st.lists(st.integers(0, 6), min_size=SLOTS, max_size=SLOTS)


def staggered(asked: list[Asked], most: tuple[int, int], given_: tuple[list[int], list[int]]) -> list[tuple[int, int]]:
    """(notice, deadline) of each, by the kernel."""
    columns = [np.array([getattr(one, name) for one in asked], np.int64) for name in Asked.__dataclass_fields__]
    saving, falling = (np.array(slots, np.int64) for slots in given_)
    notices, deadlines = ramp.stagger(*columns, most, saving, falling)  # type: ignore[call-arg, arg-type]
    return list(zip(notices.tolist(), deadlines.tolist(), strict=True))


def twin(asked: list[Asked], most: tuple[int, int], given_: tuple[list[int], list[int]]) -> list[tuple[int, int]]:
    """The same, second by second: every whole second is tried, and everything is counted from the start each time."""
    counted = [dict(enumerate(slots)) for slots in given_]
    found = []
    for one in asked:
        told = 0
        while not _fits(one, told, most, counted):
            told += S
        ends = max(told + one.grace_us, one.earliest_us)
        for slots, slot, what in _uses(one, told, counted):
            slots[slot] = slots.get(slot, 0) + what
        found.append((told, ends))
    return found


def _uses(one: Asked, told: int, counted: list[dict[int, int]]) -> list[tuple[dict[int, int], int, int]]:
    ends = max(told + one.grace_us, one.earliest_us)
    saving = [(counted[0], slot, one.saves_mb_s) for slot in range(told // S, -(-(told + one.grace_us) // S))]
    return saving + [(counted[1], slot, one.sheds_w) for slot in range(ends // S, -(-(ends + MINUTE) // S))]


def _fits(one: Asked, told: int, most: tuple[int, int], counted: list[dict[int, int]]) -> bool:
    for slots, slot, what in _uses(one, told, counted):
        bound, there = most[0] if slots is counted[0] else most[1], slots.get(slot, 0)
        if what and there and bound >= 0 and there + what > bound:
            return False
    return True


@settings(deadline=None, derandomize=True, max_examples=300)
@given(asked=ASKED, most=BOUNDS, saving=GIVEN, falling=GIVEN)
def test_each_is_told_in_the_first_second_in_which_it_fits(
    asked: list[Asked], most: tuple[int, int], saving: list[int], falling: list[int]
) -> None:
    """The kernel skips ahead and grows its slots; its twin tries every second."""
    assert staggered(asked, most, (saving, falling)) == twin(asked, most, (saving, falling))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(asked=ASKED, most=st.tuples(st.integers(9, 30), st.integers(9, 30)))
def test_no_second_saves_and_no_minute_sheds_more_than_the_site_bears(asked: list[Asked], most: tuple[int, int]) -> None:
    """Wherever a minute begins; and no deadline is before the earliest, nor before the notice has run."""
    found = staggered(asked, most, ([0], [0]))
    for (told, ends), one in zip(found, asked, strict=True):
        assert ends == max(told + one.grace_us, one.earliest_us)
        saved = sum(x.saves_mb_s for (t, _), x in zip(found, asked, strict=True) if t <= told < t + x.grace_us)
        shed = sum(x.sheds_w for (_, e), x in zip(found, asked, strict=True) if ends <= e < ends + MINUTE)
        assert saved <= most[0]
        assert shed <= most[1]


def site(**bounds: Any) -> Site:
    return Site("local", **bounds)


def house(leases: list[Lease], gpus: int, bounds: Site | None) -> View:
    """One node full of leases, and a job of the owner that wants some of its GPUs."""
    size = sum(lease.gpus for lease in leases)
    jobs = [job_of("j", gpus, entitled_us=NOW)] if gpus else []
    return view_of([size], leases, jobs, pool=pool_of(cost=KW), price_at_us=NOW, site=bounds)


def singles(many: int, **fields: object) -> list[Lease]:
    return [running(f"l{i}", (0, 1 << i), price_micro=1_000_000 + i, **fields) for i in range(many)]


def after(view: View, plan: Plan) -> View:
    """The view of the next round: what was told, dated and kept."""
    told, dated = {n.lease: n for n in plan.notices}, {n.lease: at for at, n in plan.dated}
    undated, kept = {u.lease for u in plan.undated}, {item.job: item.placement for item in plan.kept}
    leases = []
    for lease in view.leases:
        if lease.id in told:
            leases.append(lifecycle.noticed(lease, told[lease.id], at_us=plan.at_us))
        elif lease.id in dated or lease.id in undated:
            leases.append(lifecycle.dated(lease, dated.get(lease.id), reason="dated"))
        else:
            leases.append(lease)
    jobs = tuple(replace(job, placement=kept.get(job.id, job.placement)) for job in view.jobs)
    return replace(view, leases=tuple(leases), jobs=jobs)


def test_without_settings_everybody_is_told_at_once() -> None:
    plan = decide(house(singles(6), 6, None), now=NOW)
    assert len(plan.notices) == 6 and plan.dated == ()


def test_the_same_leases_end_with_a_ramp_as_without_only_later() -> None:
    free, bound = (decide(house(singles(6), 4, one), now=NOW) for one in (None, site(ramp_kw_per_min=2)))
    assert {n.lease for n in free.notices} == {n.lease for n in bound.notices} | {n.lease for _, n in bound.dated}
    assert sorted(bound.reclaims[0].deadlines_us) == [NOW + wait * S for wait in (120, 120, 180, 180)]
    assert sorted(bound.reclaims[0].notices_us) == [NOW, NOW, NOW + 60 * S, NOW + 60 * S]
    assert (free.reclaims[0].loss_micro, free.kept) == (bound.reclaims[0].loss_micro, bound.kept)


def test_checkpoints_share_the_bandwidth_of_the_site() -> None:
    """120 GB in 120 s is 1 GB/s for each: two at a time."""
    plan = decide(house(singles(5), 5, site(save_gb_s=2, state_gb=120)), now=NOW)
    assert sorted(plan.reclaims[0].notices_us) == [NOW, NOW, NOW + 120 * S, NOW + 120 * S, NOW + 240 * S]


def test_a_dated_lease_is_told_when_it_is_due_and_the_job_keeps_its_gpus() -> None:
    view = house(singles(4), 4, site(ramp_kw_per_min=2))
    plan = decide(view, now=NOW)
    view = after(view, plan)
    quiet = decide(view, now=NOW + 59 * S)
    assert (quiet.reclaims, quiet.notices, quiet.kept) == ((), (), ())
    told = decide(view, now=NOW + 60 * S)
    assert {n.lease for n in told.notices} == {n.lease for _, n in plan.dated}
    assert {(n.deadline_us, n.cause) for n in told.notices} == {(NOW + 180 * S, Cause.RECLAIMED)}


def test_a_dated_lease_goes_on_when_nobody_waits_for_its_gpus_any_more() -> None:
    view = house(singles(4), 4, site(ramp_kw_per_min=2))
    view = replace(after(view, decide(view, now=NOW)), jobs=())
    plan = decide(view, now=NOW + 60 * S)
    assert len(plan.undated) == 2 and plan.notices == ()
    standing = after(view, plan).standing(POOL)
    assert int(standing.coming[0]).bit_count() == 2, "only what was noticed still comes back"


def test_what_ends_already_counts() -> None:
    """Two leases that are noticed shed their load in the minute after their deadline: the next two have to wait for it."""
    ending = [
        replace(lease, state=State.NOTICED, since_us=NOW - 20 * S, deadline_us=NOW + 100 * S, noticed_us=NOW - 20 * S)
        for lease in singles(2)
    ]
    fresh = [replace(lease, id=LeaseId(f"m{i}")) for i, lease in enumerate(singles(4)[2:])]
    view = house([*ending, *fresh], 0, site(ramp_kw_per_min=2))
    plan = decide(replace(view, jobs=(job_of("j", 4, entitled_us=NOW),)), now=NOW)
    assert plan.reclaims[0].deadlines_us == (NOW + 160 * S,) * 2


def test_a_lease_larger_than_the_ramp_goes_alone() -> None:
    leases = [running("big", (0, 0b1111)), running("a", (0, 0b10000)), running("b", (0, 0b100000))]
    plan = decide(house(leases, 6, site(ramp_kw_per_min=2)), now=NOW)
    dates = dict(zip(plan.reclaims[0].leases, plan.reclaims[0].deadlines_us, strict=True))
    assert len(set(dates.values())) == 2 and dates[LeaseId("a")] == dates[LeaseId("b")] != dates[LeaseId("big")]


def test_two_pools_of_a_site_share_its_ramp_and_the_job_that_is_due_first_goes_first() -> None:
    """What comes later in the order of pools may be due earlier."""
    bounds, views = site(ramp_kw_per_min=2), []
    for name, entitled in (("a", NOW), ("b", NOW - 60 * S)):
        pool = pool_of(id=PoolId(name), cost=KW)
        leases = [replace(lease, id=LeaseId(f"{name}{lease.id}"), pool=pool.id) for lease in singles(2)]
        view = view_of([2], [], [], pool=pool_of(cost=KW))
        job = replace(job_of(f"j{name}", 2, entitled_us=entitled), pool=pool.id)
        fleet = replace(view.fleet, pools=(pool.id,))
        seen = replace(view.pools[0], pool=pool, site=bounds, price_at_us=NOW)
        made = replace(view, fleet=fleet, pools=(seen,), leases=tuple(leases), jobs=(job,))
        views.append((seen, made.standing(pool.id), view_of([1], leases).tenants))
    both = KeptView(tuple(v[0] for v in views), tuple(v[1] for v in views), views[0][2])
    plan = decide(both, now=NOW)
    first, second = sorted(plan.reclaims, key=lambda one: one.due_us)
    assert (first.pool, set(first.deadlines_us)) == (PoolId("b"), {NOW + 120 * S})
    assert (second.pool, set(second.deadlines_us)) == (PoolId("a"), {NOW + 180 * S})
    resting = KeptView((views[0][0],), (views[0][1],), views[0][2], (with_notice(views[1][1]),))
    assert set(decide(resting, now=NOW).reclaims[0].deadlines_us) == {NOW + 180 * S}, "pools that rest count, too"


def with_notice(standing: Standing) -> Standing:
    for lease in list(standing.leases.values()):
        told = replace(lease, state=State.NOTICED, since_us=NOW, noticed_us=NOW, deadline_us=NOW + 120 * S)
        standing.put_lease(told)
    return standing


def test_where_the_ramp_breaks_the_promise_the_ramp_wins_and_the_owner_is_told() -> None:
    pool = pool_of(cost=KW, promise=Promise(within_us=260 * S))
    view = view_of([6], singles(6), [job_of("j", 6, entitled_us=NOW)], pool=pool, site=site(ramp_kw_per_min=2))
    plan = decide(view, now=NOW)
    assert [alarm.kind for alarm in plan.alarms] == ["promise.at_risk"]
    assert "site local bears the reclaim for owner job j only in 240 s: 2 leases end after" in plan.alarms[0].reason
    assert sum(plan.reclaims[0].late) == 2


def test_no_more_is_lent_than_the_site_gives_back_in_time() -> None:
    """600 s less 85 s of bounds leave 515 s: with 120 s of notice there are seven minutes to shed 2 kW each."""
    pool = pool_of(cost=KW, classes=tuple(pool_of().classes[:1]), promise=Promise(within_us=600 * S))
    bounds = site(ramp_kw_per_min=2)
    assert ramp_gpus(bounds, pool) == 14
    queued = [lease_of(f"q{i}", state=State.QUEUED) for i in range(30)]
    plan = decide(view_of([8] * 4, queued, pool=pool, site=bounds, price_at_us=NOW), now=NOW)
    assert len(plan.grants) == 14
    assert len(decide(view_of([8] * 4, queued, pool=pool, price_at_us=NOW), now=NOW).grants) == 30
    half = replace(pool, promise=Promise(within_us=600 * S, gpus=16))
    assert len(decide(view_of([8] * 4, queued, pool=half, site=bounds, price_at_us=NOW), now=NOW).grants) == 30


def test_what_is_lent_up_to_the_limit_really_comes_back_in_time() -> None:
    pool = pool_of(cost=KW, classes=tuple(pool_of().classes[:1]))
    for bounds in (site(ramp_kw_per_min=2), site(save_gb_s=3, state_gb=60)):
        many = ramp_gpus(bounds, pool)
        assert many is not None and 0 < many <= 64
        view = view_of([many], singles(many), [job_of("j", many, entitled_us=NOW)], pool=pool, site=bounds)
        plan = decide(view, now=NOW + pool.detection_us)
        assert len(plan.reclaims[0]) == many and not any(plan.reclaims[0].late) and plan.alarms == ()


def test_pools_of_a_site_share_what_may_be_lent() -> None:
    pool = pool_of(cost=KW, classes=tuple(pool_of().classes[:1]))
    here = view_of([8] * 4, pool=pool).standing(POOL)
    there = view_of([8] * 4, [running("a", (0, 0b1111111))], pool=pool).standing(POOL)
    bounds = site(ramp_kw_per_min=2)
    assert ramp_limit(bounds, here, []) == 14
    assert ramp_limit(bounds, here, [(there, 7)]) == 7
    assert ramp_limit(bounds, here, [(there, 99)]) == 0
    assert ramp_limit(site(), here, [(there, 7)]) is None


@pytest.mark.parametrize(
    ("bounds", "within_s", "gpus"),
    [
        (Site("x"), 600, None),
        (Site("x", ramp_kw_per_min=3), 204, 0),
        (Site("x", ramp_kw_per_min=3), 205, 3),
        (Site("x", save_gb_s=10, state_gb=100), 205, 12),
        (Site("x", save_gb_s=10, state_gb=100), 85 + 360, 36),
        (Site("x", save_gb_s=10, state_gb=0), 205, None),
    ],
)
def test_what_a_site_gives_back_in_time(bounds: Site, within_s: int, gpus: int | None) -> None:
    pool = pool_of(cost=KW, classes=tuple(pool_of().classes[:1]), promise=Promise(within_us=within_s * S))
    assert ramp_gpus(bounds, pool) == gpus
    assert shed_w(pool) == 1_000
