"""Every GPU-second has one state and one payer: the account against a count of every tick, and each violation is found."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from builders import POOL, T0, S, fleet_of, lease_of, node, running, running_job
from hypothesis import given, settings
from hypothesis import strategies as st

from sublet.core.fleet import Fleet
from sublet.core.ids import LeaseId, TenantId
from sublet.core.invariants import Books, billed_and_grace, check_books, check_leases, check_now, check_usage
from sublet.core.lease import Cause, Lease, State
from sublet.core.occupancy import STATES, Capacity, Level, Span, account
from sublet.core.owner import OwnerJob
from sublet.core.usage import Attempt, Usage, UsageKind

HELD_STATES = ("owner", "leased", "handover", "down")
END = 40


def span(where: int, mask: int, state: str, from_us: int, to_us: int | None = None, *, holder: str = "x") -> Span:
    return Span(POOL, node(where), mask, state, holder, 1, from_us, to_us)


@st.composite
def records(draw: st.DrawFn, *, overlapping: bool) -> tuple[list[Span], list[Capacity], list[Level]]:
    """Spans of one to three nodes; without overlaps each GPU's time line is cut into pieces."""
    nodes = [
        Capacity(node(i), (1 << draw(st.integers(1, 4))) - 1, draw(st.integers(-5, 20))) for i in range(draw(st.integers(1, 3)))
    ]
    spans = []
    for number, capacity in enumerate(nodes):
        for bit in range(capacity.mask.bit_length()):
            since = -10 if overlapping else capacity.since_us
            cuts: list[int] = sorted(draw(st.sets(st.integers(since, END + 10), max_size=6)))
            for from_us, to_us in itertools.pairwise(cuts):
                if draw(st.booleans()):
                    spans.append(span(number, 1 << bit, draw(st.sampled_from(HELD_STATES)), from_us, to_us))
            if draw(st.booleans()) and cuts:
                spans.append(span(number, 1 << bit, draw(st.sampled_from(HELD_STATES)), cuts[-1]))
            if overlapping and cuts:
                spans.append(span(number, 0b11, draw(st.sampled_from(HELD_STATES)), cuts[0], cuts[-1]))
    levels = [
        Level(at, gpus) for at, gpus in zip(sorted(draw(st.sets(st.integers(-5, END), max_size=4))), [2, 0, 5, 1], strict=False)
    ]
    return spans, nodes, levels


def covers(one: Span, tick: int) -> bool:
    return one.from_us <= tick and (one.to_us is None or tick < one.to_us)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(drawn=records(overlapping=False))
def test_the_six_states_add_up_and_agree_with_a_count_of_every_tick(
    drawn: tuple[list[Span], list[Capacity], list[Level]],
) -> None:
    spans, nodes, levels = drawn
    counted: Counter[str] = Counter(dict.fromkeys(STATES, 0))
    capacity = 0
    for tick in range(END):
        there = sum(one.mask.bit_count() for one in nodes if one.since_us <= tick)
        now = Counter(dict.fromkeys(HELD_STATES, 0))
        for one in spans:
            now[one.state] += one.mask.bit_count() * covers(one, tick)
        level = next((one.gpus for one in reversed(levels) if one.at_us <= tick), 0)
        free = there - now.total()
        counted.update(now)
        counted.update({"reserve": min(free, level), "idle": free - min(free, level)})
        capacity += there
    result = account(spans, nodes, levels, from_us=0, to_us=END)
    assert result.by_state == dict(counted)
    assert result.capacity == capacity
    assert result.conserved


@settings(deadline=None, derandomize=True, max_examples=150)
@given(drawn=records(overlapping=True))
def test_a_gpu_in_two_hands_is_found_and_one_in_one_hand_is_not_accused(
    drawn: tuple[list[Span], list[Capacity], list[Level]],
) -> None:
    spans, nodes, levels = drawn
    known = {one.node: one for one in nodes}
    wrong = False
    for tick in range(END):
        now = [one for one in spans if covers(one, tick)]
        bits = [(one.node, bit) for one in now for bit in range(4) if one.mask >> bit & 1]
        wrong |= len(bits) != len(set(bits))
        wrong |= any(not known[where].mask >> bit & 1 or known[where].since_us > tick for where, bit in bits)
    result = account(spans, nodes, levels, from_us=0, to_us=END)
    assert bool(result.overlaps) == wrong
    assert result.conserved <= (not wrong)


def test_a_span_on_a_node_of_nobody_is_found() -> None:
    result = account([span(7, 1, "leased", 0)], [Capacity(node(0), 1, 0)], [], from_us=0, to_us=END)
    assert result.overlaps == ("x holds GPUs of n7, which the pool does not have",)
    assert not result.conserved


# the present state


def test_a_sound_state_raises_no_complaint() -> None:
    lease, job = running("a", (0, 0b0011), (1, 0b0011)), running_job("j", (0, 0b1100))
    assert check_now(fleet_of([4, 4], [lease], [job]), [lease, lease_of("waits")], [job]) == []


A, B = running("a", (0, 0b0011)), running("b", (0, 0b0110))
OUTSIDE, ELSEWHERE = running("a", (0, 0b10001)), running("a", (9, 1))
UNEVEN = replace(running("a", (0, 0b0111), (1, 0b0001)), gpus=4)
SHORT = replace(running("a", (0, 0b0001)), gpus=2)


