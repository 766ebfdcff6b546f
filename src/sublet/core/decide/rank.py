"""Which offers may have a workload, in which order, by which criteria.

Every criterion is a number from 0 to 1, 1 the best: cost and time are the least of all open offers divided by the offer's own,
the others are facts of offer and provider. The score is the mean by the weights. Like scores are ordered by cost, then
by name. So an offer that is cheaper and else the same never ranks lower, and a weight of 0 takes a criterion out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.decide.offer import MODES, SPOT, Needs, Provider
from sublet.core.decide.weigh import Shelf, Weighed
from sublet.core.residency import Place, denials, verdicts
from sublet.core.residency.verdicts import allows

Floats = npt.NDArray[np.float64]
CRITERIA: Mapping[str, str] = {
    "cost": "least cost of finishing the work / its own",
    "time": "least time to finish / its own",
    "availability": "share of the time to finish in which it gets on",
    "support": "how it is supported",
    "freedom": "1 less the lock-in by API, image and data",
    "software": "share of what the workload would use that is there",
    "contract": "how freely one can leave, and how much notice there is",
}
WEIGHTS: Mapping[str, float] = {
    "cost": 5.0, "time": 2.0, "availability": 1.0, "support": 1.0, "freedom": 1.0, "software": 1.0, "contract": 1.0,
}  # fmt: skip
FAIR_NOTICE_S = 120.0
"""A notice of so long counts half of one that never ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """`order` int64[m]: the open offers, best first. `scores` float64[n] and `parts` by criterion, nan where it is not open.

    `closed` says for each offer that is not open why, by its index.
    """

    needs: Needs
    shelf: Shelf
    weighed: Weighed
    order: npt.NDArray[np.int64]
    scores: Floats
    parts: Mapping[str, Floats]
    closed: Mapping[int, str]
    weights: Mapping[str, float]


def weights_of(needs: Needs) -> dict[str, float]:
    """The workload's weights; what it does not name is as usual, unless it names none of the usual."""
    return {name: float(needs.weights.get(name, WEIGHTS[name])) for name in CRITERIA}


def rank(needs: Needs, shelf: Shelf, weighed: Weighed) -> Ranked:
    """All open offers in order."""
    weights = weights_of(needs)
    closed = closed_of(needs, shelf, weighed)
    is_open = np.ones(len(shelf.offers), np.bool_)
    is_open[list(closed)] = False
    parts = parts_of(needs, shelf, weighed, is_open)
    scores = scored(parts, weights)
    order = ordered(scores, weighed.cost, shelf, np.flatnonzero(is_open))
    return Ranked(needs, shelf, weighed, order, scores, parts, closed, weights)


def closed_of(needs: Needs, shelf: Shelf, weighed: Weighed) -> dict[int, str]:
    """Why an offer cannot have the workload, by its index; the plainest reason of each."""
    found: dict[int, str] = {}
    denied = _denied(needs, shelf)
    for i, (offer, provider) in enumerate(zip(shelf.offers, shelf.providers, strict=True)):
        lacks = needs.must - provider.software
        if not weighed.fits[i]:
            found[i] = f"{offer.gpu_model} is none of the GPUs that it runs on"
        elif reason := denied.get((provider.name, offer.region, offer.country)):
            found[i] = reason
        elif lacks:
            found[i] = _lacking(provider, lacks)
        elif offer.mode == SPOT and not needs.interruptible:
            found[i] = "it may be interrupted, and the workload may not"
        elif not np.isfinite(weighed.cost[i]) or not np.isfinite(weighed.end_h[i]):
            found[i] = "it would be interrupted so often that the work is never done"
        elif needs.deadline_h is not None and weighed.end_h[i] > needs.deadline_h:
            found[i] = f"done after {weighed.end_h[i]:,.3g} h, and the deadline is {needs.deadline_h:,.3g} h"
        elif needs.most_micro is not None and weighed.cost[i] > needs.most_micro:
            found[i] = f"it costs {weighed.cost[i] / 1e6:,.4g}, and {needs.most_micro / 1e6:,.4g} is the most"
    return found


def _lacking(provider: Provider, lacks: frozenset[str]) -> str:
    named = ", ".join(sorted(lacks))
    return f"it has no {named}" if provider.software else f"nobody has said that it has {named}: describe it with --providers"


