"""Prices: floor, guarantee, and one clearing price a round."""

from fractions import Fraction

import numpy as np
import pytest
from builders import certain, pool_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.forecast import WindowMax
from sublet.core.lease import LeaseClass
from sublet.core.pricing import PRICING, Bids, Clearing, Market
from sublet.core.pricing.floor import acceptable_risk, floor, owed_micro, risk_share
from sublet.core.supply import published_floor, reserve_for, risk_bound, risk_share_of, supply
from sublet.core.terms import TERMS, Breaking, ClassTerms, CostSheet, term_of
from sublet.core.units import HOUR_US
from sublet.core.view import PoolView

PROFILE = settings(deadline=None, derandomize=True, max_examples=200)
GUARDED, SPOT = TERMS[LeaseClass.GUARDED], TERMS[LeaseClass.SPOT]
TENFOLD = ClassTerms(grace_us=0, exempt_us=0, breaking=Breaking.CREDIT, refunds=True, credit_multiple=10)


def bids_of(pairs: list[tuple[int, int]]) -> Bids:
    return Bids(np.array([p for p, _ in pairs], np.int64), np.array([g for _, g in pairs], np.int64))


MARKETS = st.builds(
    Market,
    gpus=st.integers(0, 40),
    floor_micro=st.integers(0, 60),
    last_micro=st.integers(1, 100),
    posted_micro=st.integers(0, 100),
    smoothing_bps=st.sampled_from([0, 100, 2_000, 10_000]),
    may_move=st.booleans(),
)
PAIRS = st.lists(st.tuples(st.integers(0, 120), st.integers(1, 12)), max_size=12)


@pytest.mark.parametrize("policy", PRICING)
@PROFILE
@given(pairs=PAIRS, market=MARKETS)
def test_no_more_is_sold_than_there_is_and_nobody_pays_above_the_bid(
    policy: str, pairs: list[tuple[int, int]], market: Market
) -> None:
    """Overselling and surprise bills are what a market must never do, whatever its policy."""
    bids = bids_of(pairs)
    cleared = PRICING[policy](bids, market)
    assert bids.gpus[cleared.won].sum() <= market.gpus
    assert (bids.price[cleared.won] >= cleared.price_micro).all()
    assert cleared.price_micro >= market.floor_micro
    assert cleared.reason


