"""Blocks in the rounds: what the calendar offers, whom a guarantee keeps clear of, and the start."""

from dataclasses import replace

import numpy as np
import pytest
from builders import POOL, T0, S, certain, job_of, lease_of, place, pool_of, running, running_job, view_of

from sublet.core.blocks.auction import venue_of
from sublet.core.blocks.calendar import calendar_of
from sublet.core.blocks.clearance import barred, blocks_ahead, first_starts
from sublet.core.blocks.contract import forgone_micro, hold_of, never_started, rest_micro, shortened
from sublet.core.blocks.contract import lease_of as block_lease
from sublet.core.blocks.delivery import lead_us, next_start_us
from sublet.core.blocks.order import BlockOrder, Side
from sublet.core.forecast import WindowMax
from sublet.core.ids import LeaseId, OrderId, TenantId
from sublet.core.lease import Cause, Event, Lease, LeaseClass, State
from sublet.core.plan import Plan
from sublet.core.round import decide
from sublet.core.tables import NEVER
from sublet.core.terms import BlockSale, Pool, Promise
from sublet.core.units import HOUR_US
from sublet.core.usage import Attempt
from sublet.core.view import View

NOW = T0 - T0 % HOUR_US + 10 * S  # shortly after a full hour
HOUR0 = NOW - 10 * S


def selling(**fields: object) -> Pool:
    return pool_of(**{"blocks": BlockSale(limit=9), "promise": Promise(gpus=0), **fields})


def block(
    name: str = "b", *, hour: int = 2, hours: int = 2, nodes: int = 1, pool: Pool | None = None, **fields: object
) -> Lease:
    """A block that was bought and waits for its start."""
    order = BlockOrder(
        id=OrderId(f"order-{name}"),
        tenant=TenantId("acme"),
        pool=POOL,
        side=Side.BUY,
        lease=LeaseId(name),
        name=name,
        nodes=nodes,
        gpus=8 * nodes,
        start_us=HOUR0 + hour * HOUR_US,
        end_us=HOUR0 + (hour + hours) * HOUR_US,
        limit_micro=2_000_000,
        placed_us=T0,
        since_us=T0,
    )
    return replace(block_lease(order, pool or selling(), 1_000_000, at_us=NOW - 60 * S), **fields)  # type: ignore[arg-type]


def world(*leases: Lease, nodes: int = 4, jobs: tuple = (), pool: Pool | None = None, peaks: dict | None = None) -> View:  # type: ignore[type-arg]
    return view_of([8] * nodes, leases, jobs, pool=pool or selling(), peaks=peaks or {})


def limits(view: View, hours: int = 30) -> list[int]:
    calendar = calendar_of(view.pools[0], view.standing(POOL), now_us=NOW)
    found: list[int] = calendar.limit[:hours].tolist()
    return found


def left(view: View, hours: int = 8) -> list[int]:
    calendar = calendar_of(view.pools[0], view.standing(POOL), now_us=NOW)
    found: list[int] = calendar.left[:hours].tolist()
    return found


def at(view: View, now: int) -> Plan:
    return decide(view, now=now)


def test_the_calendar_counts_what_is_sold_window_by_window() -> None:
    first, second = block("b1", hour=2, hours=2, nodes=2), block("b2", hour=3, hours=3)
    assert left(world(first, second)) == [4, 4, 2, 1, 3, 3, 4, 4]


def test_a_running_block_counts_until_its_end_and_no_one_elses_guarantee_is_counted_twice() -> None:
    runs = block(
        hour=0, hours=3, state=State.ACTIVE, placement=place((0, 255)), attempt=1, price_micro=1_000_000, started_us=HOUR0
    )
    assert left(world(runs)) == [3, 3, 3, 4, 4, 4, 4, 4]


def test_a_guarantee_takes_its_nodes_out_until_it_ends() -> None:
    guarded = running("g", (0, 1), (1, 1), lease_class=LeaseClass.GUARDED, term_us=4 * HOUR_US, ends_us=HOUR0 + 3 * HOUR_US)
    forever = running("d", (2, 3), lease_class=LeaseClass.DEDICATED)
    spot = running("s", (3, 255))
    assert left(world(guarded, forever, spot)) == [1, 1, 1, 1, 3, 3, 3, 3], (
        "its hand-over reaches into the window after its end"
    )


def test_the_owner_keeps_what_he_may_need_as_far_as_the_forecast_looks() -> None:
    peaks = {HOUR_US: certain(4), 4 * HOUR_US: certain(17), 24 * HOUR_US: WindowMax(np.empty(0, np.int64))}
    found = limits(world(peaks=peaks))
    assert found[:4] == [3, 1, 1, 1], "the peak up to a window's end counts"
    assert found[4:24] == [0] * 20, "a forecast that knows nothing yet sells nothing"
    assert found[24:] == [4] * 6, "beyond it the owner's limit alone"


