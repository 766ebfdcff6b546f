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
    return [*_prices(asked, best), *_interruptions(asked, best[0]), *_weights(ranked)]


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


def _weights(ranked: Ranked) -> Iterator[Turn]:
    """For each criterion the nearest weight below and above at which another provider wins.

    With all other weights as they are, the lead of the winner over an offer is a straight line in that weight.
    """
    winner = int(ranked.order[0])
    others = [i for i in ranked.order.tolist() if ranked.shelf.offers[i].provider != ranked.shelf.offers[winner].provider]
    rivals = np.array(others)
    lead = {name: ranked.parts[name][winner] - ranked.parts[name][rivals] for name in CRITERIA}
    for name, now in ranked.weights.items():
        rest = sum(weight * lead[other] for other, weight in ranked.weights.items() if other != name)
        slope = lead[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.where(slope != 0, -rest / slope, np.nan)
        at = np.where(np.isfinite(at) & (at >= 0) & (np.abs(at - now) > 1e-9), at, np.nan)
        for side in (np.where(at < now, at, np.nan), np.where(at > now, at, np.nan)):
            known = np.flatnonzero(np.isfinite(side))
            if len(known):
                near = known[np.argmin(np.abs(side[known] - now))]
                if side[near] <= FACTOR_MAX * max(sum(ranked.weights.values()), 1.0):
                    yield Turn("weight", name, now, float(side[near]), ranked.shelf.offers[int(rivals[near])].provider)
