"""How offers and quantiles are scored: against slow twins, and on cases that can be checked by hand."""

import math

import numpy as np
import pytest
from demands import NORTH, SOUTH
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.forecast.scoring import PINBALL_LEVELS, Outcome, as_document, by_pool, coverage, interval, pinball, score

settings.register_profile("core", deadline=None, derandomize=True, max_examples=150)
PROFILE = settings.get_profile("core")
Table = list[list[int]]


def table(values: Table) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def outcome_of(peaks: Table, *, capacity: tuple[int, ...] = (10, 4), unknown: tuple[tuple[int, int], ...] = ()) -> Outcome:
    counts = np.ones((len(peaks), len(capacity)), np.bool_)
    for at in unknown:
        counts[at] = False
    return Outcome(np.array(capacity, np.int64), table(peaks), counts)


def scored(gpus: Table, outcome: Outcome, *, block: int = 1, seed: int = 0):  # type: ignore[no-untyped-def]
    return score(table(gpus), outcome, risk=0.1, block=block, rng=np.random.default_rng(seed))


def test_an_offer_is_reclaimed_when_the_peak_leaves_less_than_it_and_the_oracle_offers_all_that_stays_free() -> None:
    found = scored([[4, 1], [5, 0], [2, 3]], outcome_of([[6, 3], [6, 2], [12, 0]]))
    assert (found.windows, found.offered) == (6, 5)
    assert found.reclaimed == 2 / 5, "5 of 4 and 2 of none; 4 of 4 is kept"
    oracle = (4 + 1) + (4 + 2) + (0 + 4)
    assert found.captured == (4 + 1 + 5 + 2 + 3) / oracle and found.kept == (4 + 1 + 3) / oracle
    assert found.reclaimed_gpus == 7 / 15 and found.risk == 0.1


def test_a_window_that_nobody_saw_counts_for_nothing() -> None:
    found = scored([[4, 1], [9, 4]], outcome_of([[6, 3], [0, 0]], unknown=((1, 0), (1, 1))))
    assert (found.windows, found.offered, found.reclaimed, found.captured) == (2, 2, 0.0, 1.0)


def test_of_no_offer_and_no_surplus_the_shares_are_nothing() -> None:
    found = scored([[0, 0]], outcome_of([[10, 9]]))
    assert (found.reclaimed, found.reclaimed_gpus, found.captured, found.kept, found.offered) == (0, 0, 0, 0, 0)
    assert (found.low, found.high) == (0.0, 1.0), "one block says nothing"


@PROFILE
@given(data=st.data(), instants=st.integers(1, 12))
def test_pools_add_up_to_the_fleet(data: st.DataObject, instants: int) -> None:
    def drawn(most: int) -> Table:
        return data.draw(st.lists(st.lists(st.integers(0, most), min_size=2, max_size=2), min_size=instants, max_size=instants))

    gpus, outcome = drawn(4), outcome_of(drawn(12))
    whole, pools = scored(gpus, outcome), by_pool(table(gpus), outcome, (NORTH, SOUTH))
    assert [pool.pool for pool in pools] == [NORTH, SOUTH]
    assert sum(pool.offered for pool in pools) == whole.offered
    assert sum(pool.reclaimed * pool.offered for pool in pools) == pytest.approx(whole.reclaimed * whole.offered)
    shares = sum(pool.share for pool in pools)
    assert shares == pytest.approx(1.0 if outcome.surplus.any() else 0.0)
    assert sum(pool.kept * pool.share for pool in pools) == pytest.approx(whole.kept)
    assert as_document(pools[0])["pool"] == NORTH and as_document(whole)["captured"] == whole.captured


@PROFILE
@given(hits=st.lists(st.integers(0, 5), min_size=2, max_size=60), block=st.integers(1, 20), seed=st.integers(0, 9))
def test_the_interval_lies_within_what_blocks_had_and_is_the_same_for_the_same_seed(
    hits: list[int], block: int, seed: int
) -> None:
    of = np.full(len(hits), 5, np.int64)
    low, high = interval(np.array(hits, np.int64), of, block=block, rng=np.random.default_rng(seed))
    again = interval(np.array(hits, np.int64), of, block=block, rng=np.random.default_rng(seed))
    assert (low, high) == again and 0 <= low <= high <= 1
    shares = [sum(hits[i : i + block]) / (5 * len(hits[i : i + block])) for i in range(0, len(hits), block)]
    if len(shares) > 1:
        assert min(shares) - 1e-9 <= low and high <= max(shares) + 1e-9


def test_windows_that_overlap_are_resampled_together_and_say_less() -> None:
    rng = np.random.default_rng(3)
    days = np.repeat(rng.random(60) < 0.2, 24).astype(np.int64)
    each = np.ones(len(days), np.int64)
    apart = interval(days, each, block=1, rng=np.random.default_rng(0))
    together = interval(days, each, block=24, rng=np.random.default_rng(0))
    assert together[1] - together[0] > 3 * (apart[1] - apart[0])
    assert together[0] < days.mean() < together[1]


def test_pinball_is_the_slow_sum_and_demand_beyond_the_capacity_makes_no_difference() -> None:
    rng = np.random.default_rng(1)
    samples = np.sort(rng.integers(0, 14, (2, 9, 200)), axis=2)
    known, outcome = rng.random((2, 9)) < 0.8, outcome_of(rng.integers(0, 14, (9, 2)).tolist(), unknown=((3, 0), (4, 1)))
    found = pinball(samples, known, outcome)
    for level in PINBALL_LEVELS:
        losses = []
        for i in range(9):
            for p, capacity in enumerate((10, 4)):
                if not outcome.counts[i, p] or not known[p, i]:
                    continue
                quantile = min(int(samples[p, i, math.ceil(level * 200) - 1]), capacity)
                above = min(int(outcome.peak[i, p]), capacity) - quantile
                losses.append((level * above if above >= 0 else (level - 1) * above) / capacity)
        assert found[level] == pytest.approx(np.mean(losses))
    worse = Outcome(outcome.capacity, np.where(outcome.peak >= outcome.capacity, 99, outcome.peak), outcome.counts)
    assert pinball(samples, known, worse) == found


def test_of_nothing_known_there_is_no_loss_and_no_coverage() -> None:
    outcome, nothing = outcome_of([[1, 1]]), np.zeros((2, 1), np.bool_)
    samples = np.zeros((2, 1, 200), np.int64)
    assert all(math.isnan(loss) for loss in pinball(samples, nothing, outcome).values())
    assert coverage(samples, nothing, outcome, 0.1) == 0.0


def test_coverage_is_the_share_of_peaks_that_the_quantile_reached() -> None:
    samples = np.broadcast_to(np.arange(1, 201), (2, 2, 200)).astype(np.int64)
    outcome = outcome_of([[180, 181], [0, 200]], capacity=(300, 300))
    assert coverage(samples, np.ones((2, 2), np.bool_), outcome, 0.1) == 2 / 4
    assert coverage(samples, np.array([[True, True], [False, False]]), outcome, 0.1) == 1.0