def _denied(needs: Needs, shelf: Shelf) -> dict[tuple[str, str | None, str | None], str]:
    """Provider, region and country where the data may not be, and the first reason."""
    if needs.label.silent:
        return {}
    places = {
        (provider.name, offer.region, offer.country): provider
        for offer, provider in zip(shelf.offers, shelf.providers, strict=True)
    }
    found = {}
    for key, provider in places.items():
        reason = denial_of(needs, place_of(provider, key[1], key[2]))
        if reason is not None:
            found[key] = reason
    return found


def place_of(provider: Provider, region: str | None, country: str | None) -> Place:
    """Where an offer's work would be, as residency knows it; a site of the tenant's file goes by its own name."""
    own = provider.kind in {"home", "own surplus", "sublet site"} or not region
    return Place(
        provider.name if own else f"{provider.name} {region}",
        country or provider.country,
        provider.name,
        provider.operator_country,
        provider.regimes,
        provider.certifications,
        provider.safeguards,
    )


def denial_of(needs: Needs, place: Place) -> str | None:
    """Why the workload's data may not be at a place; None: it may."""
    given = verdicts(needs.label, place, needs.tenant)
    if allows(needs.label, given):
        return None
    told = denials(given)
    return f"residency: {told[0].reason} ({told[0].rule})" if told else "residency: no rule allows it"


def parts_of(needs: Needs, shelf: Shelf, weighed: Weighed, is_open: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """Each criterion of each open offer; nan elsewhere."""
    wanted = needs.wants
    facts = {name: np.array(values, np.float64) for name, values in (
        ("support", [one.support or 0.0 for one in shelf.providers]),
        ("freedom", [0.0 if one.lock_in is None else 1 - sum(one.lock_in) / 3 for one in shelf.providers]),
        ("software", [len(wanted & one.software) / len(wanted) if wanted else 1.0 for one in shelf.providers]),
    )}  # fmt: skip
    found = facts | {"contract": _contract(shelf)} | moving_parts(needs, weighed, is_open)
    return {name: np.where(is_open, found[name], np.nan) for name in CRITERIA}


def moving_parts(needs: Needs, weighed: Weighed, is_open: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """The criteria that prices and interruptions move."""
    progress = needs.work_h * needs.runs
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "cost": _least_over(weighed.cost, is_open),
            "time": _least_over(weighed.end_h, is_open),
            "availability": np.minimum(1.0, progress / np.maximum(weighed.end_h, progress)),
        }


def _least_over(values: Floats, is_open: npt.NDArray[np.bool_]) -> Floats:
    """The least of the open ones divided by each; 1 where nothing costs anything."""
    if not is_open.any():
        return np.full(len(values), np.nan)
    least = float(values[is_open].min())
    return np.where(values <= least, 1.0, least / np.where(values > 0, values, 1.0))


def _contract(shelf: Shelf) -> Floats:
    """1 where one may leave at once and is never thrown out; less by the term, and by how short the notice is."""
    term = 730.0 / (730.0 + np.array([MODES[one.mode] for one in shelf.offers]))
    notice = np.where(shelf.is_spot, shelf.notice_s / (shelf.notice_s + FAIR_NOTICE_S), 1.0)
    return term * notice


def scored(parts: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """The mean of all criteria by their weights; 0 where all weights are 0."""
    total = sum(weights.values())
    if not total:
        return np.where(np.isnan(parts["cost"]), np.nan, 0.0)
    used = [weight * parts[name] for name, weight in weights.items() if weight]
    scores: Floats = np.sum(used, axis=0) / total
    return scores


def ordered(scores: Floats, cost: Floats, shelf: Shelf, which: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Best score first, then least cost, then by name."""
    best = sorted(which.tolist(), key=lambda i: (-round(float(scores[i]), 12), float(cost[i]), shelf.offers[i].name))
    return np.array(best, np.int64)


def by_provider(ranked: Ranked) -> list[int]:
    """The best offer of each provider, best first."""
    seen: dict[str, int] = {}
    for i in ranked.order.tolist():
        seen.setdefault(ranked.shelf.offers[i].provider, i)
    return list(seen.values())


def pareto(ranked: Ranked, which: Sequence[int]) -> list[int]:
    """Those of `which` than which none is both cheaper and sooner."""
    cost, end = ranked.weighed.cost, ranked.weighed.end_h
    front, soonest = [], np.inf
    for i in sorted(which, key=lambda one: (cost[one], end[one])):
        if end[i] < soonest:
            front.append(i)
            soonest = end[i]
    return front
