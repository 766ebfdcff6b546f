"""Rounds of the market: who is admitted, refused, paused, granted, and what those who wait are told."""

from typing import Any

import numpy as np
import pytest
from builders import FREE_OF_COST, POOL, T0, S, certain, job_of, lease_of, place, pool_of, running, view_of

from sublet.core.admit import refusal
from sublet.core.forecast import WindowMax
from sublet.core.lease import Cause, Event, Lease, LeaseClass, State
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.terms import Promise
from sublet.core.units import HOUR_US
from sublet.core.view import PoolView, Quota, TenantView

NOW = T0 + 3600 * S


def queued(name: str = "q", **fields: object) -> Lease:
    return lease_of(name, **{"state": State.QUEUED, "version": 2, **fields})


def acme(**fields: object) -> TenantView:
    return TenantView(lease_of().tenant, **fields)  # type: ignore[arg-type]


def waits(plan: Plan) -> dict[str, str]:
    return {wait.lease: wait.reason for wait in plan.waits}


def test_a_request_is_admitted_and_granted_in_one_round() -> None:
    plan = decide(view_of([4], [lease_of("q", gpus=2)], price_at_us=NOW), now=NOW)
    assert [(move.event, move.version) for move in plan.moves] == [(Event.ADMIT, 1)]
    (grant,) = plan.grants
    assert (grant.version, grant.placement, grant.price_micro) == (2, place((0, 0b11)), 1_000_000)
    assert (grant.exempt_until_us, grant.funded_until_us) == (NOW + 120 * S, NOW + 3600 * S)
    assert grant.reason == "1.0000 a GPU-hour (held until the price period ends), bid 3.0000"


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"lease_class": LeaseClass.BLOCK}, "lease.class", "does not offer block leases; it offers: spot, guarded"),
        ({"bid_micro": 9}, "lease.max_price", "below pool h100's floor; bid at least 0.0960"),
        ({"lease_class": LeaseClass.GUARDED}, "lease.hours", "sold for 1, 4, 8, 24 hours"),
        ({"grace_us": 121 * S}, "lease.notice", "a notice of 121 s is longer than spot leases get; ask for 120 s at most"),
        ({"gpus": 5}, "resources.accelerators", "does not have 1 nodes with at least 5 GPUs"),
        ({"whole_nodes": True}, "resources.accelerators", "does not have 1 whole nodes with exactly 1 GPUs"),
        ({"gpus": 4}, "resources.accelerators", "4 GPUs are more than the quota of 3"),
    ],
)
def test_what_can_never_be_granted_is_refused_with_the_field_and_the_way_out(
    fields: dict[str, object], field: str, said: str
) -> None:
    tenant = acme(quotas={POOL: Quota(1, 2)})
    plan = decide(view_of([4], [lease_of("q", **fields)], tenants=[tenant]), now=NOW)
    (move,) = plan.moves
    assert (move.event, move.cause) == (Event.REFUSE, Cause.REFUSED)
    assert move.reason.startswith(f"{field}: ") and said in move.reason


def test_a_sound_request_is_not_refused() -> None:
    seen = PoolView(pool_of(), 1_000_000, T0, 0, {})
    assert refusal(seen, acme(), lease_of(gpus=2), np.array([0b11], np.uint64)) is None


GUARD: dict[str, Any] = {"lease_class": LeaseClass.GUARDED, "term_us": HOUR_US}


@pytest.mark.parametrize(
    ("lease", "said"),
    [
        (queued(not_before_us=NOW + 60 * S, since_us=NOW), "waits 60 s after its reclaim (back-off)"),
        (queued(**GUARD), "0 GPUs can be spared for 1 h at the risk this class allows"),
        (queued(gpus=3), "holds 2 of a quota of 4 GPUs in pool h100; waits until some are free"),
        (queued(gpus=2, nodes=2), "not enough free GPUs together on one node for 2 x 1"),
        (queued(gpus=2, whole_nodes=True), "no free whole node for 1 x 2"),
        (queued(bid_micro=999_999), "the price is 1.0000, above its bid"),
    ],
)
def test_who_waits_is_told_why(lease: Lease, said: str) -> None:
    held = running("a", (0, 0b11))
    view = view_of([8], [held, lease], tenants=[acme(quotas={POOL: Quota(4, 0)})], price_at_us=NOW)
    assert waits(decide(view, now=NOW)) == {"q": said}


