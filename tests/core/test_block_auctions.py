"""Who wins a block and what it costs: against every possible choice on small books, and by what must always hold."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import POOL, pool_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.blocks.auction import Venue, hold_auction
from sublet.core.blocks.calendar import Calendar
from sublet.core.blocks.contract import lease_of, total_micro
from sublet.core.blocks.deals import Auction
from sublet.core.blocks.order import NEXT_ORDER, BlockOrder, OrderEvent, OrderState, Side, step_order
from sublet.core.blocks.rectangles import Rectangles, rectangles
from sublet.core.blocks.winners import winners
from sublet.core.errors import IllegalStep
from sublet.core.ids import LeaseId, OrderId, TenantId
from sublet.core.terms import BlockSale
from sublet.core.units import DAY_US, HOUR_US
from sublet.core.view import Quota, TenantView

settings.register_profile("blocks", deadline=None, derandomize=True, max_examples=150)
PROFILE = settings.get_profile("blocks")
NOW = 1_000 * DAY_US
RESERVE = 100_000
WINDOWS = 8
AHEAD = 2  # no order starts in the first windows, so that none lapses

ORDER = st.tuples(
    st.integers(AHEAD, WINDOWS - 1),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(50_000, 3_000_000),
    st.sampled_from("abc"),
)
LEFT = st.lists(st.integers(-1, 6), min_size=WINDOWS, max_size=WINDOWS)
Asked = tuple[int, int, int, int, str]


def buy(number: int, asked: Asked, **fields: object) -> BlockOrder:
    first, length, nodes, limit, tenant = asked
    made = BlockOrder(
        id=OrderId(f"o{number:03}"),
        tenant=TenantId(tenant),
        pool=POOL,
        side=Side.BUY,
        lease=LeaseId(f"l{number}"),
        name="",
        nodes=nodes,
        gpus=8 * nodes,
        start_us=NOW + first * HOUR_US,
        end_us=NOW + min(first + length, WINDOWS) * HOUR_US,
        limit_micro=limit,
        placed_us=NOW - DAY_US + number,
        since_us=NOW - DAY_US,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def sell(number: int, asked: Asked) -> BlockOrder:
    return buy(number, asked, side=Side.SELL)


def venue(left: Sequence[int], reserve: int = RESERVE) -> Venue:
    limit = np.maximum(np.array(left, np.int64), 0)
    calendar = Calendar(NOW, HOUR_US, 8, limit, limit - np.array(left, np.int64))
    return Venue(pool_of(blocks=BlockSale(limit=9)), calendar, reserve)


def held(left: Sequence[int], orders: Sequence[BlockOrder], *, seconds: float = 5.0) -> Auction:
    tenants = {order.tenant: TenantView(order.tenant) for order in orders}
    return hold_auction(venue(left), orders, tenants, now_us=NOW, seconds=seconds)


def rects_of(left: Sequence[int], orders: Sequence[BlockOrder]) -> Rectangles:
    return rectangles(orders, venue(left).calendar, RESERVE)


def best_of_all(rects: Rectangles, left: Sequence[int]) -> int:
    """What the best choice is worth, by trying every one."""
    choices = (np.array(bits, np.bool_) for bits in itertools.product((False, True), repeat=len(rects)))
    room = np.maximum(np.array(left), 0)
    return max(rects.value(won) for won in choices if (rects.taken(won, len(left)) <= room).all())


@PROFILE
@given(asked=st.lists(ORDER, max_size=7), left=LEFT)
def test_the_solver_finds_the_best_choice_and_no_bound_is_wrong(asked: list[Asked], left: list[int]) -> None:
    rects = rects_of(left, [buy(i, one) for i, one in enumerate(asked)])
    best = best_of_all(rects, left)
    found, quick = winners(rects, np.array(left, np.int64), seconds=5), winners(rects, np.array(left, np.int64), seconds=0)
    assert found.worth == best
    assert found.bound >= best and found.gap <= 2e-6
    assert best >= quick.worth == quick.greedy_worth == found.greedy_worth, "never worse than the greedy search"
    assert quick.bound >= best, "what the greedy search says of itself holds"
    assert found.worth == rects.value(found.won) and quick.worth == rects.value(quick.won)


@PROFILE
@given(asked=st.lists(ORDER, max_size=14), left=LEFT, seconds=st.sampled_from([0.0, 5.0]))
def test_nothing_is_sold_twice_and_nobody_pays_above_the_limit_or_below_the_reserve(
    asked: list[Asked], left: list[int], seconds: float
) -> None:
    orders = {order.id: order for order in (buy(i, one) for i, one in enumerate(asked))}
    outcome = held(left, list(orders.values()), seconds=seconds)
    taken = np.zeros(WINDOWS, np.int64)
    for deal in outcome.deals:
        order = orders[deal.order]
        assert RESERVE <= deal.price_micro <= order.limit_micro
        first, last = venue(left).calendar.span(order.start_us, order.end_us)
        taken[first:last] += order.nodes
    assert (taken <= np.maximum(np.array(left), 0)).all(), "in each window"
    won, lost = {deal.order for deal in outcome.deals}, {loss.order for loss in outcome.losses}
    assert won | lost == set(orders) and not won & lost, "each wins as a whole or rests"
    assert 0 <= outcome.gap <= 1


@PROFILE
@given(asked=st.lists(ORDER, min_size=1, max_size=10), left=LEFT)
def test_an_order_that_lost_could_not_have_been_added(asked: list[Asked], left: list[int]) -> None:
    orders = {order.id: order for order in (buy(i, one) for i, one in enumerate(asked))}
    outcome = held(left, list(orders.values()))
    room = np.maximum(np.array(left), 0)
    calendar = venue(left).calendar
    for deal in outcome.deals:
        first, last = calendar.span(orders[deal.order].start_us, orders[deal.order].end_us)
        room[first:last] -= orders[deal.order].nodes
    for loss in outcome.losses:
        order = orders[loss.order]
        first, last = calendar.span(order.start_us, order.end_us)
        assert order.limit_micro < RESERVE or room[first:last].min() < order.nodes


@PROFILE
@given(asked=st.lists(ORDER, max_size=8), given_back=st.lists(ORDER, max_size=3), left=LEFT)
def test_a_resale_brings_what_was_asked_and_sells_nothing_twice(
    asked: list[Asked], given_back: list[Asked], left: list[int]
) -> None:
    buys = [buy(i, one) for i, one in enumerate(asked)]
    sells = [sell(100 + i, one) for i, one in enumerate(given_back)]
    orders = {order.id: order for order in (*buys, *sells)}
    outcome = held(left, [*buys, *sells])
    pool, calendar = venue(left).pool, venue(left).calendar
    room = np.array(left, np.int64)
    resold = [deal.resale.order for deal in outcome.deals if deal.resale is not None]
    assert len(set(resold)) == len(resold)
    for deal in outcome.deals:
        order = orders[deal.order]
        first, last = calendar.span(order.start_us, order.end_us)
        room[first:last] -= order.nodes
        assert RESERVE <= deal.price_micro <= order.limit_micro
        if deal.resale is not None:
            offer = orders[deal.resale.order]
            assert offer.tenant != order.tenant
            paid = total_micro(pool, order.gpus, order.start_us, order.end_us, deal.price_micro)
            ask = total_micro(pool, offer.gpus, offer.start_us, offer.end_us, offer.limit_micro)
            assert paid >= deal.resale.proceeds_micro == ask, "the owner adds nothing"
            first, last = calendar.span(offer.start_us, offer.end_us)
            room[first:last] += offer.nodes
    assert (room >= np.minimum(np.array(left), 0)).all()


def test_the_dearest_loser_sets_the_price_of_the_windows_it_lacks() -> None:
    wide = buy(0, (2, 4, 2, 900_000, "a"))
    lost = buy(1, (4, 4, 1, 400_000, "b"))
    outcome = held([2] * WINDOWS, [wide, lost])
    (deal,) = outcome.deals
    assert deal.order == wide.id
    assert deal.price_micro == (2 * RESERVE + 2 * 400_000) // 4, "the mean of two free windows and two that are fought for"


def test_where_no_price_balances_the_loser_is_told_and_the_winner_pays_no_more_than_its_limit() -> None:
    """Three nodes. Two orders of two nodes do not fit together; one of three is worth less than either, or more."""
    first, second, whole = buy(0, (2, 2, 2, 1_000_000, "a")), buy(1, (2, 2, 2, 950_000, "b")), buy(2, (2, 2, 3, 640_000, "c"))
    outcome = held([3] * WINDOWS, [first, second, whole])
    (deal,) = outcome.deals
    assert (deal.order, deal.price_micro) == (first.id, 950_000)
    narrow = held([3] * WINDOWS, [replace(whole, limit_micro=900_000), first, second])
    (other,) = narrow.deals
    assert other.order == whole.id and other.price_micro == 900_000, "dearer orders lost, and it pays its limit, not theirs"
    assert {loss.order for loss in narrow.losses} == {first.id, second.id}
    assert all("worth more together" in loss.reason for loss in narrow.losses)


def test_an_order_at_the_reserve_price_is_sold_what_nobody_else_wants() -> None:
    (deal,) = held([1] * WINDOWS, [buy(0, (3, 1, 1, RESERVE, "a"))]).deals
    assert deal.price_micro == RESERVE


def test_orders_that_cannot_be_delivered_any_more_lapse_and_suspended_or_poor_tenants_wait() -> None:
    late, poor, out = buy(0, (0, 1, 1, 500_000, "a")), buy(1, (3, 2, 1, 500_000, "b")), buy(2, (3, 2, 1, 500_000, "c"))
    second = buy(3, (5, 2, 1, 500_000, "b"))
    cost = total_micro(pool_of(), 8, poor.start_us, poor.end_us, 500_000)
    tenants = {
        TenantId("a"): TenantView(TenantId("a")),
        TenantId("b"): TenantView(TenantId("b"), headroom_micro=cost + cost // 2),
        TenantId("c"): TenantView(TenantId("c"), suspended=True),
    }
    outcome = hold_auction(venue([9] * WINDOWS), [late, poor, out, second], tenants, now_us=NOW)
    assert [lapse.order for lapse in outcome.lapses] == [late.id]
    assert [deal.order for deal in outcome.deals] == [poor.id], "the older of its orders"
    said = {loss.order: loss.reason for loss in outcome.losses}
    assert "suspended" in said[out.id] and "spend limit" in said[second.id]


def test_an_order_that_is_denied_competes_with_nobody_and_lapses_like_any_other() -> None:
    rich, plain, late = buy(0, (2, 2, 1, 900_000, "a")), buy(1, (2, 2, 1, 500_000, "b")), buy(2, (0, 1, 1, 900_000, "a"))
    there = replace(venue([1] * WINDOWS), denied={rich.id: "its data may not be there", late.id: "nor this"})
    tenants = {TenantId(name): TenantView(TenantId(name)) for name in "ab"}
    outcome = hold_auction(there, [rich, plain, late], tenants, now_us=NOW)
    assert [deal.order for deal in outcome.deals] == [plain.id] and [lapse.order for lapse in outcome.lapses] == [late.id]
    assert [(loss.order, loss.reason) for loss in outcome.losses] == [(rich.id, "its data may not be there")]


def test_a_quota_bounds_all_blocks_of_a_tenant_in_each_window() -> None:
    orders = [buy(0, (2, 2, 1, 500_000, "a")), buy(1, (3, 2, 1, 900_000, "a")), buy(2, (4, 2, 1, 500_000, "a"))]
    limited = TenantView(TenantId("a"), quotas={POOL: Quota(8, 0)})
    outcome = hold_auction(venue([9] * WINDOWS), orders, {TenantId("a"): limited}, now_us=NOW)
    assert {deal.order for deal in outcome.deals} == {"o000", "o002"}, "the second overlaps with the first, which is older"
    assert "quota" in outcome.losses[0].reason
    sold = lease_of(orders[0], pool_of(), 500_000, at_us=NOW - HOUR_US)
    later = hold_auction(replace(venue([9] * WINDOWS), sold=(sold,)), orders[1:2], {TenantId("a"): limited}, now_us=NOW)
    assert later.deals == (), "what was bought before counts, too"


def test_the_same_book_gives_the_same_outcome() -> None:
    rng = np.random.default_rng(5)
    orders = [
        buy(
            i,
            (
                int(rng.integers(2, 7)),
                int(rng.integers(1, 4)),
                int(rng.integers(1, 5)),
                int(rng.integers(200_000, 3_000_000)),
                "a",
            ),
        )
        for i in range(60)
    ]
    assert held([9] * WINDOWS, orders) == held([9] * WINDOWS, list(reversed(orders)))


@pytest.mark.parametrize(("state", "event"), list(itertools.product(OrderState, OrderEvent)))
def test_only_the_table_moves_an_order(state: OrderState, event: OrderEvent) -> None:
    order = buy(0, (2, 1, 1, 500_000, "a"), state=state)
    if (state, event) in NEXT_ORDER:
        moved = step_order(order, event, at=NOW, reason="because", price_micro=7)
        assert (moved.state, moved.version, moved.since_us, moved.price_micro) == (NEXT_ORDER[state, event], 2, NOW, 7)
    else:
        with pytest.raises(IllegalStep):
            step_order(order, event, at=NOW, reason="")
