"""What would change the winner: another price of its own or of a rival's, more interruptions, another weight."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.decide.rank import CRITERIA, Ranked, by_provider, moving_parts, scored
from sublet.core.decide.weigh import weigh

Floats = npt.NDArray[np.float64]
FACTOR_MAX = 100.0
STEPS = 24
GRID, WEIGHT_MAX = 40, 20.0
"""So many weights are tried on each side, up to so many times the sum of all."""
RIVALS = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that would have to change for another provider to win: from `now` to `then`; `winner` would be first.

    `what` is price, interruptions or weight, `of` the provider or the criterion. Prices in micro-units of a GPU-hour.
    """

    what: str
    of: str
    now: float
    then: float
    winner: str


def turns(ranked: Ranked) -> list[Turn]:
    """All that would change the winner within reason; nothing where only one provider is open."""
    best = by_provider(ranked)
    if len(best) < 2:
        return []
    asked = _Asked(ranked)
    return [*_prices(asked, best), *_interruptions(asked, best[0]), *_weights(asked)]


class _Asked:
    """The open offers alone, asked again and again with other prices and hazards."""

    def __init__(self, ranked: Ranked) -> None:
        self.ranked, self.needs = ranked, ranked.needs
        which = np.sort(ranked.order)
        self.shelf = ranked.shelf.of(which)
        self.facts = {name: part[which] for name, part in ranked.parts.items()}
        self.provider = np.array([one.provider for one in self.shelf.offers])
        self.place = {int(i): n for n, i in enumerate(which)}

    def first(self, *, price: Floats | None = None, hazard: Floats | None = None) -> int:
        """The place of the best offer; -1 where none is open any more."""
        weighed = weigh(self.needs, self.shelf, price=price, hazard=hazard)
        is_open = np.isfinite(weighed.cost) & np.isfinite(weighed.end_h)
        if self.needs.deadline_h is not None:
            is_open &= weighed.end_h <= self.needs.deadline_h
        if self.needs.most_micro is not None:
            is_open &= weighed.cost <= self.needs.most_micro
        if not is_open.any():
            return -1
        parts = self.facts | moving_parts(self.needs, weighed, is_open)
        scores = scored({name: np.where(is_open, part, -1.0) for name, part in parts.items()}, self.ranked.weights)
        best = np.lexsort((np.where(is_open, weighed.cost, np.inf), -np.round(np.where(is_open, scores, -2.0), 12)))
        return int(best[0])

    def winner(self, **turned: Floats) -> str:
        """The provider of the best offer."""
        found = self.first(**turned)
        return "" if found < 0 else str(self.provider[found])

    def scaled(self, provider: str, factor: float) -> str:
        """Who wins once all prices of a provider are so many times what they are."""
        return self.winner(price=np.where(self.provider == provider, self.shelf.price * factor, self.shelf.price))


def _edge(holds: Callable[[float], bool]) -> float | None:
    """The factor from which something that holds at 1 holds no more, by halving; None: it holds up to FACTOR_MAX."""
    if holds(FACTOR_MAX):
        return None
    low, high = 1.0, FACTOR_MAX
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _prices(asked: _Asked, best: list[int]) -> Iterator[Turn]:
    """How dear the winner may become, and how cheap each rival has to."""
    shelf = asked.ranked.shelf
    if asked.ranked.weights["cost"] <= 0:
        return

    def gpu_price(index: int) -> float:
        return float(shelf.price[index] / shelf.gpus[index])

    winner, now = shelf.offers[best[0]].provider, gpu_price(best[0])
    factor = _edge(lambda factor: asked.scaled(winner, factor) == winner) if now else None
    if factor is not None:
        yield Turn("price", winner, now, now * factor, asked.scaled(winner, factor))
    for index in best[1 : 1 + RIVALS]:
        rival = shelf.offers[index].provider
        divisor = _edge(lambda divisor, rival=rival: asked.scaled(rival, 1 / divisor) != rival)  # type: ignore[misc]
        if divisor is not None:
            yield Turn("price", rival, gpu_price(index), gpu_price(index) / divisor, rival)


def _interruptions(asked: _Asked, index: int) -> Iterator[Turn]:
    """How often the winner may be interrupted, where it may be at all, before another offer is better."""
    place = asked.place[index]
    now = float(asked.shelf.hazard_h[place])
    if not now:
        return
    mine = asked.provider == asked.provider[place]

    def hazard(factor: float) -> Floats:
        return np.where(mine, asked.shelf.hazard_h * factor, asked.shelf.hazard_h)

    factor = _edge(lambda factor: asked.first(hazard=hazard(factor)) == place)
    if factor is not None:
        found = asked.first(hazard=hazard(factor))
        yield Turn("interruptions", str(asked.provider[place]), now, now * factor, asked.shelf.offers[found].name)


def _weights(asked: _Asked) -> Iterator[Turn]:
    """For each criterion the nearest weight below and above at which another provider is found to win.

    Weights are tried in steps outward from the present one, and the step in which the winner changes is halved.
    """
    ranked = asked.ranked
    parts = np.array([asked.facts[name] for name in CRITERIA])
    weights = np.array([ranked.weights[name] for name in CRITERIA])
    cost = ranked.weighed.cost[np.sort(ranked.order)]
    first = asked.provider[asked.place[int(ranked.order[0])]]

    def winner(number: int, weight: float) -> str:
        turned = weights.copy()
        turned[number] = weight
        total = turned.sum()
        scores = np.round(turned @ parts / total, 12) if total else np.zeros(len(cost))
        return str(asked.provider[np.lexsort((cost, -scores))[0]])

    for number, name in enumerate(CRITERIA):
        now = float(weights[number])
        for tried in _outward(now, float(weights.sum()) or 1.0):
            last = now
            for weight in tried:
                if winner(number, weight) != first:
                    low, high = last, weight
                    for _ in range(STEPS):
                        middle = (low + high) / 2
                        low, high = (middle, high) if winner(number, middle) == first else (low, middle)
                    yield Turn("weight", name, now, high, winner(number, high))
                    break
                last = weight


def _outward(now: float, total: float) -> tuple[list[float], list[float]]:
    """Weights to try below the present one and above it, the nearest first."""
    below = [now * share for share in np.linspace(1, 0, GRID + 1)[1:]] if now else []
    start = max(now, total / 100)
    above = (start * np.geomspace(1, WEIGHT_MAX * total / start, GRID + 1)[0 if not now else 1 :]).tolist()
    return below, above