def test_numbers_alone_are_no_news_to_those_who_wait() -> None:
    """A price that moves with every round would otherwise be written to thousands of leases with every round."""
    known = queued(bid_micro=999_999, reason="the price is 1.3333, above its bid")
    assert waits(decide(view_of([8], [known], price_at_us=NOW), now=NOW)) == {}
    other = queued(bid_micro=999_999, reason="wants 4 GPUs, 2 are lendable now (owner 3, reserve 1)")
    assert waits(decide(view_of([8], [other], price_at_us=NOW), now=NOW)) == {"q": "the price is 1.0000, above its bid"}


def test_a_large_request_is_told_what_is_lendable() -> None:
    pool = pool_of(lending_limit=2, reserve_min=1)
    plan = decide(view_of([8], [queued(gpus=4)], [job_of("j", 3)], pool=pool, price_at_us=NOW), now=NOW)
    assert waits(plan) == {"q": "wants 4 GPUs, 2 are lendable now (owner 3, reserve 1)"}
    assert [item.gpus for item in plan.reserves] == [1]


def test_a_suspended_tenant_waits() -> None:
    plan = decide(view_of([4], [queued()], tenants=[acme(suspended=True)]), now=NOW)
    assert waits(plan) == {"q": "the tenant is suspended; ask the owner"}


def test_the_same_reason_is_said_once_however_long_the_wait() -> None:
    """A loop that writes the same again each round (kubernetes-sigs/kueue#14468)."""
    lease = queued(not_before_us=NOW + 60 * S, since_us=NOW)
    (wait,) = decide(view_of([4], [lease], price_at_us=NOW), now=NOW).waits
    later = queued(not_before_us=NOW + 60 * S, since_us=NOW, reason=wait.reason)
    assert decide(view_of([4], [later], price_at_us=NOW), now=NOW + 30 * S).empty


def test_a_quiet_world_gives_an_empty_plan() -> None:
    view = view_of([4], [running("a", (0, 1))], [], price_at_us=NOW)
    assert decide(view, now=NOW).empty


def test_losers_are_told_the_price_they_did_not_reach() -> None:
    rich, poor = queued("rich", gpus=4, bid_micro=2_000_000), queued("poor", gpus=4, bid_micro=1_500_000)
    plan = decide(view_of([4], [poor, rich], price_at_us=NOW), now=NOW)
    assert [grant.lease for grant in plan.grants] == ["rich"]
    assert waits(plan) == {"poor": "dearer bids took what was lendable at 1.0000"}


def test_winners_that_no_longer_fit_beside_each_other_wait() -> None:
    """Each fits alone; together they lack nodes, quota or risk."""
    first, second = queued("first", gpus=2, bid_micro=2_900_000), queued("second", gpus=3, bid_micro=2_800_000)
    plan = decide(view_of([3, 3], [first, queued("pair", gpus=4, nodes=2)], price_at_us=NOW), now=NOW)
    assert [grant.lease for grant in plan.grants] == ["pair"]
    assert waits(plan) == {"first": "other winners took the nodes it would have fitted"}
    limited = decide(view_of([8], [first, second], tenants=[acme(quotas={POOL: Quota(4, 0)})], price_at_us=NOW), now=NOW)
    assert waits(limited)["second"].startswith("holds 2 of a quota of 4")


def test_the_hand_back_promise_is_spent_lease_by_lease() -> None:
    pool = pool_of(classes=(LeaseClass.DEDICATED,), promise=Promise(gpus=2))
    leases = [queued(name, gpus=1, lease_class=LeaseClass.DEDICATED) for name in ("a", "b", "c")]
    plan = decide(view_of([4], leases, pool=pool, price_at_us=NOW), now=NOW)
    assert [grant.lease for grant in plan.grants] == ["a", "b"]
    assert waits(plan)["c"].startswith("the owner is promised 2 GPUs")


