"""The plain twin of the search for a cheap cover: leases and rows of nodes in dicts, one thing at a time."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from sublet.core.ids import LeaseId
from sublet.core.lease import Lease
from sublet.core.placement import Room

Cost = tuple[int, int, int]
"""Loss in micro-units, leases within their tenants' nominal quotas, GPUs that end; compared in this order."""
Prices = Mapping[tuple[LeaseId, int], int]
"""What a lease counts on one of its nodes."""


@dataclass(frozen=True)
class Candidate:
    """A lease that may be ended: when at the earliest, and what that costs."""

    lease: Lease
    deadline_us: int
    loss_micro: int
    late: bool = False
    borrowed: bool = False


@dataclass(frozen=True)
class Cover:
    """Whom to end (None: a search that was given up), what no cover can cost less than, and the domain that it lies in."""

    victims: tuple[Candidate, ...] | None
    bound: int
    domain: int = -1


def total_cost(victims: Iterable[Candidate]) -> Cost:
    loss = kept = gpus = 0
    for victim in victims:
        loss, kept, gpus = loss + victim.loss_micro, kept + (not victim.borrowed), gpus + victim.lease.gpus
    return loss, kept, gpus


def cheapest_cover(
    room: Room,
    candidates: Sequence[Candidate],
    shape: tuple[int, int],
    effort: tuple[int, int, int],
    domain: Sequence[int] = (),
) -> Cover | None:
    """Whom to end so that `shape` (GPUs on each of so many nodes) fits into `room`; None if there is no way."""
    if not domain:
        return _Search(room, candidates, shape, range(len(room.nodes))).cheapest(effort, 1 << 61)
    best: tuple[Candidate, ...] | None = None
    where, bounds = -1, []
    for number in range(max(domain) + 1):
        rows = [row for row, its in enumerate(domain) if its == number]
        ceiling = 1 << 61 if best is None else total_cost(best)[0]
        found = _Search(room, candidates, shape, rows).cheapest(effort, ceiling)
        if found is None:
            continue
        bounds.append(found.bound)
        if found.victims is not None and (best is None or total_cost(found.victims) < total_cost(best)):
            best, where = found.victims, number
    return None if best is None else Cover(best, min(bounds), where)


