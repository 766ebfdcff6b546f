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
Decided = Mapping[LeaseId, bool]
"""Of some leases, whether they end."""
INFINITE = 1 << 61


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
        return _Search(room, candidates, shape, range(len(room.nodes))).cheapest(effort, INFINITE)
    best: tuple[Candidate, ...] | None = None
    where, bounds = -1, []
    for number in range(max(domain) + 1):
        rows = [row for row, its in enumerate(domain) if its == number]
        ceiling = INFINITE if best is None else total_cost(best)[0]
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
        rounds, searches, branches = effort
        hopeful = [
            row for row in self.free if self.free[row] + sum(self.holds[x.lease.id][row] for x in self.on[row]) >= self.need
        ]
        if len(hopeful) < self.nodes:
            return None
        whole = {(one.lease.id, row): one.loss_micro for one in self.candidates for row in self.holds[one.lease.id]}
        if not self.wide:
            victims = self.grown({}, whole)
            return Cover(victims, total_cost(victims)[0])
        weights = dict.fromkeys(whole, 1 << 16)
        best: tuple[Candidate, ...] | None = None
        bound = -1
        for number in range(rounds):
            prices = {**whole, **self.split(weights)}
            least, wanted = self.least(hopeful, prices, {})
            bound = max(bound, least)
            if bound > ceiling:
                return Cover(best, bound)
            if number >= rounds - searches:
                tried = self.grown({}, prices)
                if best is None or total_cost(tried) < total_cost(best):
                    best = tried
                loss = total_cost(best)[0]
                if loss - bound <= loss // 1_000:
                    return Cover(best, bound)
            self.shift(weights, wanted, number)
        assert best is not None
        return _Branching(self, weights, best, branches).proven(bound) if branches else Cover(best, bound)

    def split(self, weights: Prices) -> Prices:
        found: dict[tuple[LeaseId, int], int] = {}
        for one in self.wide:
            mine = {row: weights[one.lease.id, row] for row in self.holds[one.lease.id]}
            total = sum(mine.values())
            each, rest = divmod(one.loss_micro, total)
            found |= {(one.lease.id, row): each * weight + rest * weight // total for row, weight in mine.items()}
        return found

    def least(self, rows: Iterable[int], prices: Prices, decided: Decided) -> tuple[int, set[tuple[LeaseId, int]]]:
        offers = {row: self.lowest(row, prices, decided) for row in rows}
        chosen = sorted(offers, key=lambda row: offers[row][0])[: self.nodes]
        if any(offers[row][0] >= INFINITE for row in chosen):
            return INFINITE, set()
        return sum(offers[row][0] for row in chosen), {(name, row) for row in chosen for name in offers[row][1]}

    def lowest(self, row: int, prices: Prices, decided: Decided) -> tuple[int, tuple[LeaseId, ...]]:
        here = {one.lease.id: self.holds[one.lease.id][row] for one in self.on[row]}
        missing = max(0, self.need - self.free[row] - sum(gpus for name, gpus in here.items() if decided.get(name)))
        best: list[tuple[int, tuple[LeaseId, ...]]] = [(0, ()), *[(INFINITE, ())] * missing]
        for name in (name for name in here if name not in decided):
            for wanted in range(missing, 0, -1):
                price, names = best[max(0, wanted - here[name])]
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

    def grown(self, decided: Decided, prices: Prices) -> tuple[Candidate, ...]:
        """A cover that ends of those who end by decision whom it needs, and of the undecided whom it lacks."""
        state = _State(self, prices, {name for name, ends in decided.items() if not ends})
        state.end(one for one in self.candidates if decided.get(one.lease.id))
        assert state.serve()
        return self.without_surplus(state)

    def as_wanted(self, decided: Decided, wanted: Collection[tuple[LeaseId, int]]) -> tuple[Candidate, ...]:
        names = {name for name, _ in wanted} | {name for name, ends in decided.items() if ends}
        state = _State(self, {}, set())
        state.end(one for one in self.candidates if one.lease.id in names)
        return self.without_surplus(state)

    def without_surplus(self, state: "_State") -> tuple[Candidate, ...]:
        free = state.free
        kept = sorted((one for one in self.candidates if one.lease.id in state.chosen), key=lambda one: -one.loss_micro)
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


class _Branching:
    """The search through decisions about leases with several nodes: each problem is looked at once, as long as any may be."""

    def __init__(
        self, search: _Search, weights: dict[tuple[LeaseId, int], int], best: tuple[Candidate, ...], branches: int
    ) -> None:
        self.search, self.weights, self.best, self.left = search, weights, best, branches
        self.whole = {(one.lease.id, row): one.loss_micro for one in search.candidates for row in search.holds[one.lease.id]}

    def proven(self, bound: int) -> Cover:
        closed = self.visit({}, bound)
        return Cover(self.best, max(bound, min(closed, total_cost(self.best)[0])))

    @property
    def limit(self) -> int:
        loss = total_cost(self.best)[0]
        return loss - loss // 200

    def visit(self, decided: Decided, lower: int) -> int:
        """What no cover under these decisions costs less than."""
        if self.left == 0:
            return lower
        self.left -= 1
        search, limit, raised = self.search, self.limit, 0
        spent = sum(one.loss_micro for one in search.candidates if decided.get(one.lease.id))
        for number in range(6):
            prices = {**self.whole, **search.split(self.weights)}
            least, wanted = search.least(search.free, prices, decided)
            raised = max(raised, spent + least)
            if raised >= limit:
                break
            search.shift(self.weights, wanted, 8 + number)
        lower = max(lower, min(raised, INFINITE))
        if lower >= limit:
            return lower
        open_ = {
            one.lease.id: len(rows & wanted)
            for one in search.wide
            if one.lease.id not in decided and 0 < len((rows := self.rows(one)) & wanted) < len(rows)
        }
        tried = search.grown(decided, prices) if open_ else search.as_wanted(decided, wanted)
        if total_cost(tried) < total_cost(self.best):
            self.best = tried
        if not open_ or lower >= self.limit:
            return lower
        lease = max((one for one in search.wide if one.lease.id in open_), key=lambda one: one.loss_micro)
        bears = sum(prices[key] for key in self.rows(lease) & wanted)
        ends = 2 * bears >= sum(prices[key] for key in self.rows(lease))
        name = lease.lease.id
        return min(self.visit({**decided, name: ends}, lower), self.visit({**decided, name: not ends}, lower))

    def rows(self, one: Candidate) -> set[tuple[LeaseId, int]]:
        return {(one.lease.id, row) for row in self.search.holds[one.lease.id]}


class _State:
    """Who was chosen so far, and what is free then."""

    def __init__(self, search: _Search, prices: Prices, spared: set[LeaseId]) -> None:
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
            if name in self.chosen or name in self.spared:
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
