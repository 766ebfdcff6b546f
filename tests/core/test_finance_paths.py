"""Paths of the accounts: the kernels are their plain twins, every path ties out, and the seed alone decides."""

from dataclasses import replace

import numpy as np
import pytest
from finance_twins import plain_books, plain_market, scenario, scenarios
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.finance.accounts import accounts_of, total
from sublet.core.finance.paths import COLUMNS, base_prices, books, draw, markets
from sublet.core.finance.scenario import Chances, PricePath, Scenario
from sublet.core.finance.tables import months_of


@pytest.mark.parametrize("seed", range(6))
def test_markets_are_their_plain_twin(seed: int) -> None:
    one = scenario()
    draws = draw(np.random.default_rng(seed), one, 40)
    found = markets(one, draws)
    for path in range(40):
        prices, leased, taken, scales = plain_market(one, draws, path)
        assert found.price[path].tolist() == prices
        assert found.leased[path].tolist() == leased
        assert found.taken[path].tolist() == taken
        assert tuple(found.scale[path].tolist()) == scales
    assert found.taken.any() and (found.price.min(), found.price.max()) != (found.price[0, 0],) * 2


@given(one=scenarios(), seed=st.integers(0, 1_000))
@settings(max_examples=60, deadline=None)
def test_books_are_their_plain_twin_and_tie_out(one: Scenario, seed: int) -> None:
    months = months_of(one)
    found = markets(one, draw(np.random.default_rng(seed), one, 3))
    targets = [0, months.opening]
    made = books(months, found, np.array(targets, np.int64))
    for path in range(3):
        said = plain_books(months, found, path, targets)
        row = dict(zip(COLUMNS, made.totals[path].tolist(), strict=True))
        assert row.pop("imbalance") == 0
        assert row == {name: said[name] for name in row}
        assert made.contributions[path].tolist() == said["contributions"]
        assert made.reached[path].tolist() == said["reached"]


def test_assets_depreciation_and_cash_tie_out_in_every_path_of_a_run() -> None:
    one = scenario(months=60)
    months = months_of(one)
    made = books(months, markets(one, draw(np.random.default_rng(1), one, 4_000)), np.zeros(2, np.int64))
    of = {name: made.totals[:, nth] for nth, name in enumerate(COLUMNS)}
    assert not of["imbalance"].any()
    closing = int(months.assets[-1]) + of["receivable"] + of["cash"]
    assert (closing == months.opening + of["result"]).all()
    fixed = int(months.standing.sum() + months.depreciation.sum())
    assert (of["result"] == of["contribution"] - fixed).all()
    rolled = months.opening + int(months.capex.sum()) - int(months.depreciation.sum()) - int(months.disposal.sum())
    assert rolled == int(months.assets[-1])
    assert len(np.unique(of["cash"])) > 3_900, "paths differ"


def test_a_path_without_chance_is_the_base_case() -> None:
    one = replace(scenario(), price=PricePath(2_350_000, trend=-0.2), chances=Chances())
    months = months_of(one)
    made = books(months, markets(one, draw(np.random.default_rng(3), one, 2)), np.zeros(2, np.int64))
    flows = total([month.flows for month in accounts_of(months, base_prices(one.price, one.months))])
    row = dict(zip(COLUMNS, made.totals[0].tolist(), strict=True))
    assert (row["revenue"], row["contribution"], row["result"]) == (
        flows.revenue_micro, flows.contribution_micro, flows.result_micro
    )  # fmt: skip
    assert row["leased_gpu_h"] == flows.leased_gpu_h


def test_the_seed_alone_decides() -> None:
    one = scenario()
    first, again, other = (markets(one, draw(np.random.default_rng(seed), one, 50)).price for seed in (5, 5, 6))
    assert (first == again).all() and (first != other).any()


def test_a_spike_takes_leases_and_owes_credits() -> None:
    calm = replace(scenario(), chances=Chances())
    torn = replace(calm, chances=Chances(spikes=3.0, spike_months=2, spike_left_ppm=0))
    months, draws = months_of(calm), draw(np.random.default_rng(8), calm, 300)
    quiet, wild = (books(months, markets(one, draws), np.zeros(2, np.int64)) for one in (calm, torn))
    hit = markets(torn, draws).taken.any(axis=1)
    contribution = COLUMNS.index("contribution")
    assert hit.any() and (wild.totals[hit, contribution] < quiet.totals[hit, contribution]).all()
    assert (wild.totals[~hit, contribution] == quiet.totals[~hit, contribution]).all()