def test_the_limit_and_the_hand_back_promise_bound_what_is_sold() -> None:
    assert limits(world(pool=selling(blocks=BlockSale(limit=2))), 3) == [2, 2, 2]
    assert limits(world(pool=selling(promise=Promise(gpus=20))), 3) == [1, 1, 1]
    assert limits(world(pool=selling(promise=Promise())), 3) == [0, 0, 0], "all GPUs are promised to the owner"
    assert limits(world(pool=selling(blocks=BlockSale())), 3) == [0, 0, 0], "he sells none unless he says so"


def test_the_reserve_price_is_the_floor_the_risk_and_the_owners_least() -> None:
    def reserve(peaks: dict[int, WindowMax], **sale: int) -> int:
        view = world(pool=selling(blocks=BlockSale(limit=4, **sale)), peaks=peaks)
        return venue_of(view.pools[0], view.standing(POOL), now_us=NOW).reserve_micro

    assert reserve({}) == 96_000, "the floor alone, where nothing is forecast"
    seldom = WindowMax(np.array([0] * 99 + [32], np.int64))
    assert reserve({24 * HOUR_US: seldom}) == pytest.approx(96_000 * (1 + 0.1 / 0.99), abs=2), "p = 1 %, ten times"
    assert reserve({}, least_micro=1_000_000) == 1_000_000 and reserve({}, least_micro=5) == 96_000


def test_nodes_that_are_down_or_smaller_do_not_count() -> None:
    small = view_of([8, 8, 4, 8], pool=selling(), down=[1])
    assert limits(small, 2) == [2, 2]


def test_spot_leases_end_in_time_for_a_block_and_no_more_of_them_than_needed() -> None:
    spots = [running(f"s{i}", (i, 255), tenant=TenantId(f"t{i}")) for i in range(4)]
    view = world(block(nodes=2), *spots)
    start, lead = HOUR0 + 2 * HOUR_US, lead_us(view.standing(POOL))
    assert at(view, start - lead - S).notices == ()
    plan = at(view, start - lead)
    assert len(plan.notices) == 2 and {notice.cause for notice in plan.notices} == {Cause.RECLAIMED}
    pool = view.pools[0].pool
    assert all(notice.deadline_us + pool.stop_us + pool.handover_us <= start for notice in plan.notices)
    assert plan.grants == ()
    assert next_start_us(view.standing(POOL), after_us=NOW) == start - lead
    assert next_start_us(view.standing(POOL), after_us=start - lead) == start
    assert next_start_us(view.standing(POOL), after_us=start) == NEVER


def test_what_is_on_its_way_back_makes_room_and_nobody_new_is_put_there() -> None:
    going = running(
        "g", (0, 255), state=State.NOTICED, deadline_us=HOUR0 + 2 * HOUR_US - 100 * S, cause=Cause.RECLAIMED, noticed_us=NOW
    )
    stays = running("s", (1, 255))
    asks = lease_of("q", state=State.QUEUED, gpus=4)
    plan = at(world(block(), going, stays, asks, nodes=2), HOUR0 + 2 * HOUR_US - 150 * S)
    assert plan.notices == () and plan.grants == ()
    free = at(world(block(), asks, nodes=2), HOUR0 + 2 * HOUR_US - 150 * S)
    (grant,) = free.grants
    assert grant.lease == asks.id, "the other node is nobody's"
    assert at(world(block(nodes=2), asks, nodes=2), HOUR0 + 2 * HOUR_US - 150 * S).grants == ()


def test_guarantees_are_never_ended_for_a_block_but_their_own_end_counts() -> None:
    start = HOUR0 + 2 * HOUR_US
    ends = running("g", (0, 1), lease_class=LeaseClass.GUARDED, term_us=HOUR_US, ends_us=start - 90 * S, grace_us=30 * S)
    plan = at(world(block(), ends, nodes=1), start - 180 * S)
    assert plan.notices == () and plan.alarms == ()
    lasts = replace(ends, ends_us=start + HOUR_US)
    held_up = at(world(block(), lasts, nodes=1), start - 180 * S)
    assert held_up.notices == () and [alarm.kind for alarm in held_up.alarms] == ["block.at_risk"]


def test_a_block_starts_on_whole_nodes_at_its_start_and_not_before() -> None:
    view = world(block(nodes=2), jobs=(running_job("j", (0, 1)),))
    start = HOUR0 + 2 * HOUR_US
    assert at(view, start - S).grants == ()
    (grant,) = at(view, start).grants
    lease = view.leases[0]
    assert {mask for _, mask in grant.placement} == {255} and len(grant.placement) == 2
    assert (grant.price_micro, grant.hold_micro, grant.funded_until_us) == (1_000_000, hold_of(lease), lease.ends_us)


def test_the_owner_is_served_before_a_block_until_its_start_and_after_it_from_then_on() -> None:
    start = HOUR0 + 2 * HOUR_US
    view = world(block(), jobs=(job_of("j", 8),), nodes=1)
    assert [job.job for job in at(view, start - 100 * S).job_starts] == ["j"]
    plan = at(view, start)
    assert plan.job_starts == () and [grant.lease for grant in plan.grants] == ["b"]
    kept = world(block(), jobs=(job_of("j", 8, placement=place((0, 255))),), nodes=1)
    late = at(kept, start)
    assert late.grants == () and [job.job for job in late.job_starts] == ["j"], "what waited for a job of his was his before"


