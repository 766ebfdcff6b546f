"""Time on the grid and money in whole micro-units."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublet.core.units import HOUR_US, TICK_US, charge_micro, from_seconds, on_grid, said, seconds


@given(us=st.integers(0, 2**62))
def test_the_grid_instant_is_the_last_one_not_after(us: int) -> None:
    assert on_grid(us) % TICK_US == 0
    assert 0 <= us - on_grid(us) < TICK_US


@given(s=st.floats(0, 10**8))
def test_a_promise_does_not_shrink_by_rounding(s: float) -> None:
    us = from_seconds(s)
    assert us % TICK_US == 0
    assert round(s * 1e6) <= us < round(s * 1e6) + TICK_US


@given(ticks=st.lists(st.integers(0, 2**38), max_size=20))
def test_seconds_on_the_grid_are_exact_and_so_are_their_sums(ticks: list[int]) -> None:
    parts = [seconds(tick * TICK_US) for tick in ticks]
    assert [from_seconds(part) for part in parts] == [tick * TICK_US for tick in ticks]
    assert sum(parts) == seconds(sum(ticks) * TICK_US)


@given(gpu_us=st.integers(0, 2**60), price=st.integers(0, 2**40))
def test_a_charge_is_rounded_half_up(gpu_us: int, price: int) -> None:
    exact = Fraction(gpu_us * price, HOUR_US)
    assert -Fraction(1, 2) < charge_micro(gpu_us, price) - exact <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("gpu_us", "price", "charge"), [(HOUR_US, 7, 7), (HOUR_US // 2, 1, 1), (HOUR_US // 2 - 1, 1, 0), (0, 5, 0), (5, 0, 0)]
)
def test_charges_of_note(gpu_us: int, price: int, charge: int) -> None:
    assert charge_micro(gpu_us, price) == charge


def test_time_and_prices_are_not_negative() -> None:
    with pytest.raises(AssertionError):
        charge_micro(-1, 1)
    with pytest.raises(AssertionError):
        charge_micro(1, -1)


@pytest.mark.parametrize(
    ("us", "text"),
    [(4 * HOUR_US, "4 h"), (HOUR_US // 2, "30 min"), (90 * 1_000_000, "90 s"), (1_500_000, "1.5 s"), (0, "0 s")],
)
def test_lengths_are_said_in_the_unit_that_comes_out_whole(us: int, text: str) -> None:
    assert said(us) == text
