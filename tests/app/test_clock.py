"""The clock never runs backwards, whatever the machine's clock does."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sublet.app.clock import JUMP_US, Clock, explain_jump
from sublet.core.units import TICK_US

START_US = 1_700_000_000_000_000


class Machine:
    """A machine's two clocks, set by hand (µs)."""

    def __init__(self) -> None:
        self.wall_us, self.monotonic_us = START_US, 5_000_000

    def pass_time(self, us: int) -> None:
        self.wall_us += us
        self.monotonic_us += us

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_us * 1_000, lambda: self.monotonic_us * 1_000)


def test_it_follows_the_wall_clock_on_the_grid() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(1_000_007)
    assert clock.now_us() == START_US + 1_000_000 and clock.now_us() % TICK_US == 0
    machine.wall_us += 3_600_000_000
    assert clock.now_us() == START_US + 3_601_000_000
    assert clock.jumped_back_us() is None


def test_a_jump_back_is_not_followed_and_told_once() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(10_000_000)
    before = clock.now_us()
    machine.wall_us -= 3_600_000_000
    machine.pass_time(2_000_000)
    assert clock.now_us() == before + 2_000_000
    assert clock.jumped_back_us() == 3_600_000_000
    machine.pass_time(500_000_000)
    assert clock.jumped_back_us() is None
    assert clock.now_us() == before + 502_000_000


def test_a_second_jump_is_told_again_and_a_corrected_clock_is_followed() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_us -= 10_000_000
    assert clock.jumped_back_us() == 10_000_000
    machine.wall_us -= 10_000_000
    assert clock.jumped_back_us() == 20_000_000
    machine.wall_us += 60_000_000
    assert clock.now_us() == START_US + 40_000_000 and clock.jumped_back_us() is None
    machine.wall_us -= 5_000_000
    assert clock.jumped_back_us() == 5_000_000


def test_a_restart_after_a_jump_goes_on_from_the_last_instant() -> None:
    machine = Machine()
    machine.wall_us -= 86_400_000_000
    clock = machine.clock()
    clock.resume(START_US)
    assert clock.now_us() == START_US and clock.jumped_back_us() == 86_400_000_000
    machine.pass_time(3_000_000)
    assert clock.now_us() == START_US + 3_000_000


def test_a_restart_after_a_quiet_night_follows_the_wall_clock() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.resume(START_US - 8 * 3_600_000_000)
    assert clock.now_us() == START_US and clock.jumped_back_us() is None


def test_slewing_is_no_jump() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_us -= JUMP_US - 1
    assert clock.jumped_back_us() is None and clock.now_us() == START_US


def test_what_is_told_says_what_to_do() -> None:
    assert "3600.0 s" in explain_jump(3_600_000_000) and "chronyc" in explain_jump(1)


@given(st.lists(st.tuples(st.integers(-(10**10), 10**10), st.integers(0, 10**8)), max_size=40))
def test_it_never_runs_backwards_and_never_stands_while_time_passes(moves: Any) -> None:
    machine = Machine()
    clock = machine.clock()
    last = clock.now_us()
    for jump, passed in moves:
        machine.wall_us = max(0, machine.wall_us + jump)
        machine.pass_time(passed)
        now = clock.now_us()
        assert now >= last + passed - TICK_US and now % TICK_US == 0
        last = now