def test_a_guaranteed_lease_pays_for_its_risk_and_never_above_its_bid() -> None:
    mostly_calm = WindowMax(np.array([2, 2, 2, 4], np.int64))
    pool = pool_of(cost=FREE_OF_COST)
    view = view_of([4], [queued(gpus=1, **GUARD)], pool=pool, peaks={HOUR_US: mostly_calm}, price_at_us=NOW)
    (grant,) = decide(view, now=NOW).grants
    assert grant.price_micro == 1_333_333, "P(M > 3) = 1/4: a third more"
    poor = view_of([4], [queued(bid_micro=1_300_000, **GUARD)], pool=pool, peaks={HOUR_US: mostly_calm}, price_at_us=NOW)
    assert waits(decide(poor, now=NOW)) == {"q": "the price is 1.3333, above its bid"}


# spend limits


def test_a_start_that_the_spend_limit_does_not_cover_is_paused() -> None:
    plan = decide(view_of([4], [queued()], tenants=[acme(headroom_micro=1_000_000)], price_at_us=NOW), now=NOW)
    assert [(move.event, move.cause) for move in plan.moves] == [(Event.PAUSE, Cause.BUDGET)]
    assert plan.grants == ()


def test_two_starts_share_one_limit() -> None:
    """Budgets that hold for each request but not for all (BerriAI/litellm#11962)."""
    view = view_of([4], [queued("a"), queued("b")], tenants=[acme(headroom_micro=1_900_000)], price_at_us=NOW)
    plan = decide(view, now=NOW)
    assert [grant.lease for grant in plan.grants] == ["a"]
    assert [move.lease for move in plan.moves] == ["b"]


PAUSED: dict[str, Any] = {"state": State.PAUSED, "cause": Cause.BUDGET}


def test_a_raised_limit_lets_a_paused_lease_go_on() -> None:
    view = view_of([4], [queued(**PAUSED)], tenants=[acme(headroom_micro=2_000_000)], price_at_us=NOW)
    plan = decide(view, now=NOW)
    assert [move.event for move in plan.moves] == [Event.RESUME]
    assert len(plan.grants) == 1


@pytest.mark.parametrize("tenant", [acme(headroom_micro=1_000_000), acme(suspended=True)])
def test_a_paused_lease_stays_paused_in_silence(tenant: TenantView) -> None:
    assert decide(view_of([4], [queued(**PAUSED)], tenants=[tenant], price_at_us=NOW), now=NOW).empty


@pytest.mark.parametrize(
    ("fields", "pool"),
    [
        (GUARD, pool_of(cost=FREE_OF_COST)),  # the risk price comes on top
        ({}, pool_of(pricing="fixed", price_micro=1_400_000)),  # the posted price is not in force yet
    ],
)
def test_a_paused_lease_is_not_resumed_and_paused_again_each_round(fields: dict[str, object], pool: object) -> None:
    """Admit, take back, admit: a spin loop (kubernetes-sigs/kueue#14468)."""
    peaks = {HOUR_US: WindowMax(np.array([2, 2, 2, 4], np.int64))}
    tenant = acme(headroom_micro=1_100_000)
    view = view_of([4], [queued(**PAUSED, **fields)], tenants=[tenant], pool=pool, peaks=peaks, price_at_us=NOW)  # type: ignore[arg-type]
    assert decide(view, now=NOW).moves == ()


def test_the_price_moves_once_a_period_and_says_why() -> None:
    view = view_of([4], [queued()])
    (price,) = decide(view, now=T0 + 60 * S).prices
    assert (price.price_micro, price.floor_micro) == (800_000, 96_000)
    assert price.reason == "no bid lost: on its way down to 0.0960, at most 20 % a period"
    assert decide(view, now=T0 + 59 * S).prices == ()


def test_with_nothing_to_sell_there_is_no_price_to_find() -> None:
    assert decide(view_of([1], [running("a", (0, 1)), queued(reason="x")]), now=T0 + 600 * S).prices == ()


def test_the_reserve_is_what_the_owner_may_want_before_a_reclaim_is_done() -> None:
    lead = view_of([1]).pools[0].lead_us
    plan = decide(view_of([4], [queued(gpus=2)], peaks={lead: certain(3)}, price_at_us=NOW), now=NOW)
    assert [(item.gpus, item.reason) for item in plan.reserves] == [
        (3, "the owner's demand may rise by 3 GPUs before a reclaim is done")
    ]
    assert waits(plan) == {"q": "wants 2 GPUs, 1 are lendable now (owner 0, reserve 3)"}
