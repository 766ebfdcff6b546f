"""Nodes in bins, against looking at every node for every grant."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placing import Ask, PlainNode, bins_for, nodes_for, spoiled

from sublet.core.fleet import lowest_bits
from sublet.core.ids import NodeId
from sublet.core.kernels import bins as kernels
from sublet.core.kernels.bins import CLEAN, NODE_ROW, OWNED, Bins, move
from sublet.core.kernels.choose import find
from sublet.core.kernels.fragments import fragments, scrap
from sublet.core.lease import LeaseClass
from sublet.core.packing import _EXPECTED, CROWDING, STRANGE
from sublet.core.placement import Room
from sublet.core.tables import CLASS_CODE, CLASSES
from sublet.core.topology import UNKNOWN, nowhere_known, topology_of

PROFILE = settings(deadline=None, derandomize=True, max_examples=150)
LOCATIONS = st.tuples(st.sampled_from(["", "p1", "p2"]), st.sampled_from(["", "r1", "r2", "r3"]))
REQUESTS = _EXPECTED.tolist()
SCRAP = scrap(_EXPECTED, 9, CROWDING)


@st.composite
def plain_nodes(draw: st.DrawFn, most: int = 12) -> list[PlainNode]:
    """A few drawn nodes; now and then so many more that a bin has several words."""
    found = []
    for _ in range(draw(st.integers(1, most))):
        size = draw(st.sampled_from([2, 4, 8, 8, 8]))
        slots = (1 << size) - 1
        free = draw(st.one_of(st.just(slots), st.integers(0, slots)))
        left = size - free.bit_count()
        owned = draw(st.integers(0, left))
        leased = dict.fromkeys(draw(st.lists(st.sampled_from(CLASSES), max_size=2, unique=True)), (left - owned) // 2)
        found.append(PlainNode(slots, free, owned, leased, draw(LOCATIONS)))
    ahead = draw(st.sampled_from([0, 0, 70, 5_000]))
    return [PlainNode(255, 0, location=("p0", "r0")) for _ in range(ahead)] + found


ASKS = st.builds(
    Ask,
    need=st.sampled_from([1, 1, 2, 3, 4, 8, 9]),
    many=st.sampled_from([1, 1, 1, 2, 3]),
    whole=st.sampled_from([False, False, True]),
    lease_class=st.sampled_from(CLASSES),
)


def chosen(bins: Bins, ask: Ask) -> list[int] | None:
    rows, code = np.empty(ask.many, np.int64), CLASS_CODE[ask.lease_class]
    found = find(bins, np.zeros(0, np.uint64), (ask.need, ask.whole, code), (SCRAP, STRANGE), rows)
    return [int(row) for row in rows] if found else None


def sorted_anew(bins: Bins) -> Bins:
    """The same nodes, put into empty bins."""
    kinds = np.zeros_like(bins.kinds)
    kinds["place"] = -1
    parts = {name: np.zeros_like(getattr(bins, name)) for name in ("present", "bits", "tally")}
    fresh = bins._replace(nodes=bins.nodes.copy(), kinds=kinds, **parts)
    kernels.fill(*fresh[:5])
    return fresh


def canonical(bins: Bins) -> dict[str, Any]:
    """Everything bins say, in whatever order they list their kinds."""
    there = sorted(bins.present[1 : 1 + bins.present[0]].tolist())
    return {
        "nodes": [bins.nodes[name].tolist() for name in NODE_ROW.names or ()],
        "kinds": [(kind, *bins.kinds[kind].tolist()[:3]) for kind in there],
        "places": all(bins.present[bins.kinds[kind]["place"]] == kind for kind in there),
        "listed": int(np.count_nonzero(bins.kinds["place"] >= 0)),
        "bits": bins.bits.tolist(),
        "tally": bins.tally.tolist(),
    }


@PROFILE
@given(nodes=plain_nodes(), asks=st.lists(ASKS, max_size=12), data=st.data())
def test_grants_and_returns_leave_bins_as_sorting_all_nodes_would(
    nodes: list[PlainNode], asks: list[Ask], data: st.DataObject
) -> None:
    """Each grant is the one that looking at every node gives; what leases gave back is found again."""
    bins = bins_for(nodes)
    given_away: list[tuple[int, int, LeaseClass]] = []
    for ask in asks:
        expected = nodes_for(nodes, ask, REQUESTS)
        assert chosen(bins, ask) == expected
        for row in expected or ():
            mask = lowest_bits(nodes[row].free, ask.need)
            given_away.append((row, mask, ask.lease_class))
        changes = given_away[-len(expected or ()) :] if expected else []
        gives_back: bool = data.draw(st.booleans())
        if given_away and gives_back:
            changes = [*changes, given_away.pop(data.draw(st.integers(0, len(given_away) - 1)))]
        for row, mask, lease_class in changes:
            nodes[row].free ^= mask
            step = mask.bit_count() if not nodes[row].free & mask else -mask.bit_count()
            nodes[row].leased[lease_class] = nodes[row].leased.get(lease_class, 0) + step
            move(*bins[:5], row, np.uint64(mask), CLASS_CODE[lease_class])
        assert [int(mask) for mask in bins.nodes["free"]] == [one.free for one in nodes]
    assert canonical(bins) == canonical(sorted_anew(bins))


@PROFILE
@given(nodes=plain_nodes(), ask=ASKS)
def test_domains_count_the_nodes_that_fit(nodes: list[PlainNode], ask: Ask) -> None:
    bins, topology = bins_for(nodes), topology_of([one.location for one in nodes])
    for column, names in ((topology.rack, [one.location for one in nodes]), (topology.pod, [one.location[0] for one in nodes])):
        for domain in set(column.tolist()) - {UNKNOWN}:
            name = names[column.tolist().index(domain)]
            there = [one for one, other in zip(nodes, names, strict=True) if other == name]
            members = topology.members[topology.begins[domain] : topology.begins[domain + 1]].tolist()
            assert members == [row for row, other in enumerate(names) if other == name]
            for gpus in range(1, bins.tally.shape[1]):
                alike = [one for one in there if one.free.bit_count() == gpus]
                assert bins.tally[OWNED, gpus, domain] == sum(one.owned > 0 for one in alike)
                assert bins.tally[CLEAN, gpus, domain] == sum(one.owned == 0 for one in alike)


@PROFILE
@given(nodes=plain_nodes(), need=st.integers(1, 8), many=st.integers(2, 3))
def test_a_gang_lies_in_one_rack_or_pod_if_any_holds_it(nodes: list[PlainNode], need: int, many: int) -> None:
    """For leases and for the owner's jobs alike."""
    fitting = [one.location for one in nodes if one.free.bit_count() >= need]
    rack_holds = any(fitting.count(location) >= many for location in fitting if location[1])
    pod_holds = any([pod for pod, _ in fitting].count(pod) >= many for pod, _ in fitting if pod)
    topology = topology_of([one.location for one in nodes])
    names = tuple(NodeId(str(row)) for row in range(len(nodes)))
    masks = (np.array([one.slots for one in nodes], np.uint64), np.array([one.free for one in nodes], np.uint64))
    owners = Room(names, *masks, topology=topology).find(gpus_per_node=need, nodes=many)
    leases = chosen(bins_for(nodes), Ask(need, many))
    assert (owners is None) is (leases is None) is (len(fitting) < many)
    clean = [one.location for one in nodes if one.free.bit_count() >= need and not one.owned]
    clean_pod_holds = any([pod for pod, _ in clean].count(pod) >= many for pod, _ in clean if pod)
    for which, rows in (("owner", [int(name) for name, _ in owners or ()]), ("lease", leases or [])):
        if not rows:
            continue
        locations = {nodes[row].location for row in rows}
        near = len(locations) == 1 and all(rack for _, rack in locations)
        near_by = len({pod for pod, _ in locations}) == 1 and all(pod for pod, _ in locations)
        if which == "owner":
            assert near or not rack_holds
        else:
            assert near or not rack_holds or (clean_pod_holds and near_by), "racks come first unless only the owner's hold it"
        assert near or near_by or not pod_holds