class _Search:
    """What is free and who may be ended on some of the rows of a room."""

    def __init__(self, room: Room, candidates: Sequence[Candidate], shape: tuple[int, int], rows: Iterable[int]) -> None:
        self.need, self.nodes = shape
        self.candidates = candidates
        self.free = {row: int(room.free[row]).bit_count() for row in rows}
        place = {room.nodes[row]: row for row in self.free}
        self.holds: dict[LeaseId, dict[int, int]] = {}
        for one in candidates:
            fit = {place[node]: mask & int(room.slots[place[node]]) for node, mask in one.lease.placement if node in place}
            self.holds[one.lease.id] = {row: mask.bit_count() for row, mask in fit.items() if mask}
        self.on: dict[int, list[Candidate]] = defaultdict(list)  # row -> who may be ended there, youngest first
        for one in sorted(candidates, key=lambda one: -(one.lease.granted_us or 0)):
            for row in self.holds[one.lease.id]:
                self.on[row].append(one)
        self.wide = [one for one in candidates if len(self.holds[one.lease.id]) > 1]

    def cheapest(self, effort: tuple[int, int, int], ceiling: int) -> Cover | None:
        rounds, searches, moves = effort
        hopeful = [
            row for row in self.free if self.free[row] + sum(self.holds[x.lease.id][row] for x in self.on[row]) >= self.need
        ]
        if len(hopeful) < self.nodes:
            return None
        whole = {(one.lease.id, row): one.loss_micro for one in self.candidates for row in self.holds[one.lease.id]}
        if not self.wide:
            victims = self.grown((), whole)
            assert victims is not None
            return Cover(victims, total_cost(victims)[0])
        weights = dict.fromkeys(whole, 1 << 16)
        prices: Prices = whole
        best_prices: Prices = whole
        best: tuple[Candidate, ...] | None = None
        bound = -1
        for number in range(rounds):
            prices = {**whole, **self.split(weights)}
            least, wanted = self.least(hopeful, prices)
            if least > bound:
                bound, best_prices = least, prices
            if bound > ceiling:
                return Cover(best, bound)
            if number >= rounds - searches:
                tried = self.grown((), prices)
                assert tried is not None
                if best is None or total_cost(tried) < total_cost(best):
                    best = tried
                loss = total_cost(best)[0]
                if loss - bound <= loss // 1_000:
                    return Cover(best, bound)
            self.shift(weights, wanted, number)
        assert best is not None
        return Cover(self.improved(best, (whole, best_prices), moves), bound)

    def split(self, weights: Prices) -> Prices:
        found: dict[tuple[LeaseId, int], int] = {}
        for one in self.wide:
            mine = {row: weights[one.lease.id, row] for row in self.holds[one.lease.id]}
            total = sum(mine.values())
            each, rest = divmod(one.loss_micro, total)
            found |= {(one.lease.id, row): each * weight + rest * weight // total for row, weight in mine.items()}
        return found

    def least(self, hopeful: Sequence[int], prices: Prices) -> tuple[int, set[tuple[LeaseId, int]]]:
        offers = {row: self.lowest(row, prices) for row in hopeful}
        chosen = sorted(hopeful, key=lambda row: offers[row][0])[: self.nodes]
        return sum(offers[row][0] for row in chosen), {(name, row) for row in chosen for name in offers[row][1]}

    def lowest(self, row: int, prices: Prices) -> tuple[int, tuple[LeaseId, ...]]:
        missing = max(0, self.need - self.free[row])
        best: list[tuple[int, tuple[LeaseId, ...]]] = [(0, ()), *[(1 << 61, ())] * missing]
        for one in self.on[row]:
            name = one.lease.id
            for wanted in range(missing, 0, -1):
                price, names = best[max(0, wanted - self.holds[name][row])]
                if price + prices[name, row] < best[wanted][0]:
                    best[wanted] = (price + prices[name, row], (*names, name))
        return best[missing]

    def shift(self, weights: dict[tuple[LeaseId, int], int], wanted: Collection[tuple[LeaseId, int]], number: int) -> None:
        for one in self.wide:
            mine = [(one.lease.id, row) for row in self.holds[one.lease.id]]
            if all(key in wanted for key in mine) or not any(key in wanted for key in mine):
                continue
            for key in mine:
                weights[key] += 3 * weights[key] // (number + 1) if key in wanted else 0
            if max(weights[key] for key in mine) > 1 << 26:
                for key in mine:
                    weights[key] = max(1, weights[key] // 1024)

    def grown(self, ends: Iterable[Candidate], prices: Prices, spared: LeaseId | None = None) -> tuple[Candidate, ...] | None:
        """A cover that ends of these whom it needs, and of the others whom it lacks."""
        state = _State(self, prices, spared)
        state.end(ends)
        return self.without_surplus(state, lambda one: one.loss_micro) if state.serve() else None

    def put_in(self, ends: Iterable[Candidate], new: Candidate) -> tuple[Candidate, ...]:
        state = _State(self, {}, None)
        state.end([*ends, new])
        return self.without_surplus(state, lambda one: -1 if one is new else one.loss_micro)

    def improved(self, ends: tuple[Candidate, ...], guides: Sequence[Prices], moves: int) -> tuple[Candidate, ...]:
        left = iter(range(moves))
        while (better := self.step(ends, guides, left)) is not None:
            ends = better
        return ends

    def step(self, ends: tuple[Candidate, ...], guides: Sequence[Prices], left: Iterable[int]) -> tuple[Candidate, ...] | None:
        """The first move that makes it cheaper; None if there is none, or none is left."""
        best = total_cost(ends)
        for new in self.wide:
            if new in ends or new.loss_micro >= best[0]:
                continue
            if next(left, None) is None:  # type: ignore[call-overload]
                return None
            tried: tuple[Candidate, ...] | None = self.put_in(ends, new)
            if tried is not None and total_cost(tried) < best:
                return tried
        for one in ends:
            for guide in guides:
                if next(left, None) is None:  # type: ignore[call-overload]
                    return None
                tried = self.grown([x for x in ends if x is not one], guide, one.lease.id)
                if tried is not None and total_cost(tried) < best:
                    return tried
        return None

    def without_surplus(self, state: "_State", order: object) -> tuple[Candidate, ...]:
        free = state.free
        kept = sorted((one for one in self.candidates if one.lease.id in state.chosen), key=lambda one: -order(one))  # type: ignore[operator]
        served = sum(gpus >= self.need for gpus in free.values())
        for one in list(kept):
            holds = self.holds[one.lease.id]
            lost = sum(free[row] >= self.need > free[row] - gpus for row, gpus in holds.items())
            if served - lost >= self.nodes:
                served -= lost
                kept.remove(one)
                for row, gpus in holds.items():
                    free[row] -= gpus
        return tuple(kept)


class _State:
    """Who was chosen so far, and what is free then."""

    def __init__(self, search: _Search, prices: Prices, spared: LeaseId | None) -> None:
        self.search, self.prices, self.spared = search, prices, spared
        self.free, self.chosen = dict(search.free), set[LeaseId]()

    def end(self, candidates: Iterable[Candidate]) -> set[int]:
        touched: set[int] = set()
        for one in candidates:
            self.chosen.add(one.lease.id)
            for row, gpus in self.search.holds[one.lease.id].items():
                self.free[row] += gpus
                touched.add(row)
        return touched

    def serve(self) -> bool:
        offers = {row: offer for row in self.free if (offer := self.offer(row)) is not None}
        heap = [(offer[0], self.free[row], row) for row, offer in offers.items()]
        heapify(heap)
        for _ in range(self.search.nodes):
            while heap and (heap[0][2] not in offers or heap[0][0] != offers[heap[0][2]][0]):
                heappop(heap)
            if not heap:
                return False
            row = heappop(heap)[2]
            for touched in self.end(offers.pop(row)[1]) & offers.keys():
                offers[touched] = self.offer(touched) or offers[touched]
                heappush(heap, (offers[touched][0], self.free[touched], touched))
        return True

    def offer(self, row: int) -> tuple[Cost, tuple[Candidate, ...]] | None:
        missing = max(0, self.search.need - self.free[row])
        best: list[tuple[Cost, tuple[Candidate, ...]] | None] = [((0, 0, 0), ()), *[None] * missing]
        for one in self.search.on[row]:
            name = one.lease.id
            if name in self.chosen or name == self.spared:
                continue
            _, kept, gpus = total_cost([one])
            for wanted in range(missing, 0, -1):
                before = best[max(0, wanted - self.search.holds[name][row])]
                if before is not None:
                    a = before[0]
                    offer = ((a[0] + self.prices[name, row], a[1] + kept, a[2] + gpus), (*before[1], one))
                    if (held := best[wanted]) is None or offer[0] < held[0]:
                        best[wanted] = offer
        return best[missing]
