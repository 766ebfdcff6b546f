"""Where gangs fit and whom a reclaim ends, against every possible choice on small fleets."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from builders import T0, S, job_of, node, place, pool_of, running
from cover_twins import Candidate, cheapest_cover, total_cost
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import borrowers, candidate_of, handback_us, loss_micro, shortage, standing_with

from sublet.core.fleet import Placement, gpus_of, lowest_bits, overlaps
from sublet.core.ids import LeaseId
from sublet.core.kernels.cheapest import cheapest
from sublet.core.lease import HELD, Lease, LeaseClass, State
from sublet.core.owner import OwnerJob
from sublet.core.placement import Room, can_ever_fit
from sublet.core.promise import promisable
from sublet.core.reclaim import reclaimable
from sublet.core.terms import Pool
from sublet.core.topology import Location, Within, topology_of
from sublet.core.units import HOUR_US
from sublet.core.workload import CHECKPOINTED_EXIT

PROFILE = settings(deadline=None, derandomize=True, max_examples=150)


def room_of(*nodes: tuple[int, int]) -> Room:
    """Nodes as (size, mask of the free GPUs)."""
    slots = np.array([(1 << size) - 1 for size, _ in nodes], np.uint64)
    return Room(tuple(node(i) for i in range(len(nodes))), slots, np.array([free for _, free in nodes], np.uint64))


ROOMS = st.lists(
    st.sampled_from([1, 2, 4, 8]).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, (1 << size) - 1))),
    min_size=1,
    max_size=6,
)


@PROFILE
@given(nodes=ROOMS, per_node=st.integers(1, 8), gang=st.integers(1, 3), whole=st.booleans())
def test_a_gang_is_placed_whole_on_the_fullest_nodes_or_not_at_all(
    nodes: list[tuple[int, int]],
    per_node: int,
    gang: int,
    whole: bool,  # noqa: FBT001
) -> None:
    """Filling the fullest nodes first leaves the most untouched; no other choice of nodes leaves fewer GPUs over."""
    room = room_of(*nodes)
    fitting = [
        i
        for i, (size, free) in enumerate(nodes)
        if free.bit_count() >= per_node and (not whole or free.bit_count() == per_node == size)
    ]
    found = room.find(gpus_per_node=per_node, nodes=gang, whole=whole)
    if len(fitting) < gang:
        assert found is None
        return
    assert found is not None and len({where for where, _ in found}) == gang
    assert all(mask.bit_count() == per_node and mask & ~nodes[int(where[1:])][1] == 0 for where, mask in found)
    left_over = sum(nodes[int(where[1:])][1].bit_count() for where, _ in found)
    assert left_over == min(sum(nodes[i][1].bit_count() for i in chosen) for chosen in itertools.combinations(fitting, gang))
    room.take(found)
    assert room.gpus == sum(free.bit_count() for _, free in nodes) - per_node * gang
    assert not room.has(found)
    room.add(found)
    assert room.has(found)


@pytest.mark.parametrize(
    ("per_node", "gang", "whole", "fits"), [(4, 2, False, True), (8, 2, False, False), (4, 1, True, True), (2, 1, True, False)]
)
def test_a_request_is_measured_against_all_nodes_of_the_pool(per_node: int, gang: int, whole: bool, fits: bool) -> None:  # noqa: FBT001
    slots = np.array([0b1111, 0xFF], np.uint64)
    assert can_ever_fit(slots, gpus_per_node=per_node, nodes=gang, whole=whole) is fits


def test_a_room_gives_only_what_it_has() -> None:
    room = room_of((4, 0b0110))
    with pytest.raises(AssertionError, match="are not free"):
        room.take(place((0, 0b1000)))
    assert room.drop(place((0, 0b1100), (9, 1))) == place((0, 0b0100))
    assert room.drop(place((0, 0b1000))) == ()
    room.add(place((0, 0b110000), (9, 1)))
    assert room.gpus == 1, "what is not of these nodes is not counted"
    assert not room.has(place((9, 1)))


def test_placements_as_masks() -> None:
    assert gpus_of(place((0, 0b101), (1, 1))) == 3
    assert overlaps(place((0, 0b101)), place((1, 1), (0, 0b100)))
    assert not overlaps(place((0, 0b101)), place((0, 0b010)))
    assert lowest_bits(0b11010, 2) == 0b01010
    with pytest.raises(AssertionError):
        lowest_bits(0b1, 2)


def victim(
    name: str, *masks: tuple[int, int], loss: int = 1, late: bool = False, borrowed: bool = False, age: int = 0
) -> Candidate:
    return Candidate(running(name, *masks, granted_us=T0 - age), T0, loss, late, borrowed)


@dataclass(frozen=True)
class Made:
    victims: tuple[Candidate, ...]
    placement: Placement | None


def make_room(job: OwnerJob, room: Room, candidates: Sequence[Candidate]) -> Made:
    """What the core makes of a shortage, in the words of the tests."""
    found, victims = shortage(job, room, candidates, pool_of())
    return Made(victims, found.placement)


@st.composite
def shortages(draw: st.DrawFn, *, widest: int, nodes: int = 4, leases: int = 8) -> tuple[Room, list[Candidate]]:
    """Up to so many nodes of eight GPUs with up to so many leases, some of them gangs, in what is not free."""
    left = {i: draw(st.integers(0, 8)) for i in range(draw(st.integers(1, nodes)))}
    room = room_of(*((8, (1 << 8) - (1 << (8 - free))) for free in left.values()))
    used = dict.fromkeys(left, 0)
    found = []
    for number in range(draw(st.integers(0, leases))):
        size, width = draw(st.sampled_from([1, 1, 2, 4])), draw(st.integers(1, widest))
        where = [i for i in left if 8 - left[i] - used[i] >= size][:: draw(st.sampled_from([1, -1]))][:width]
        if where:
            masks = [(i, ((1 << size) - 1) << used[i]) for i in where]
            for i in where:
                used[i] += size
            found.append(victim(f"v{number}", *masks, loss=draw(st.integers(0, 40)), late=draw(st.integers(0, 5)) == 0))
            found[-1] = replace(found[-1], borrowed=draw(st.booleans()))
    return room, found


def cheapest_by_trying_all(room: Room, victims: Sequence[Candidate], per_node: int, gang: int) -> int | None:
    """The least loss of any cover; None if there is none."""
    losses = []
    for size in range(len(victims) + 1):
        for chosen in itertools.combinations(victims, size):
            tried = room.copy()
            for one in chosen:
                tried.add(one.lease.placement)
            if tried.find(gpus_per_node=per_node, nodes=gang) is not None:
                losses.append(sum(one.loss_micro for one in chosen))
    return min(losses, default=None)


@PROFILE
@given(shortage=shortages(widest=3), per_node=st.integers(1, 8))
def test_for_a_job_on_one_node_no_choice_loses_less(shortage: tuple[Room, list[Candidate]], per_node: int) -> None:
    """Several small victims are combined (volcano-sh/volcano#4151, #4808) and none is evicted in vain (volcano#4918)."""
    room, victims = shortage
    found = make_room(job_of(gpus=per_node), room, victims)
    in_time = cheapest_by_trying_all(room, [v for v in victims if not v.late], per_node, 1)
    best = in_time if in_time is not None else cheapest_by_trying_all(room, victims, per_node, 1)
    assert (found.placement is None) == (best is None)
    if best is not None:
        assert total_cost(found.victims)[0] == best
        assert in_time is None or not any(v.late for v in found.victims), "late ones only where there is no other way"


@PROFILE
@given(shortage=shortages(widest=3), per_node=st.integers(1, 8), gang=st.integers(2, 3))
def test_for_a_gang_a_cover_is_found_where_there_is_one_and_loses_little_more(
    shortage: tuple[Room, list[Candidate]], per_node: int, gang: int
) -> None:
    """Each node taken costs at most the whole best cover, as that would serve it: n nodes lose at most n times the least."""
    room, victims = shortage
    victims = [v for v in victims if not v.late]
    found = make_room(job_of(gpus=per_node * gang, nodes=gang), room, victims)
    best = cheapest_by_trying_all(room, victims, per_node, gang)
    assert (found.placement is None) == (best is None)
    if best is not None:
        assert best <= total_cost(found.victims)[0] <= gang * best
        for spared in found.victims:
            others = room.copy()
            for one in found.victims:
                if one is not spared:
                    others.add(one.lease.placement)
            assert others.find(gpus_per_node=per_node, nodes=gang) is None, "a superfluous victim"


def test_leases_of_one_node_are_as_cheap_as_they_can_be_even_for_gangs() -> None:
    """Without leases that span nodes the cheapest nodes are the cheapest cover."""
    room = room_of(*[(4, 0)] * 4)
    victims = [victim(f"v{i}", (i, 0b1111), loss=loss) for i, loss in enumerate([5, 2, 9, 3])]
    found = make_room(job_of(gpus=8, nodes=2), room, victims)
    assert {v.lease.id for v in found.victims} == {"v1", "v3"}


def test_the_last_nodes_of_a_gang_that_is_hit_anyway_are_free() -> None:
    """One lease over two nodes for 10 against two for 6 each: only its loss shared among its nodes shows the better way."""
    room = room_of(*[(4, 0)] * 4)
    gang = victim("gang", (0, 0b1111), (1, 0b1111), loss=10)
    found = make_room(job_of(gpus=8, nodes=2), room, [gang, victim("a", (2, 0b1111), loss=6), victim("b", (3, 0b1111), loss=6)])
    assert [v.lease.id for v in found.victims] == ["gang"]


def test_a_lease_ended_for_one_node_makes_its_other_nodes_cheaper() -> None:
    """The gang on n0 and n1 goes for n0; on n1 only the single lease is then left to pay for, and that beats n2."""
    room = room_of(*[(4, 0)] * 3)
    gang, rest = victim("gang", (0, 0b1111), (1, 0b0011), loss=3), victim("rest", (1, 0b1100), loss=4)
    found = make_room(job_of(gpus=8, nodes=2), room, [gang, rest, victim("other", (2, 0b1111), loss=5)])
    assert {v.lease.id for v in found.victims} == {"gang", "rest"}
    all_three = make_room(job_of(gpus=12, nodes=3), room, [gang, rest, victim("other", (2, 0b1111), loss=50)])
    assert {v.lease.id for v in all_three.victims} == {"gang", "rest", "other"}


def test_a_victim_whose_nodes_others_serve_as_well_is_spared() -> None:
    """n0 is taken first for one GPU of loss; the lease over n1 and n2 then serves both other nodes, and n0 is not needed."""
    room = room_of(*[(2, 0)] * 3)
    wide = victim("wide", (1, 0b11), (2, 0b11), loss=6)
    found = make_room(job_of(gpus=4, nodes=2), room, [victim("small", (0, 0b11), loss=1), wide])
    assert [v.lease.id for v in found.victims] == ["wide"]


def test_among_equals_borrowers_go_first_then_few_gpus_then_the_youngest() -> None:
    room = room_of((8, 0))
    owner = victim("within", (0, 0b1), loss=5)
    borrower = victim("borrowed", (0, 0b10), loss=5, borrowed=True)
    assert make_room(job_of(), room, [owner, borrower]).victims == (borrower,)
    large = victim("large", (0, 0b1100), loss=5)
    assert make_room(job_of(), room, [large, owner]).victims == (owner,)
    older = victim("older", (0, 0b10000), loss=5, age=9)
    assert make_room(job_of(), room, [older, owner]).victims == (owner,)


IN_RACKS: Sequence[Location] = [("p", "a"), ("p", "a"), ("p", "b"), ("p", "b"), ("", ""), ("", "")]
"""Six nodes: two in each of two racks of a pod, and two of which nothing is known."""


def within_room(*free: int) -> Room:
    """Nodes of four GPUs that stand as `IN_RACKS`, with what is free on each."""
    slots = np.full(len(free), 0b1111, np.uint64)
    names = tuple(node(i) for i in range(len(free)))
    return Room(names, slots, np.array(free, np.uint64), topology=topology_of(IN_RACKS[: len(free)]))


def test_a_job_within_a_rack_takes_the_rack_that_costs_least() -> None:
    """Anywhere n0 and n4 would lose least, in one rack n2 and n3, in one pod n0 and n2; a rack with room costs nothing."""
    full, half = within_room(*[0] * 6), within_room(0, 0b1111, 0b1111, 0, 0, 0)
    victims = [victim(f"v{i}", (i, 0b1111), loss=loss) for i, loss in enumerate([1, 9, 3, 5, 2, 2])]
    anywhere, in_rack = job_of(gpus=8, nodes=2), job_of(gpus=8, nodes=2, within=Within.RACK)
    assert set(shortage(anywhere, full, victims, pool_of())[0].victims.leases) == {"v0", "v4"}
    found, chosen = shortage(in_rack, full, victims, pool_of())
    assert {one.lease.id for one in chosen} == {"v2", "v3"}
    assert found.placement == place((2, 0b1111), (3, 0b1111)) and found.bound_micro == 8
    in_pod, chosen = shortage(replace(in_rack, within=Within.POD), full, victims, pool_of())
    assert {one.lease.id for one in chosen} == {"v0", "v2"} and in_pod.placement == place((0, 0b1111), (2, 0b1111))
    apart, chosen = shortage(in_rack, half, [victims[0], victims[3]], pool_of())
    assert [one.lease.id for one in chosen] == ["v0"] and apart.placement == place((0, 0b1111), (1, 0b1111))
    ready, chosen = shortage(in_rack, within_room(0, 0, 0b1111, 0b1111, 0, 0), [victims[0]], pool_of())
    assert chosen == () and ready.placement == place((2, 0b1111), (3, 0b1111))
    none, chosen = shortage(job_of(gpus=12, nodes=3, within=Within.RACK), full, victims, pool_of())
    assert chosen == () and none.placement is None, "no rack has three nodes"


@pytest.mark.parametrize(
    ("per_node", "nodes", "within", "where"),
    [
        (4, 2, Within.SITE, (0, 2)),
        (4, 2, Within.POD, (0, 2)),
        (4, 2, Within.RACK, None),
        (2, 2, Within.RACK, (2, 3)),
        (2, 3, Within.RACK, None),
        (2, 3, Within.POD, (0, 2, 3)),
        (2, 5, Within.POD, None),
        (2, 5, Within.SITE, (0, 2, 3, 4, 5)),
        (4, 1, Within.RACK, (0,)),
        (4, 4, Within.SITE, (0, 2, 4, 5)),
    ],
)
def test_a_gang_is_placed_as_near_as_it_has_to_be_or_not_at_all(
    per_node: int, nodes: int, within: Within, where: tuple[int, ...] | None
) -> None:
    """n0 and n2 are free, n3 by half, and so are n4 and n5, of which nobody knows where they stand."""
    room = within_room(0b1111, 0b1, 0b1111, 0b11, 0b1111, 0b1111)
    found = room.find(gpus_per_node=per_node, nodes=nodes, within=within)
    assert (None if found is None else tuple(int(name[1:]) for name, _ in found)) == where
    domain = room.topology.domain(within, nodes)
    fits = can_ever_fit(room.free, gpus_per_node=per_node, nodes=nodes, whole=False, domain=domain)
    assert fits == (found is not None), "what is asked of the whole pool is asked as the placement asks it"


def test_nodes_of_one_rack_are_in_one_pod_even_where_nobody_said_in_which() -> None:
    room = Room(
        (node(0), node(1)), np.full(2, 3, np.uint64), np.full(2, 3, np.uint64), topology=topology_of([("", "a"), ("", "a")])
    )
    assert room.find(gpus_per_node=2, nodes=2, within=Within.POD) == place((0, 3), (1, 3))
    domain = room.topology.domain(Within.POD, 2)
    assert can_ever_fit(room.free, gpus_per_node=2, nodes=2, whole=False, domain=domain)


def test_a_large_fleet_is_covered_in_no_time() -> None:
    """A gang over 500 nodes of 1,000, each lent to eight leases: work grows with nodes and leases, not with their product."""
    room = room_of(*[(8, 0)] * 1_000)
    victims = [victim(f"v{i}", (i % 1_000, 1 << i // 1_000), loss=i % 97) for i in range(8_000)]
    found = make_room(job_of(gpus=4_000, nodes=500), room, victims)
    assert len(found.victims) == 4_000


def test_a_loss_is_work_since_the_checkpoint_restart_and_what_is_owed() -> None:
    """The last checkpoint decides who goes (kubernetes-sigs/kueue#477)."""
    pool, price = pool_of(restart_us=60 * S), 3_600_000  # one micro-unit a GPU-millisecond
    spot = running("s", (0, 0b11), price_micro=price)
    at = T0 + 600 * S
    assert loss_at(spot, at_us=at, pool=pool) == 2 * (600 + 60) * 1_000
    saved = running("s", (0, 0b11), price_micro=price, checkpoint_us=at - 10 * S)
    assert loss_at(saved, at_us=at, pool=pool) == 2 * (10 + 60) * 1_000
    heeding = running("s", (0, 0b11), price_micro=price, reclaims=1, exit_code=CHECKPOINTED_EXIT)
    short = replace(pool, backoff_us=5 * S, backoff_max_us=30 * S)
    assert loss_at(heeding, at_us=at, pool=short) == 2 * (10 + 60) * 1_000, "it saves when told: a back-off at most"
    worn = replace(heeding, reclaims=9)
    assert loss_at(worn, at_us=at, pool=short) == 2 * (30 + 60) * 1_000, "and the longest, where it happened often"
    deaf = running("s", (0, 0b11), price_micro=price, reclaims=1, exit_code=-9)
    assert loss_at(deaf, at_us=at, pool=pool) == loss_at(spot, at_us=at, pool=pool)
    unstarted = running("s", (0, 0b11), price_micro=price, started_us=None)
    assert loss_at(unstarted, at_us=at, pool=pool) == 2 * 60 * 1_000
    guarded = running("g", (0, 0b1), price_micro=price, lease_class=LeaseClass.GUARDED, term_us=HOUR_US)
    assert loss_at(guarded, at_us=at, pool=pool) == (600 + 60) * 1_000 + price + 600 * 1_000, "work, restart, credit, refund"


def test_victims_are_what_the_contracts_allow() -> None:
    kinds = {c: running("l", (0, 1), lease_class=c, grace_us=120 * S, exempt_until_us=T0 + 200 * S) for c in LeaseClass}

    def allowed(*, forced: bool) -> set[LeaseClass]:
        return {c for c, x in kinds.items() if ending(x, now_us=T0, due_us=T0 + 280 * S, forced=forced) is not None}

    assert allowed(forced=False) == {LeaseClass.SPOT, LeaseClass.GUARDED}
    assert allowed(forced=True) == {LeaseClass.SPOT, LeaseClass.GUARDED, LeaseClass.BLOCK}
    spot = ending(kinds[LeaseClass.SPOT], now_us=T0, due_us=T0 + 280 * S)
    assert spot is not None and (spot.deadline_us, spot.late) == (T0 + 200 * S, False), "notice and exempt window overlap"
    later = ending(kinds[LeaseClass.SPOT], now_us=T0 + 100 * S, due_us=T0 + 280 * S)
    assert later is not None and (later.deadline_us, later.late) == (T0 + 220 * S, True)


@pytest.mark.parametrize("state", sorted(HELD))
def test_what_already_ends_counts_as_coming_back_and_is_no_victim(state: State) -> None:
    lease = running("l", (0, 1), state=state)
    standing = standing_with(room_of((1, 0)), [lease], pool_of())
    ends = state in {State.NOTICED, State.STOPPING, State.HANDOVER}
    assert standing.coming.tolist() == [1 if ends else 0]
    assert (ending(lease, now_us=T0, due_us=T0, forced=True) is not None) == (not ends)


def ending(lease: Lease, *, now_us: int, due_us: int, forced: bool = False, pool: Pool | None = None) -> Candidate | None:
    """What the core says of ending one lease; None if its contract forbids it."""
    standing = standing_with(room_of((64, 0)), [lease], pool or pool_of())
    who = reclaimable(standing, now_us=now_us, due_us=due_us, forced=forced, nominal=np.zeros(1, np.int64))
    if not who.may[0]:
        return None
    return Candidate(lease, int(who.deadline_us[0]), int(who.loss_micro[0]), bool(who.late[0]), bool(who.borrowed[0]))


def loss_at(lease: Lease, *, at_us: int, pool: Pool) -> int:
    """What the core expects an end at this instant to lose."""
    found = ending(replace(lease, grace_us=0, exempt_until_us=0), now_us=at_us, due_us=at_us, pool=pool)
    assert found is not None and found.loss_micro == loss_micro(pool, lease, at_us=at_us), "the twin says the same"
    return found.loss_micro


HELD_LEASES = st.lists(
    st.builds(
        running,
        st.just("l"),
        st.tuples(st.just(0), st.sampled_from([0b1, 0b11, 0b1111])),
        state=st.sampled_from(sorted(HELD)),
        tenant=st.sampled_from(["a", "b"]),
        lease_class=st.sampled_from(list(LeaseClass)),
        price_micro=st.integers(0, 40_000_000),
        granted_us=st.integers(T0 - 9 * S, T0),
        started_us=st.none() | st.integers(T0, T0 + 900 * S),
        checkpoint_us=st.none() | st.integers(T0, T0 + 900 * S),
        reclaims=st.integers(0, 1),
        exit_code=st.sampled_from([None, 0, CHECKPOINTED_EXIT]),
        exempt_until_us=st.integers(T0, T0 + 999 * S),
        grace_us=st.integers(0, 999 * S),
        deadline_us=st.none() | st.integers(T0, T0 + 999 * S),
        term_us=st.none() | st.integers(1, 400 * HOUR_US),
    ),
    max_size=8,
)


@PROFILE
@given(leases=HELD_LEASES, ago=st.integers(0, 30 * 24 * 3600), forced=st.booleans(), nominal=st.integers(0, 9))
def test_rows_say_of_leases_what_the_leases_say(leases: list[Lease], ago: int, nominal: int, *, forced: bool) -> None:
    """Each pass over the rows against its twin: who may be ended, when, at which loss, who borrows, and what is promised."""
    pool, now = pool_of(), T0 + ago * S
    leases = [replace(lease, id=LeaseId(f"l{i}")) for i, lease in enumerate(leases)]
    standing = standing_with(room_of((64, 0)), leases, pool)
    numbers = np.full(len(standing.tenants), nominal, np.int64)
    who = reclaimable(standing, now_us=now, due_us=now + 300 * S, forced=forced, nominal=numbers)
    over = borrowers(leases, dict.fromkeys(standing.tenants, nominal))
    for row, lease in enumerate(leases):
        twin = candidate_of(pool, lease, now_us=now, due_us=now + 300 * S, forced=forced, borrowed=lease.id in over)
        assert bool(who.borrowed[row]) == (lease.id in over)
        assert bool(who.may[row]) == (twin is not None)
        if twin is not None:
            assert (who.deadline_us[row], who.loss_micro[row], who.late[row]) == (twin.deadline_us, twin.loss_micro, twin.late)
    late = [takes is None or takes > pool.promise.within_us for x in leases for takes in [handback_us(pool, x, now_us=now)]]
    assert promisable(standing, now_us=now) == 64 - sum(x.gpus for x, is_late in zip(leases, late, strict=True) if is_late)


EFFORTS = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 30)).map(lambda e: (e[0], min(e[0], e[1]), e[2]))


@PROFILE
@given(
    shortage=shortages(widest=5, nodes=12, leases=30),
    per_node=st.integers(1, 8),
    gang=st.integers(1, 6),
    effort=EFFORTS,
    data=st.data(),
)
def test_the_cover_of_the_rows_is_the_cover_of_the_leases(
    shortage: tuple[Room, list[Candidate]], per_node: int, gang: int, effort: tuple[int, int, int], data: st.DataObject
) -> None:
    room, candidates = shortage
    many = len(room.nodes)
    domain = data.draw(st.just([]) | st.lists(st.integers(-1, 2), min_size=many, max_size=many))
    twin = cheapest_cover(room, candidates, (per_node, gang), effort, domain)
    found, names, bound, where = covered(room, candidates, (per_node, gang), effort, domain)
    assert found == (twin is not None)
    if twin is not None:
        assert names == [one.lease.id for one in twin.victims or ()]
        assert (bound, where) == (twin.bound, twin.domain)


def test_branching_over_gangs_is_that_of_its_twin_and_finds_what_prices_alone_do_not() -> None:
    """Overlapping gangs, seeded: the same choice and bound as the twin at any limit, and never worse with a higher one."""
    rng, saved, closed = np.random.default_rng(5), 0, []
    for _ in range(40):
        room, candidates, used = room_of(*[(8, 0)] * 12), [], np.zeros(12, np.int64)
        for name in range(40):
            gpus, at = int(rng.choice([1, 2, 2, 4])), rng.choice(12, int(rng.integers(1, 5)), replace=False)
            if (used[at] + gpus <= 8).all():
                masks = [(int(node), ((1 << gpus) - 1) << int(used[node])) for node in at]
                used[at] += gpus
                candidates.append(victim(f"v{name}", *masks, loss=int(1e6 * gpus * len(at) * rng.uniform(0.5, 1.5))))
        shape, costs = (int(rng.choice([4, 8])), int(rng.integers(2, 7))), []
        for branches in (0, 1, int(rng.integers(2, 12)), 400):
            effort = (4, 1, branches)
            twin = cheapest_cover(room, candidates, shape, effort)
            made = covered(room, candidates, shape, effort, [])
            if twin is None or twin.victims is None:
                assert not made[0]
                break
            assert made == (True, [one.lease.id for one in twin.victims], twin.bound, -1)
            costs.append((total_cost(twin.victims)[0], twin.bound))
        if costs:
            assert [cost for cost, _ in costs] == sorted((cost for cost, _ in costs), reverse=True)
            saved += costs[-1][0] < costs[0][0]
            closed.append(costs[-1][0] - costs[-1][1] <= costs[-1][0] // 200)
    assert saved >= 10 and len(closed) >= 30 and all(closed)


def covered(
    room: Room, candidates: Sequence[Candidate], shape: tuple[int, int], effort: tuple[int, int, int], domain: Sequence[int]
) -> tuple[bool, list[str], int, int]:
    """(whether there is a cover, the leases that end, bound, domain): what the kernel makes of these candidates."""
    standing = standing_with(room, [one.lease for one in candidates], pool_of())
    choice = (
        np.ones(len(candidates), np.bool_),
        np.array([one.loss_micro for one in candidates], np.int64),
        np.array([one.borrowed for one in candidates], np.bool_),
    )
    found, rows, bound, where = cheapest(
        standing.held.rows,
        standing.holds.rows,
        (room.free, room.slots),
        choice,
        shape,
        np.array(domain, np.int32),
        effort,
    )
    return bool(found), [standing.held.keys[row] for row in rows], int(bound), int(where)
