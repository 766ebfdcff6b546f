"""What each way out would cost a group, how often it is taken back, and how much later its jobs are done; and the best way.

Money in micro-units, hours of wall time. Every way is worked out, those that are ruled out with the reason.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sublet.core.audit.classify import Answer, Traits
from sublet.core.audit.group import Group
from sublet.core.finishing import Finish, Habit, Risk, finish
from sublet.core.units import HOUR_US, charge_micro

Ints = npt.NDArray[np.int64]
TOO_LATE_MAX = 0.1
"""So many jobs of a group may be later than they may be."""
STAY, SPOT, GUARDED, BLOCK, BATCH = "stay", "spot", "guarded", "block", "batch_api"


@dataclass(frozen=True, slots=True, eq=False)
class Surplus:
    """What is for sale and what staying costs: prices in micro-units a GPU-hour, guarded ones by length (hours).

    `risk` is that of spot leases, `guarded_risk` that of guarded ones by length. `home_micro` is what a GPU-hour costs where
    the jobs run now.
    """

    home_micro: int
    spot_micro: int
    guarded_micro: Mapping[int, int]
    guarded_risk: Mapping[int, Risk]
    block_micro: int
    batch_micro: int
    risk: Risk
    saving: Habit
    losing: Habit  # of work that does not save: a notice helps it nothing
    node_gpus: int = 8
    block_lead_h: float = 1.0  # from asking to the start of a block, the grid of its windows counted in
    block_longest_h: float = 336.0
    batch_within_h: float = 24.0


@dataclass(frozen=True, slots=True)
class Option:
    """One way for one group. `interruptions` and `added_h` are of a job on average, `late_h` of 95 of 100 jobs at most.

    `hours` is the guarded term or the block's length. `done` is the share of jobs that come to an end, `too_late` that of jobs
    that are later than they may be. `ruled_out` says why it cannot be taken.
    """

    way: str
    cost_micro: int
    interruptions: float = 0.0
    added_h: float = 0.0
    late_h: float = 0.0
    done: float = 1.0
    too_late: float = 0.0
    hours: int | None = None
    ruled_out: str | None = None
    says: str = ""

    @property
    def name(self) -> str:
        """As people read it."""
        plain = {STAY: "stay", BATCH: "batch API"}.get(self.way, self.way)
        return plain if self.hours is None or self.way == BLOCK else f"{plain} {self.hours} h"


@dataclass(frozen=True, slots=True)
class Choice:
    """The best way for a group, all ways, and why it is the best. `saving_micro` is against staying."""

    best: Option
    options: tuple[Option, ...]
    saving_micro: int
    why: str
    if_saving_micro: int | None = None  # what spot would save if the work saved checkpoints; None where it does already


def stay_of(group_us: int, surplus: Surplus) -> Option:
    """Where it is. `group_us`: GPU-µs of the group."""
    return Option(STAY, charge_micro(group_us, surplus.home_micro), says="where they run now, without an interruption")


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A group, what it is, and how long its jobs ran (µs, int64[n]); each of them is played `runs` times."""

    group: Group
    traits: Traits
    work_us: Ints
    runs: int
    seed: int


def choose(asked: Asked, surplus: Surplus, *, least_saving: float) -> Choice:
    """Weigh all ways for a group; one that saves less than `least_saving` of what staying costs is not worth it."""
    stay = stay_of(int(asked.work_us.sum()) * asked.group.gpus, surplus)
    play = _Play(asked, surplus)
    options = (stay, *play.ways())
    open_ways = [one for one in options[1:] if one.ruled_out is None]
    best = min(open_ways, key=lambda one: one.cost_micro, default=stay)
    saving = stay.cost_micro - best.cost_micro
    if best is stay:
        best, saving, why = stay, 0, _why_nothing(options)
    elif saving < least_saving * stay.cost_micro:
        why = f"{best.name} would save less than {least_saving:.0%} of what staying costs"
        best, saving = stay, 0
    else:
        why = f"the cheapest way that is open: {best.says}"
    would = None if asked.traits.saves or asked.traits.stays else play.if_it_saved(stay.cost_micro)
    return Choice(best, options, saving, why, would)


def _why_nothing(options: tuple[Option, ...]) -> str:
    reasons = list(dict.fromkeys(one.ruled_out for one in options if one.ruled_out))
    return "; ".join(reasons[:3]) if len(reasons) > 1 else reasons[0]


