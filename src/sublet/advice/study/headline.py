"""The paragraph at the top of a report: what could be leased, what the owner would notice, and what it would bring.

Each sentence is chosen by the figures it speaks of, so that it is right, too, when nothing is idle or a promise breaks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sublet.advice.study.fleet import FleetPart
from sublet.advice.study.given import YEAR_H
from sublet.advice.study.obstacles import Obstacle
from sublet.advice.study.question import Question
from sublet.advice.study.result import Study
from sublet.advice.study.words import counted, gpu_hours, length, listed, money, number, price, share
from sublet.core.units import HOUR_US, MICRO
from sublet.sim.figures import Delays, Figures
from sublet.sim.policies import OURS

NOTHING_IDLE = 0.0005
"""Below this share of the fleet's time nothing is said to be idle."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The numbers that matter, under our policy, and the words around them.

    `case` is `leased`, `broken` (the promise), `loss`, `nothing_idle` or `nothing_leased`. Yearly figures are those of the
    studied period, scaled. Money in whole units of the currency.
    """

    case: str
    leased_gpu_h_year: float
    leased_share: float
    delay_p99_s: float
    delay_max_s: float
    promise_s: float
    jobs: int
    waited: int
    broken: int
    net_year: float
    net_per_gpu_h: float
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]


def yearly(value: float, figures: Figures, gpus: int) -> float:
    """A sum over the studied period, scaled to a year."""
    return value * YEAR_H * gpus / figures.fleet_gpu_h


def headline(study: Study, fleet: FleetPart, hindrances: Sequence[Obstacle]) -> Headline:
    """The top of the report."""
    ours = study.fleet[OURS]
    case = _case(ours, fleet)
    told = _Telling(study, fleet, ours, hindrances)
    return Headline(
        case=case,
        leased_gpu_h_year=yearly(ours.leased_gpu_h, ours, fleet.gpus),
        leased_share=ours.leased_gpu_h / ours.fleet_gpu_h,
        delay_p99_s=ours.delays.p99_s,
        delay_max_s=ours.delays.max_s,
        promise_s=ours.delays.promise_s,
        jobs=ours.delays.jobs,
        waited=ours.delays.waited,
        broken=ours.delays.broken,
        net_year=yearly(ours.net, ours, fleet.gpus),
        net_per_gpu_h=ours.net_per_gpu_h,
        sentences=tuple(told.sentences(case)),
        warnings=tuple(told.warnings(case)),
    )


def _case(ours: Figures, fleet: FleetPart) -> str:
    if fleet.idle_share < NOTHING_IDLE and not ours.leased_gpu_h:
        return "nothing_idle"
    if not ours.leased_gpu_h:
        return "nothing_leased"
    if ours.delays.broken:
        return "broken"
    return "loss" if ours.net < 0 else "leased"


@dataclass(frozen=True, slots=True)
class _Telling:
    study: Study
    fleet: FleetPart
    ours: Figures
    hindrances: Sequence[Obstacle]

    @property
    def _noun(self) -> str:
        """What waits: of a log of demand only the rises are known."""
        return "job" if self.study.question.kind == "jobs" else "rise"

    def sentences(self, case: str) -> Iterator[str]:
        """The paragraph."""
        yield self._idle(case)
        if case == "nothing_idle":
            yield "So there is nothing to lease, and no policy changes that. More GPUs, or less demand, would."
            return
        if case == "nothing_leased":
            yield "Nothing of it would be leased:"
            yield from (_told(one, self.study.question) for one in self.hindrances if one.total)
            return
        yield self._leased()
        yield self._owner(self.ours.delays)
        if self.ours.later is not None and self.ours.later.waited:
            yield self._queue(self.ours.later)
        yield self._money()

    def _idle(self, case: str) -> str:
        question, fleet = self.study.question, self.fleet
        when = f"From {question.when(question.open_us)} to {question.when(question.until_us)}"
        if case == "nothing_idle":
            return f"{when} the owner's own work filled the {counted(fleet.gpus, 'GPU')}: nothing was idle."
        day, four = fleet.bound(24), fleet.bound(4)
        return (
            f"{when}, {share(fleet.idle_share)} of the time of {counted(fleet.gpus, 'GPU')} was idle: {share(four.share)} in "
            f"pieces of four hours or longer, {share(day.share)} in pieces of a day or longer. Nobody who breaks no lease can "
            "lease more than that."
        )

    def _leased(self) -> str:
        ours = self.ours
        share_leased = ours.leased_gpu_h / ours.fleet_gpu_h
        return (
            f"With our policy {share(share_leased)} of the fleet's time would be leased, "
            f"{gpu_hours(yearly(ours.leased_gpu_h, ours, self.fleet.gpus))} in a year like this period, {self._if()}. "
            f"That is {share(ours.captured[0])} of what was idle; {self._reclaims()}"
        )

    def _if(self) -> str:
        spot = [layout for layout in self.study.question.layouts if len(layout.spot.jobs)]
        if len(spot) == len(self.study.question.layouts):
            return "to those who asked for it in the trace"
        return "if tenants take all that is for sale at this price"

    def _reclaims(self) -> str:
        ours = self.ours
        if not ours.reclaims:
            return "no lease was taken back."
        lost = (
            "no work was lost by it" if not ours.lost_gpu_h else f"{share(ours.lost_share)} of the leased time was lost by it"
        )
        guarded = f" ({share(ours.broken_guarantees)} of the guarded ones)" if ours.broken_guarantees else ""
        each = _gpu_days(1 / ours.reclaims_per_gpu_day)
        return f"one lease was taken back for each {each} that GPUs were leased{guarded}, and {lost}."

    def _owner(self, delays: Delays) -> str:
        if not delays.jobs:
            return f"No {self._noun} of the owner came in this time, so nothing says how long one would wait for leased GPUs."
        if not delays.waited:
            return f"None of the owner's {counted(delays.jobs, self._noun)} would wait for leased GPUs."
        promise = f"promised are {length(delays.promise_s)}"
        kept = f"{promise}, and it was kept each time"
        if delays.broken:
            kept = f"{promise}, and that promise was broken {counted(delays.broken, 'time')}"
        return (
            f"{delays.waited:,} of the owner's {counted(delays.jobs, self._noun)} would wait for leased GPUs to come back: 99 "
            f"of 100 {self._noun}s {length(delays.p99_s)} at most, the longest {length(delays.max_s)}; {kept}."
        )

    def _queue(self, later: Delays) -> str:
        promise = length(later.promise_s)
        said = (
            "Where the fleet is full, one late start changes who comes next: against the same replay with nothing leased, "
            f"{self._noun}s start {length(abs(later.mean_s))} {'later' if later.mean_s >= 0 else 'earlier'} on average"
        )
        if not later.broken and not later.earlier:
            return f"{said}, and none moves by more than {promise}."
        return (
            f"{said}; {later.broken:,} of {later.jobs:,} start more than {promise} later (the longest {length(later.max_s)}), "
            f"{later.earlier:,} that much earlier."
        )

    def _money(self) -> str:
        ours, currency = self.ours, self.study.question.market.currency
        prices = sorted({pool.price_micro for pool in self.study.pools})
        low, high = (price(micro / MICRO, currency) for micro in (prices[0], prices[-1]))
        at = f"At {low} a GPU-hour" if low == high else f"At {low} to {high} a GPU-hour"
        net = yearly(ours.net, ours, self.fleet.gpus)
        verb = "would bring" if net >= 0 else "would lose"
        return (
            f"{at} it {verb} {money(abs(net), currency)} a year, {price(ours.net_per_gpu_h, currency)} for each GPU-hour of "
            "the fleet: what is left after energy, wear, operations, refunds and credits. Depreciation runs either way and is "
            "not in it."
        )

    def warnings(self, case: str) -> Iterator[str]:
        """What has to be known before a number is passed on."""
        question, delays = self.study.question, self.ours.delays
        if delays.broken:
            yield (
                f"The hand-back promise was broken {counted(delays.broken, 'time')}. Shorten the notices, lengthen the "
                "promise, or keep a larger reserve, all in the file of --price."
            )
        if case == "loss":
            yield "Leasing costs more than it brings: the price is too low for these costs."
        if case != "nothing_leased":
            yield from (_told(one, question) for one in self.hindrances)
        if not self.ours.conserved:
            yield "The account of GPU time does not add up. This is a defect of the program: please report it."
        lasted_h = (question.until_us - question.open_us) / HOUR_US
        if lasted_h < 14 * 24 and case != "nothing_idle":
            yield f"Only {length(lasted_h * 3600)} were studied. Yearly figures are those few days, scaled."
        if any(self.ours.alarms.values()):
            said = listed([f"{kind} ({times:,})" for kind, times in sorted(self.ours.alarms.items()) if times])
            yield f"The replay raised alarms: {said}."


def _gpu_days(days: float) -> str:
    """GPU-days, a few digits."""
    return f"{number(days)} GPU-days"


def _told(one: Obstacle, question: Question) -> str:
    """An obstacle with its way out; pools are named where they are not all of them."""
    where = ""
    if len(one.pools) < len(question.layouts):
        more = f" and {len(one.pools) - 6} more" if len(one.pools) > 6 else ""
        where = f" (pools {', '.join(one.pools[:6])}{more})" if len(one.pools) > 1 else f" (pool {one.pools[0]})"
    return f"{one.says[:1].upper()}{one.says[1:]}{where}. Way out: {one.hint}."
