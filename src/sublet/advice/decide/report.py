"""A decision as one value: everything that the page shows and the JSON document says. Amounts in micro-units (`*_micro`)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sublet
from sublet.advice.decide.catalogue import Catalogue
from sublet.advice.decide.workload_file import WorkloadFile
from sublet.advice.study.words import length, money, price
from sublet.core.decide.offer import Needs, Offer, Provider
from sublet.core.decide.rank import CRITERIA, Ranked, by_provider, denial_of, pareto, place_of, rank
from sublet.core.decide.turn import Turn, turns
from sublet.core.decide.weigh import Shelf, shelf_of, weigh
from sublet.core.units import MICRO

KIND = "sublet.decide"
SCHEMA = 1
"""Goes up when a key changes its meaning or goes away; new keys may come at any time."""
SHOWN = 30

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Line:
    """An open offer. `parts` are the criteria, of 1."""

    rank: int
    offer: Offer
    provider: Provider
    score: float
    parts: Mapping[str, float]
    instances: int
    cost_micro: int
    compute_micro: int
    egress_micro: int
    storage_micro: int
    gpu_h_micro: int
    interruptions: float
    lost_h: float
    end_h: float
    on_front: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A provider none of whose offers is open, with the commonest reason."""

    provider: str
    offers: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer. `lines` has the best offer of each provider, `offers` the best of all."""

    kind: str
    schema: int
    version: str
    workload: WorkloadFile
    currency: str
    offers: int
    open: int
    dates: tuple[str, str]
    unused: Mapping[str, int]
    weights: Mapping[str, float]
    lines: tuple[Line, ...]
    best: tuple[Line, ...]
    closed: tuple[Closed, ...]
    turns: tuple[Turn, ...]
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]


def shelf(found: Catalogue) -> Shelf:
    """The catalogue as the core takes it; may be made once for many workloads."""
    return shelf_of(found.offers, found.providers)


def report_of(file: WorkloadFile, found: Catalogue, on: Shelf, tell: Tell = lambda *_: None) -> Report:
    """Rank all offers for a workload and say what would change it."""
    tell("weighing", 0.0)
    needs = file.needs()
    ranked = rank(needs, on, weigh(needs, on))
    tell("what would change it", 0.5)
    first = by_provider(ranked)
    front = set(pareto(ranked, first))
    turned = tuple(turns(ranked))
    lines = tuple(_line(ranked, n, i, i in front) for n, i in enumerate(first, 1))
    best = tuple(_line(ranked, n, i, i in front) for n, i in enumerate(ranked.order[:SHOWN].tolist(), 1))
    closed = tuple(_closed(ranked, first))
    tell("what would change it", 1.0)
    return Report(
        kind=KIND,
        schema=SCHEMA,
        version=sublet.__version__,
        workload=file,
        currency=file.currency,
        offers=len(on.offers),
        open=len(ranked.order),
        dates=found.dates,
        unused=found.unused,
        weights=ranked.weights,
        lines=lines,
        best=best,
        closed=closed,
        turns=turned,
        sentences=tuple(_sentences(file, ranked, lines, closed, turned)),
        warnings=tuple(_warnings(file, found, lines, ranked)),
    )


def _line(ranked: Ranked, number: int, i: int, on_front: bool) -> Line:  # noqa: FBT001 (one of many facts)
    on, weighed = ranked.shelf, ranked.weighed
    return Line(
        rank=number,
        offer=on.offers[i],
        provider=on.providers[i],
        score=float(ranked.scores[i]),
        parts={name: float(ranked.parts[name][i]) for name in CRITERIA},
        instances=int(weighed.instances[i]),
        cost_micro=round(float(weighed.cost[i])),
        compute_micro=round(float(weighed.compute[i])),
        egress_micro=round(float(weighed.egress[i])),
        storage_micro=round(float(weighed.storage[i])),
        gpu_h_micro=round(float(on.price[i] / on.gpus[i])),
        interruptions=float(weighed.interruptions[i]),
        lost_h=float(weighed.lost_h[i]),
        end_h=float(weighed.end_h[i]),
        on_front=on_front,
        verdict=_verdict(ranked.needs, on.offers[i], on.providers[i]),
    )


def _verdict(needs: Needs, offer: Offer, provider: Provider) -> str:
    """What residency says of an open offer."""
    if needs.label.silent:
        return "nothing is stated"
    return "allowed" if denial_of(needs, place_of(provider, offer.region, offer.country)) is None else "denied"


def _closed(ranked: Ranked, first: Sequence[int]) -> Iterator[Closed]:
    open_ones = {ranked.shelf.offers[i].provider for i in first}
    reasons: dict[str, Counter[str]] = {}
    for i, reason in ranked.closed.items():
        reasons.setdefault(ranked.shelf.offers[i].provider, Counter())[reason] += 1
    for provider in sorted(reasons):
        if provider not in open_ones:
            told = _telling(reasons[provider])
            yield Closed(provider, sum(reasons[provider].values()), told)


def _telling(reasons: Counter[str]) -> str:
    """The commonest reason, one that is about more than the GPU's model if there is one."""
    more = Counter({reason: count for reason, count in reasons.items() if "none of the GPUs" not in reason})
    if more:
        return more.most_common(1)[0][0]
    return "it has none of the GPUs that it runs on"