class _Play:
    """All ways for one group."""

    def __init__(self, asked: Asked, surplus: Surplus) -> None:
        self.group, self.traits, self.work_us, self.surplus = asked.group, asked.traits, asked.work_us, surplus
        self.runs, self.seed = asked.runs, asked.seed

    def ways(self) -> Iterator[Option]:
        """Each way, in the order of the classes."""
        yield self._spot(self.surplus.saving if self.traits.saves else self.surplus.losing)
        yield from self._guarded()
        yield self._block()
        yield self._batch()

    def if_it_saved(self, stay_micro: int) -> int | None:
        """What spot would save with checkpoints; None where it would save nothing or could not be taken."""
        option = self._spot(self.surplus.saving)
        saving = stay_micro - option.cost_micro
        return saving if option.ruled_out is None and saving > 0 else None

    def _finish(self, risk: Risk, habit: Habit) -> Finish:
        count = len(self.work_us)
        habits = np.tile(np.array(habit.row, np.int64), (count, 1))
        gpus = np.full(count, self.group.gpus, np.int64)
        return finish(self.work_us, gpus, habits, risk, runs=self.runs, seed=self.seed)

    def _closed(self) -> str | None:
        """What rules out every way but staying."""
        if self.traits.stays:
            return f"its data stays: {self.traits.sensitive.reasons[0]}"
        return self.traits.heavy.reasons[0] if self.traits.heavy.answer == Answer.NO else None

    def _too_late(self, late_us: npt.NDArray[np.int64]) -> float:
        """The share of jobs [N] or runs [N, R] that are later than they may be."""
        traits = self.traits
        may_us = np.maximum(traits.slack_h * HOUR_US, traits.slack_share * self.work_us)
        return float((late_us > (may_us[:, None] if late_us.ndim == 2 else may_us)).mean())

    def _option(self, way: str, price_micro: int, found: Finish, paid_us: npt.NDArray[np.int64], **more: object) -> Option:
        """From runs to an option; `paid_us` [N, R] is what of them costs."""
        done = found.done
        late = np.where(done, found.end_us - self.work_us[:, None], 0)
        mean_us = int(paid_us.sum()) // self.runs
        late_h = float(np.quantile(late[done], 0.95)) / HOUR_US if done.any() else math.inf
        made = Option(
            way,
            charge_micro(mean_us * self.group.gpus, price_micro),
            float(found.reclaims.mean()),
            float(late[done].mean()) / HOUR_US if done.any() else math.inf,
            late_h,
            float(done.mean()),
            self._too_late(np.where(done, late, 0)),
            **more,  # type: ignore[arg-type]
        )
        return self._judged(made)

    def _judged(self, option: Option) -> Option:
        reason = self._closed() or option.ruled_out
        if reason is None and option.done < 1:
            reason = f"{1 - option.done:.1%} of its jobs would never be done: work that does not save starts again each time"
        if reason is None and option.too_late > TOO_LATE_MAX:
            said = f"{option.too_late:.1%} of its jobs would be later than they may be"
            reason = f"{said} ({self.traits.slack_h:.3g} h, or {self.traits.slack_share:.0%} of a run)"
        return replace(option, ruled_out=reason)

    def _spot(self, habit: Habit) -> Option:
        found = self._finish(self.surplus.risk, habit)
        says = "work that saves, at the clearing price" if habit.heeds else "short enough to start again, at the clearing price"
        ruled_out = "a person would be thrown out" if self.traits.kind == "interactive" else None
        return self._option(SPOT, self.surplus.spot_micro, found, found.billed_us, says=says, ruled_out=ruled_out)

    def _guarded(self) -> Iterator[Option]:
        """The shortest term that holds 95 of 100 jobs; longer work goes from term to term, if it saves."""
        terms = sorted(self.surplus.guarded_micro)
        hours = next((term for term in terms if self.group.high_h <= term), terms[-1])
        habit = self.surplus.saving if self.traits.saves else self.surplus.losing
        found = self._finish(self.surplus.guarded_risk[hours], replace(habit, backoff_us=0))  # the next one is a new lease
        fits = self.work_us <= hours * HOUR_US
        ruled_out = None
        if not fits.all() and not self.traits.saves:
            ruled_out = f"{int((~fits).sum()):,} of its jobs run longer than {hours} h and do not save"
        paid = np.where(fits[:, None], np.minimum(found.billed_us, self.work_us[:, None] + habit.restart_us), found.billed_us)
        says = f"kept for {hours} h; what is taken back is refunded"
        yield self._option(GUARDED, self.surplus.guarded_micro[hours], found, paid, hours=hours, says=says, ruled_out=ruled_out)

    def _block(self) -> Option:
        """Whole nodes for the length that holds 95 of 100 jobs; those that take longer need the same again."""
        group, surplus = self.group, self.surplus
        hours = max(1, math.ceil(group.high_h))
        over = int((self.work_us > hours * HOUR_US).sum())
        booked_us = (len(self.work_us) + over) * hours * HOUR_US * group.nodes * surplus.node_gpus
        ruled_out = None
        if group.per_node % surplus.node_gpus:
            ruled_out = f"{group.per_node} GPUs a node are no whole node of {surplus.node_gpus}"
        elif hours > surplus.block_longest_h:
            ruled_out = f"{hours} h are longer than any block ({surplus.block_longest_h:g} h)"
        lead = surplus.block_lead_h
        cost = charge_micro(booked_us, surplus.block_micro)
        late = self._too_late(np.full(len(self.work_us), round(lead * HOUR_US)))
        says = "fixed, and never taken back"
        return self._judged(Option(BLOCK, cost, 0.0, lead, lead, too_late=late, hours=hours, ruled_out=ruled_out, says=says))

    def _batch(self) -> Option:
        surplus = self.surplus
        cost = charge_micro(int(self.work_us.sum()) * self.group.gpus, surplus.batch_micro)
        within = surplus.batch_within_h
        late_us = (round(within * HOUR_US) - self.work_us).clip(min=0)
        late, late_h = float(late_us.mean()) / HOUR_US, float(np.quantile(late_us, 0.95)) / HOUR_US
        ruled_out = None if self.traits.kind == "inference" else "it does not answer a list of questions with a model"
        too_late, says = self._too_late(late_us), f"done within {within:g} h"
        return self._judged(Option(BATCH, cost, 0.0, late, late_h, too_late=too_late, ruled_out=ruled_out, says=says))