def test_a_block_without_nodes_is_broken_once_the_promise_is_over() -> None:
    start, promise = HOUR0 + 2 * HOUR_US, selling().promise.within_us
    busy = world(block(), jobs=(running_job("j", (0, 255)),), nodes=1)
    waits = at(busy, start + promise - S)
    assert waits.moves == () and [alarm.kind for alarm in waits.alarms] == ["block.at_risk"]
    (move,) = at(busy, start + promise).moves
    assert (move.event, move.cause) == (Event.REFUSE, Cause.RECLAIMED)
    (gone,) = at(view_of([8], [block()], pool=selling(), down=[0]), start + promise).moves
    assert gone.cause is Cause.FAILED, "too few nodes are fit: nobody chose that"


def test_who_is_promised_time_beyond_a_start_keeps_clear_of_the_blocks_nodes() -> None:
    pool = selling()
    view = world(block(hour=3, nodes=3), jobs=(running_job("j", (0, 1)),), pool=pool)
    standing = view.standing(POOL)
    first = first_starts(standing, now_us=NOW)
    assert first.tolist() == [NEVER, *[HOUR0 + 3 * HOUR_US] * 3], "the node that the owner uses is left to others"
    peaks = {us: certain(0) for us in (*pool.terms[LeaseClass.GUARDED].terms_us, HOUR_US)}

    def granted(hours: int, *, on: int = 1, now: int = NOW) -> list[str]:
        asks = lease_of("q", state=State.QUEUED, lease_class=LeaseClass.GUARDED, term_us=hours * HOUR_US, gpus=4 * on, nodes=on)
        asked = view_of([8] * 4, [block(hour=3, nodes=3), asks], [running_job("j", (0, 1))], pool=pool, peaks=peaks)
        return [node for grant in decide(asked, now=now).grants for node, _ in grant.placement]

    assert granted(4) == ["n0"], "four hours reach into the block"
    assert granted(4, on=2) == [], "and there is only one node that no block needs"
    assert len(granted(1, on=2)) == 2, "an hour ends before it starts"


def test_spot_may_use_a_blocks_nodes_until_then() -> None:
    asks = lease_of("q", state=State.QUEUED, gpus=32, nodes=4)
    (grant,) = at(world(block(hour=3, nodes=4), asks), NOW).grants
    assert len(grant.placement) == 4


def test_nodes_are_used_again_by_a_block_that_follows_another() -> None:
    view = world(block("b1", hour=2, hours=2, nodes=2), block("b2", hour=4, hours=2, nodes=2), nodes=4)
    assert (first_starts(view.standing(POOL), now_us=NOW) == NEVER).sum() == 2
    assert blocks_ahead(view.standing(POOL), now_us=NOW) == 16
    apart = world(block("b1", hour=2, hours=3, nodes=2), block("b2", hour=4, hours=2, nodes=2), nodes=4)
    assert (first_starts(apart.standing(POOL), now_us=NOW) == NEVER).sum() == 0
    assert blocks_ahead(apart.standing(POOL), now_us=NOW) == 32
    assert barred(world(nodes=3).standing(POOL), now_us=NOW).shape == (0, 3), "without blocks nothing is barred"


def test_a_bought_block_is_no_bidder() -> None:
    view = world(block())
    standing = view.standing(POOL)
    assert list(standing.blocks) == ["b"] and len(standing.queue) == 0
    assert at(view, NOW).grants == () == at(view, NOW).waits


@pytest.mark.parametrize("cause", list(Cause))
def test_only_an_end_of_the_tenants_own_is_paid_for_to_the_end(cause: Cause) -> None:
    lease = replace(block(hour=0, hours=4), cause=cause)
    record = never_started(replace(lease, since_us=HOUR0 + HOUR_US))
    mine = {Cause.COMPLETED, Cause.RELEASED}
    assert forgone_micro(lease, record) == (rest_micro(lease, HOUR0 + HOUR_US) if cause in mine else 0)
    if cause is Cause.FAILED:
        ran = replace(record, started_us=HOUR0, exit_code=1)
        assert forgone_micro(lease, ran) == rest_micro(lease, HOUR0 + HOUR_US)
        assert forgone_micro(lease, replace(ran, exit_code=None)) == 0, "its node failed"
        assert forgone_micro(lease, replace(ran, started_us=None)) == 0, "it could not be started"


def test_a_shortened_block_and_its_rest_cost_what_the_whole_did() -> None:
    pool, lease = selling(), block(hour=1, hours=6)
    less = shortened(lease, pool, HOUR0 + 4 * HOUR_US)
    assert less.ends_us == HOUR0 + 4 * HOUR_US - pool.turnround_us and less.version == lease.version + 1
    assert less.ends_us is not None
    assert rest_micro(less, 0) + rest_micro(lease, less.ends_us) == rest_micro(lease, 0)
    record: Attempt = never_started(replace(lease, cause=Cause.RELEASED))
    assert forgone_micro(lease, record) == rest_micro(lease, 0)
