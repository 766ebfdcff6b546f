"""The figures that need no running system: the owner's delays, and the proof in the training's own output."""

from typing import Any

from sublet.demo.figures import owner_figures
from sublet.demo.learning import parse


def job(entitled: int | None, started: int | None, since: int = 0) -> dict[str, Any]:
    delay = None if started is None or entitled is None else max(0, started - entitled)
    return {"entitled_us": entitled, "started_us": started, "delay_us": delay, "since_us": since}


def test_delays_are_nearest_ranks_and_late_ones_break_the_promise() -> None:
    jobs = [job(0, n * 1_000_000) for n in range(1, 101)]
    found = owner_figures(jobs, within_us=98_000_000)
    assert (found.delay.p50, found.delay.p99, found.delay.max) == (50.0, 99.0, 100.0)
    assert found.promises_broken == 2


def test_a_job_that_never_started_counts_with_its_whole_wait() -> None:
    found = owner_figures([job(0, 1_000_000), job(0, None, since=9_000_000)], within_us=8_000_000)
    assert found.never_started == 1 and found.delay.max == 9.0 and found.promises_broken == 1


def test_waiting_for_the_owners_own_work_is_no_delay_by_leasing() -> None:
    found = owner_figures([job(None, None, since=90_000_000)], within_us=8_000_000)
    assert found.never_started == 1 and found.delay.max == 0.0 and found.promises_broken == 0


def test_no_jobs_no_delay() -> None:
    assert owner_figures([], within_us=1).delay.max == 0.0


def test_a_loss_that_goes_on_falling_is_told_from_one_that_starts_over() -> None:
    first = "step 0 loss 0.900000\nstep 10 loss 0.500000\nsaved at step 12\n"
    going_on = "resumed at step 12\nstep 20 loss 0.400000\n"
    over_again = "step 0 loss 0.900000\nstep 10 loss 0.500000\n"
    assert parse([(1, first), (2, ""), (3, going_on)]).falling
    assert not parse([(1, first), (2, over_again)]).falling
    assert parse([(1, first), (3, going_on)]).document() == {
        "attempts": 2,
        "resumed": 1,
        "steps": 20,
        "first_loss": 0.9,
        "last_loss": 0.4,
        "falling": True,
    }
    assert not parse([]).falling