@PROFILE
@given(pairs=PAIRS, market=MARKETS)
def test_the_clearing_price_moves_within_its_bounds_and_only_when_it_may(pairs: list[tuple[int, int]], market: Market) -> None:
    price = PRICING["uniform"](bids_of(pairs), market).price_micro
    if not market.may_move:
        assert price == max(market.last_micro, market.floor_micro)
    elif market.smoothing_bps:
        step = max(1, market.last_micro * market.smoothing_bps // 10_000)
        assert abs(price - market.last_micro) <= step or price == market.floor_micro


@PROFILE
@given(pairs=PAIRS, market=MARKETS)
def test_in_an_auction_no_loser_at_the_price_outbids_a_winner(pairs: list[tuple[int, int]], market: Market) -> None:
    bids = bids_of(pairs)
    cleared = PRICING["uniform"](bids, market)
    lost = bids.price[~cleared.won & (bids.price >= cleared.price_micro)]
    if cleared.won.any() and len(lost):
        assert bids.price[cleared.won].min() >= lost.max()


def cleared(pairs: list[tuple[int, int]], **market: int) -> Clearing:
    usual = {"gpus": 8, "floor_micro": 10, "last_micro": 50, "posted_micro": 40, "smoothing_bps": 0, "may_move": True}
    return PRICING["uniform"](bids_of(pairs), Market(**usual | market))  # type: ignore[arg-type]


def test_winners_pay_the_dearest_bid_that_lost() -> None:
    outcome = cleared([(30, 4), (90, 4), (60, 4)])
    assert (list(outcome.won), outcome.price_micro, outcome.reason) == ([False, True, True], 30, "dearest losing bid")


def test_with_room_for_all_the_price_is_the_floor() -> None:
    outcome = cleared([(30, 4), (9, 4)])
    assert (list(outcome.won), outcome.price_micro) == ([True, False], 10)
    assert outcome.reason == "no bid lost: the floor"


@pytest.mark.parametrize(("last", "price", "way"), [(100, 80, "down"), (20, 24, "up")])
def test_a_far_target_is_approached_step_by_step(last: int, price: int, way: str) -> None:
    outcome = cleared([(90, 8), (60, 8)], last_micro=last, smoothing_bps=2_000)
    assert outcome.price_micro == price
    assert f"on its way {way} to 0.0001, at most 20 % a period" in outcome.reason


def test_a_price_still_on_its_way_down_turns_those_away_who_would_not_pay_it() -> None:
    outcome = cleared([(60, 4), (90, 4)], last_micro=100, smoothing_bps=2_000)
    assert (list(outcome.won), outcome.price_micro) == ([False, True], 80)


def test_a_large_bid_is_not_overtaken_by_a_smaller_and_lower_one() -> None:
    assert list(cleared([(90, 6), (60, 4), (30, 1)]).won) == [True, False, False]


@pytest.mark.parametrize(("posted", "price", "said"), [(40, 40, "posted price"), (5, 10, "the floor holds")])
def test_a_posted_price_serves_in_order_of_request(posted: int, price: int, said: str) -> None:
    market = Market(gpus=8, floor_micro=10, last_micro=0, posted_micro=posted, smoothing_bps=0, may_move=True)
    outcome = PRICING["fixed"](bids_of([(40, 4), (3, 1), (50, 4), (90, 4)]), market)
    assert (list(outcome.won), outcome.price_micro) == ([True, False, True, False], price)
    assert said in outcome.reason


def test_the_floor_is_marginal_energy_wear_operations_and_reclaims() -> None:
    sheet = CostSheet(busy_w=1_000, idle_w=250, pue_permille=1_100, tariff_micro_kwh=80_000, wear_micro=5, operations_micro=7)
    parts = floor(sheet, reclaim_micro=11)
    assert parts.energy_micro == 66_000, "0.75 kW x 1.1 x 0.08 a kWh"
    assert parts.total_micro == 66_000 + 5 + 7 + 11
    assert floor(CostSheet(busy_w=100, idle_w=250)).energy_micro == 0


@pytest.mark.parametrize(("terms", "risk"), [(SPOT, 1.0), (GUARDED, 0.48), (TENFOLD, 0.086)])
def test_how_likely_a_reclaim_may_be_is_the_newsvendor_ratio(terms: ClassTerms, risk: float) -> None:
    """At 2.35 a GPU-hour, 0.15 of marginal cost and four hours: the worked figures of the pricing page."""
    assert acceptable_risk(2_350_000, 150_000, terms, 4 * HOUR_US) == pytest.approx(risk, abs=0.005)


def test_a_margin_of_nothing_accepts_no_risk_where_something_is_owed() -> None:
    assert acceptable_risk(100, 100, GUARDED, HOUR_US) == 0.0
    assert acceptable_risk(0, 100, GUARDED, HOUR_US) == 1.0, "nothing is at stake"


@PROFILE
@given(p=st.floats(0.001, 0.98), multiple=st.integers(1, 10), refunds=st.booleans(), price=st.integers(1, 10**7))
def test_the_risk_price_is_what_a_guarantee_is_expected_to_cost(p: float, multiple: int, refunds: bool, price: int) -> None:  # noqa: FBT001
    """p*K / (H*(1 - p*(1 - phi))): with it the owner earns as much as from a lease that owes nothing."""
    terms = ClassTerms(grace_us=0, exempt_us=0, breaking=Breaking.CREDIT, refunds=refunds, credit_multiple=multiple)
    hours, phi = 4, 0 if refunds else 1
    owed = owed_micro(price, terms, hours * HOUR_US)
    assert owed == multiple * price * hours
    assert price * float(risk_share(terms, p)) == pytest.approx(
        p * owed / (hours * (1 - p * (1 - phi))), rel=0.06, abs=1e-3 * price
    )


def test_there_is_no_risk_price_without_a_debt_or_a_risk_and_certainty_is_capped() -> None:
    assert risk_share(SPOT, 0.5) == risk_share(GUARDED, 0.0) == Fraction(0)
    assert risk_share(GUARDED, 1.0) == Fraction(99)


def test_supply_follows_the_forecast() -> None:
    lead = PoolView(pool_of(), 0, 0, 0, {}).lead_us
    wide = WindowMax(np.arange(1, 11, dtype=np.int64))
    view = PoolView(pool_of(reserve_min=1, lending_limit=6), 2_350_000, 0, 0, {lead: wide, HOUR_US: wide})
    assert lead == (5 + 300 + 10 + 60 + 10) * 1_000_000
    assert reserve_for(view, 4) == 5, "the 90 % quantile of 9 less the demand"
    assert reserve_for(view, 20) == 1
    assert reserve_for(PoolView(pool_of(reserve_min=2), 0, 0, 0, {}), 4) == 2, "unknown: the minimum"
    assert supply(view, capacity=16, demand=4, lent=2, free=10, reserve=5).lendable == 4, "the lending limit"
    assert supply(view, capacity=16, demand=4, lent=0, free=3, reserve=5).lendable == 0
    assert risk_bound(view, SPOT, HOUR_US, price_micro=2_350_000, capacity=16) == 16
    assert risk_bound(view, GUARDED, HOUR_US, price_micro=2_350_000, capacity=16) == 16 - 6, "p* of 0.48: the sixth sample"
    assert risk_bound(view, GUARDED, 8 * HOUR_US, price_micro=2_350_000, capacity=16) == 0, "unknown: nothing is guaranteed"
    assert risk_share_of(view, GUARDED, HOUR_US, lent_of_class=7, capacity=16) == Fraction(1, 4), "P(M > 8) = 0.2"
    assert risk_share_of(view, GUARDED, 7, lent_of_class=7, capacity=16) == 0
    assert risk_share_of(PoolView(pool_of(), 1, 0, 0, {7: certain(3)}), GUARDED, 7, lent_of_class=0, capacity=2) == 99


def test_a_pool_that_was_often_recalled_has_a_higher_floor() -> None:
    pool = pool_of(cost=CostSheet(operations_micro=20_000))
    bare, recalled = (published_floor(PoolView(pool, 0, 0, 0, {}, recalled=share)) for share in (0.0, 0.5))
    assert recalled.total_micro - bare.total_micro == recalled.reclaim_micro == 10_000


def test_the_horizon_of_a_lease_is_its_term_or_what_is_paid_ahead() -> None:
    assert term_of(GUARDED, 8 * HOUR_US, 5) == 8 * HOUR_US
    assert term_of(GUARDED, None, 5) == HOUR_US
    assert term_of(SPOT, None, 5) == 5