@pytest.mark.parametrize(
    ("leases", "jobs", "said"),
    [
        ([A, B], [], "GPU 1 of n0 is held by a and b"),
        ([A], [running_job("j", (0, 0b0010))], "GPU 1 of n0 is held by a and j"),
        ([OUTSIDE], [], "a holds GPUs 0x11 of n0, which are not there"),
        ([ELSEWHERE], [], "a holds GPUs 0x1 of n9, which are not there"),
        ([UNEVEN], [], "a has a right to 2 x 2 GPUs"),
        ([SHORT], [], "a has a right to 1 x 2 GPUs"),
    ],
)
def test_whatever_is_sold_twice_or_is_not_there_is_named(leases: list[Lease], jobs: list[OwnerJob], said: str) -> None:
    assert any(said in sentence for sentence in check_now(fleet_of([4, 4]), leases, jobs))


@pytest.mark.parametrize(("owner", "leased", "down"), [(1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_a_gpu_in_two_states_at_once_is_found(owner: int, leased: int, down: int) -> None:
    masks = {"owner": owner, "leased": leased, "down": down}
    fleet: Fleet = replace(fleet_of([4]), **{name: np.array([mask], np.uint64) for name, mask in masks.items()})  # type: ignore[arg-type]
    assert check_now(fleet, [], []) == ["a GPU is in two states at once"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"price_micro": 4_000_000}, "pays 4000000, above its bid of 3000000"),
        ({"deadline_us": T0 + S, "cause": Cause.RECLAIMED, "exempt_until_us": T0 + 2 * S}, "inside its exempt window"),
        ({"state": State.QUEUED}, "is queued and holds GPUs"),
        ({"state": State.ENDED}, "is ended and holds GPUs"),
    ],
)
def test_a_broken_contract_is_named(fields: dict[str, object], said: str) -> None:
    (sentence,) = check_leases([running("a", (0, 1)), running("b", (0, 2), **fields)])
    assert said in sentence


# usage and books


def usage(
    seq: int, from_us: int, to_us: int, *, lease: str = "a", attempt: int = 1, kind: UsageKind = UsageKind.BILLED
) -> Usage:
    return Usage(LeaseId(lease), seq, TenantId("acme"), POOL, attempt, from_us, to_us, 2, 5, kind)


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        ([usage(1, 0, 9), usage(2, 8, 12)], "intervals 1 and 2 overlap"),
        ([usage(1, 0, 9), usage(2, 10, 12)], "intervals 1 and 2 leave a gap"),
        ([usage(1, 5, 5)], "interval 1 has no length"),
    ],
)
def test_time_measured_twice_or_not_at_all_is_named(intervals: list[Usage], said: str) -> None:
    assert any(said in sentence for sentence in check_usage(intervals))


def test_attempts_and_leases_are_measured_each_for_itself() -> None:
    assert (
        check_usage([usage(1, 0, 9), usage(2, 20, 30, attempt=2), usage(1, 5, 9, lease="b"), usage(3, 30, 31, attempt=2)]) == []
    )


def books(*intervals: Usage, spans: tuple[Span, ...] = ()) -> Books:
    return Books(POOL, 0, END, [Capacity(node(0), 0b1111, 0)], spans, [], intervals)


LEASED = span(0, 0b0011, "leased", -5, 20, holder="a")


def test_books_agree_where_usage_covers_the_leased_time_inside_the_period() -> None:
    grace = usage(2, 15, 20, kind=UsageKind.GRACE)
    sound = books(usage(1, -5, 15), grace, spans=(LEASED,))
    assert check_books(sound) == []
    assert billed_and_grace(sound.usage) == {UsageKind.BILLED: 40, UsageKind.GRACE: 10}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (books(usage(1, -5, 15), spans=(LEASED,)), "lease a: 40 GPU-us of pool h100 were leased, 30 measured"),
        (books(spans=(LEASED,)), "lease a: 40 GPU-us of pool h100 were leased, 0 measured"),
        (books(usage(1, -5, 20)), "lease a: 0 GPU-us of pool h100 were leased, 40 measured"),
        (books(usage(1, -5, 20), spans=(LEASED, span(0, 0b10, "owner", 3, 9, holder="j"))), "which somebody holds"),
        (books(spans=(span(0, 0b1111, "owner", 0, 9), span(0, 0b1111, "down", 0, 9))), "the six states add up to"),
        (books(usage(1, -5, 10), usage(2, 10, 20), usage(3, 19, 20), spans=(LEASED,)), "overlap"),
    ],
)
def test_books_that_do_not_agree_say_where(broken: Books, said: str) -> None:
    assert any(said in sentence for sentence in check_books(broken))


@pytest.mark.parametrize(
    ("fields", "lost_us"),
    [
        ({}, 50 * S),
        ({"checkpoint_us": T0 + 30 * S}, 20 * S),
        ({"checkpoint_us": T0 - S}, 50 * S),
        ({"checkpoint_us": T0 + 60 * S}, 0),
        ({"started_us": None}, 0),
        ({"cause": Cause.RELEASED}, 0),
        ({"exit_code": 0}, 0),
    ],
)
def test_lost_work_is_what_a_reclaim_cut_off_since_the_last_checkpoint(fields: dict[str, object], lost_us: int) -> None:
    lease = running("a", (0, 1))
    attempt = Attempt(
        lease.id,
        1,
        lease.tenant,
        POOL,
        lease.lease_class,
        1,
        5,
        None,
        T0,
        T0,
        None,
        None,
        T0 + 50 * S,
        None,
        Cause.RECLAIMED,
        None,
    )
    assert replace(attempt, **fields).lost_us == lost_us  # type: ignore[arg-type]