def test_the_owners_gang_goes_where_it_would_fit_best_had_nothing_been_leased() -> None:
    """Rack r1 has two free nodes beside one that is leased, r2 just two: the gang leaves r1 whole for a larger one."""
    locations = [("p", "r1")] * 3 + [("p", "r2")] * 2
    names = tuple(NodeId(str(row)) for row in range(5))
    slots = np.full(5, 255, np.uint64)
    room = Room(names, slots, np.array([255, 255, 0, 255, 255], np.uint64), topology=topology_of(locations))
    found = room.find(gpus_per_node=8, nodes=2, before=slots)
    assert found is not None and [name for name, _ in found] == ["3", "4"]
    assert room.copy().find(gpus_per_node=8, nodes=2, before=slots) == found


@pytest.mark.parametrize("compiled", [True, False])
@PROFILE
@given(requests=st.lists(st.integers(0, 9), min_size=8, max_size=8).filter(any))
def test_what_is_spoiled_is_the_published_score_and_a_tenth_of_each_free_gpu(requests: list[int], compiled: bool) -> None:  # noqa: FBT001
    """F is that of `fragments` for requests of whole GPUs without CPU, to a milli-GPU."""
    kernel = scrap if compiled else scrap.py_func
    counts = np.array([0, *requests, *[0] * 56], np.int64)
    table = kernel(counts, 9, CROWDING)
    classes = np.array([(0, 1_000, gpus) for gpus in range(1, 9)], np.int64)
    share = np.array(requests) / sum(requests)
    f = [fragments(0, np.array([1_000] * gpus + [0] * (8 - gpus)), classes, share) for gpus in range(9)]
    base = table[0, 0]
    for need in range(9):
        for free in range(need, 9):
            assert table[need, free] - base == 2 * spoiled(counts.tolist(), need, free)
            assert abs((table[need, free] - base) / 2 - (f[free - need] - f[free] + CROWDING * free)) <= 1
    assert table.min() == 0


def test_racks_are_those_of_their_pods() -> None:
    topology = topology_of([("b", "r1"), ("a", "r1"), ("", "r9"), ("a", ""), ("", ""), ("a", "r1")])
    assert topology.racks == 3 and topology.rack.tolist() == [2, 1, 0, -1, -1, 1]
    assert topology.pod.tolist() == [4, 3, -1, 3, -1, 3]
    assert topology.begins.tolist() == [0, 1, 3, 4, 7, 8] and topology.members.tolist() == [2, 1, 5, 0, 1, 3, 5, 0]
    unknown = nowhere_known(3)
    assert unknown.columns[2] == 0 and unknown.rack.tolist() == [-1] * 3 and topology_of([]).members.tolist() == []