def _sentences(
    file: WorkloadFile, ranked: Ranked, lines: Sequence[Line], closed: Sequence[Closed], turned: Sequence[Turn]
) -> Iterator[str]:
    """The plain paragraph."""
    if not lines:
        common = Counter(one.reason for one in closed).most_common(1)
        why = common[0][0] if common else "there is no offer"
        yield f"Nowhere: none of {len(ranked.shelf.offers):,} offers may have {file.name}. The commonest reason is: {why}."
        return
    win = lines[0]
    gpus = f"{file.gpus} GPU{'s' if file.gpus > 1 else ''}"
    place = f"{win.offer.provider} in {win.offer.region}" if win.offer.region else win.offer.provider
    yield (
        f"{file.name} should run at {place}, {win.offer.instance} {win.offer.mode}: finishing it on {gpus} is expected to cost "
        f"{money(win.cost_micro / MICRO, file.currency)} and to take {length(win.end_h * 3600)}."
    )
    if win.interruptions >= 0.01:
        yield f"It is interrupted {win.interruptions:.2g} times a run on average and loses {length(win.lost_h * 3600)} by that."
    if len(lines) > 1:
        yield _second(lines, file.currency)
    denied = sum(1 for reason in ranked.closed.values() if reason.startswith("residency"))
    if denied:
        yield f"{denied:,} offers were left out because its data may not be there."
    own = next((turn for turn in turned if turn.what == "price" and turn.of == win.offer.provider), None)
    if own is not None:
        yield (
            f"{own.winner} would win if {own.of} charged more than {price(own.then / MICRO, file.currency)} a GPU-hour "
            f"({own.then / own.now - 1:+.0%})."
        )
    elif len(lines) > 1 and ranked.weights["cost"] > 0:
        yield (
            f"No price of {win.offer.provider} up to a hundredfold would change that."
            if win.gpu_h_micro
            else "It costs nothing."
        )
    near = [turn for turn in turned if turn.what == "weight"]
    if near:
        closest = min(near, key=lambda turn: abs(turn.then - turn.now) / max(turn.now, 0.5))
        yield f"A weight of {closest.of} of {closest.then:.2g} in place of {closest.now:.2g} would put {closest.winner} first."


def _second(lines: Sequence[Line], currency: str) -> str:
    win, second = lines[0], lines[1]
    more = second.cost_micro - win.cost_micro
    costs = f"{money(abs(more) / MICRO, currency)} {'more' if more >= 0 else 'less'}"
    later = second.end_h - win.end_h
    takes = f"{length(abs(later) * 3600)} {'longer' if later >= 0 else 'less'}"
    lead = [name for name in CRITERIA if win.parts[name] > second.parts[name] + 0.02]
    behind = f"; the first leads in {', '.join(lead)}" if lead else ""
    return f"Second is {second.offer.provider} ({second.offer.mode}), which costs {costs} and takes {takes}{behind}."


def _warnings(file: WorkloadFile, found: Catalogue, lines: Sequence[Line], ranked: Ranked) -> Iterator[str]:
    """What has to be known before a number is passed on."""
    total = sum(ranked.weights.values())
    if not total:
        yield "All weights are 0: the order is that of the cost."
    if lines and lines[0].provider.kind in {"marketplace", "unknown"}:
        what = "a marketplace" if lines[0].provider.kind == "marketplace" else "described nowhere"
        yield f"{lines[0].offer.provider} is {what}: check that it has as many GPUs at once."
    if lines and lines[0].offer.gpus < file.gpus and lines[0].provider.kind not in {"home", "own surplus", "sublet site"}:
        yield (
            f"The price is that of {lines[0].offer.gpus:g} GPUs at a time, {lines[0].instances} of which are needed together: "
            "whether they are connected fast enough is not in the catalogue."
        )
    if found.dates[0] and found.dates[0] < "2026":
        yield f"The oldest price is of {found.dates[0]}."
    if found.unused:
        rows = sum(found.unused.values())
        yield f"{rows:,} rows of the tables were not used: {'; '.join(found.unused)}."
    if file.checkpoint is None and file.interruptible:
        yield "Without `checkpoint:` an interruption starts the work from the beginning."
