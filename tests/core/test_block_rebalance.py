"""Blocks that wait move among like pools: against every possible choice on small cases, and in parts on larger ones."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from builders import pool_of

from sublet.core.blocks.rebalance import PACKED, Shelves, greedy, kind_of, rebalanced, weights
from sublet.core.lease import LeaseClass
from sublet.core.terms import TERMS, BlockSale, Promise
from sublet.core.units import HOUR_US, SECOND_US

WINDOWS = 12


def shelves(rng: np.random.Generator, pools: int, blocks: int, *, nodes: int = 6, fixed: float = 0.1) -> Shelves:
    """Blocks that were sold where they fitted, in pools whose owners have needed more since."""
    left = rng.integers(nodes // 2, nodes + 1, (pools, 1)) + np.zeros((pools, WINDOWS), np.int64)
    rest, rows = left.copy(), []
    for _ in range(blocks):
        first, many = int(rng.integers(0, WINDOWS - 1)), int(rng.integers(1, 4))
        last, home = int(rng.integers(first + 1, WINDOWS + 1)), int(rng.integers(0, pools))
        if rest[home, first:last].min() >= many:
            rest[home, first:last] -= many
            rows.append((first, last, many, home))
    left[rng.random(pools) < 0.5, : WINDOWS // 2] -= 2
    begins, ends, sizes, homes = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    may = rng.random((len(rows), pools)) >= fixed
    may[np.arange(len(rows)), homes] = True
    sold = np.bincount(homes, sizes * (ends - begins), pools).astype(np.int64)
    return Shelves(left, weights(left, sold), begins, ends, sizes, homes, may)


def least(one: Shelves) -> int:
    """The least that any choice costs, by trying them all."""
    choices = (np.flatnonzero(may).tolist() for may in one.may)
    return min(one.cost(np.array(at, np.int64)) for at in itertools.product(*choices))


@pytest.mark.parametrize("seed", range(12))
def test_a_small_case_costs_the_least_there_is(seed: int) -> None:
    one = shelves(np.random.default_rng(seed), 3, 7)
    found = rebalanced(one, seed=seed, part=3, seconds=10)
    best = least(one)
    assert found.cost == one.cost(found.at) == pytest.approx(best, rel=0.001)
    assert found.parts == 1 and 0.99 * best <= found.bound <= best
    assert one.may[np.arange(len(one)), found.at].all(), "no block lies where it may not"
    assert found.before == one.cost(one.home) >= one.cost(greedy(one)) >= found.cost


def test_parts_are_solved_one_by_one_and_never_make_it_worse() -> None:
    """The same split gives the same choice; the whole is better than parts, and these than the greedy search alone."""
    gained, whole = [], []
    for seed in range(6):
        one = shelves(np.random.default_rng(seed), 8, 60, nodes=10)
        quick = rebalanced(one, seed=0, seconds=0)
        assert quick.cost == one.cost(greedy(one)) and quick.parts == 0
        parts = [rebalanced(one, seed=split, part=2, seconds=20) for split in (1, 1, 2)]
        assert parts[0].at.tolist() == parts[1].at.tolist() and parts[0].parts == 4
        assert max(part.cost for part in parts) <= quick.cost <= quick.before
        gained.append(quick.cost - min(part.cost for part in parts))
        whole.append(rebalanced(one, seed=1, part=8, seconds=1).cost <= quick.cost)
    assert sum(gained) > 0 and all(whole)


def test_what_is_sold_beyond_the_limit_moves_to_where_there_is_room_and_nothing_else_does() -> None:
    """Two pools with room for four nodes each; the first has lost three of them in the second half."""
    left = np.array([[4] * 6 + [1] * 6, [4] * 12], np.int64)
    begins, ends, everywhere = np.array([0, 6, 6]), np.array([6, 12, 12]), np.ones((3, 2), np.bool_)
    some = Shelves(left, np.zeros(2, np.int64), begins, ends, np.array([2, 2, 1]), np.zeros(3, np.int64), everywhere)
    assert some.beyond(some.home) == 6 * 2
    assert rebalanced(some, seed=0).at.tolist() == [0, 1, 0]
    fixed = replace(some, may=np.array([[True, False]] * 3))
    assert rebalanced(fixed, seed=0).at.tolist() == [0, 0, 0]


def test_what_is_left_stays_whole() -> None:
    """Two small blocks in two pools come to lie in one, and the larger pool is free for a large block."""
    left = np.array([[6] * 12, [8] * 12], np.int64)
    long, weight = np.array([12, 12]), weights(left, np.zeros(2, np.int64))
    two = Shelves(left, weight, np.zeros(2, np.int64), long, np.array([2, 2]), np.array([0, 1]), np.ones((2, 2), np.bool_))
    assert rebalanced(two, seed=0).at.tolist() == [0, 0]
    assert weights(left, np.array([1, 2])).tolist() == [PACKED, 0], "the pool with most in it stays that one"


SAME: dict[str, dict[str, object]] = {
    "limit": {"blocks": BlockSale(limit=3)},
    "least price": {"blocks": BlockSale(least_micro=7)},
    "promised GPUs": {"promise": Promise(gpus=5)},
    "forecast": {"forecast": "last_week_peak"},
    "price of leases": {"price_micro": 5},
}
OTHER: dict[str, dict[str, object]] = {
    "site": {"site": "paris"},
    "model": {"gpu_model": "A100"},
    "currency": {"currency": "EUR"},
    "notice": {"terms": {**TERMS, LeaseClass.BLOCK: replace(TERMS[LeaseClass.BLOCK], grace_us=HOUR_US)}},
    "windows": {"blocks": BlockSale(window_us=2 * HOUR_US)},
    "what is paid back": {"blocks": BlockSale(sell_back_bps=1)},
    "hand-over": {"handover_us": 61 * SECOND_US},
    "promised time": {"promise": Promise(within_us=HOUR_US)},
}


@pytest.mark.parametrize("name", [*SAME, *OTHER])
def test_pools_of_one_kind_sell_a_tenant_the_same(name: str) -> None:
    changes: dict[str, object] = (SAME | OTHER)[name]
    assert (kind_of(pool_of()) == kind_of(pool_of(**changes))) == (name in SAME)
