"""What a group is: worth moving, able to wait, able to go on after a reclaim, allowed to leave; each with its reasons."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sublet.core.audit import signs
from sublet.core.audit.group import Group

STAYING = frozenset({"confidential", "restricted"})
"""Sensitivities of data that does not leave."""


class Answer(StrEnum):
    """How sure an answer is."""

    YES = "yes"
    LIKELY = "likely"
    UNKNOWN = "unknown"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Trait:
    """One answer and why."""

    answer: Answer
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """Where the lines are drawn. Hours of wall time, GPU-hours of a group."""

    heavy_gpu_h: float = 24.0  # a group below is not worth anybody's time
    parallel_gpus: int = 8  # a job of so many GPUs is heavy in itself
    slack_share: float = 0.25  # a batch job may take so much longer than it runs
    slack_h: float = 1.0  # and at least so much
    interactive_slack_h: float = 0.25
    interactive_h: float = 0.1  # half of a group's jobs being shorter, somebody seems to wait for them,
    interactive_most_h: float = 1.0  # unless half of its GPU time is in jobs longer than this
    long_h: float = 24.0  # work of this length saves, most likely
    unlabelled: str = "internal"  # the sensitivity of jobs of which no label speaks


@dataclass(frozen=True, slots=True)
class Traits:
    """All that is said of a group. A job may be done `slack_h` later or `slack_share` of its run, whichever is more.

    `saves`: it goes on from a checkpoint.
    """

    kind: str  # batch | interactive | inference
    heavy: Trait
    tolerant: Trait
    checkpoints: Trait
    sensitive: Trait
    sensitivity: str
    slack_h: float
    slack_share: float

    @property
    def saves(self) -> bool:
        """Whether it is taken to go on where it was."""
        return self.checkpoints.answer in {Answer.YES, Answer.LIKELY}

    @property
    def stays(self) -> bool:
        """Whether it must not leave."""
        return self.sensitive.answer in {Answer.YES, Answer.LIKELY}


def traits_of(group: Group, rules: Rules) -> Traits:
    """Classify a group."""
    kind, why = _kind(group, rules)
    tolerant, slack_h, share = _tolerant(group, kind, why, rules)
    sensitive, sensitivity = _sensitive(group, rules)
    return Traits(kind, _heavy(group, rules), tolerant, _checkpoints(group, rules), sensitive, sensitivity, slack_h, share)


def _heavy(group: Group, rules: Rules) -> Trait:
    said = f"{group.gpu_h:,.4g} GPU-hours in {group.jobs:,} jobs of {group.shape} GPUs"
    if group.gpu_h < rules.heavy_gpu_h:
        return Trait(Answer.NO, (f"{said}: below {rules.heavy_gpu_h:g}, moving them is not worth the trouble",))
    if group.gpus >= rules.parallel_gpus:
        return Trait(Answer.YES, (f"{said}: a gang of {rules.parallel_gpus} or more",))
    return Trait(Answer.YES, (said,))


def _kind(group: Group, rules: Rules) -> tuple[str, str]:
    """(kind, why)."""
    if group.told.kind:
        return group.told.kind, f"label {group.told.by} says {group.told.kind}"
    waited_for = signs.found(group.pattern, "waited_for")
    if waited_for:
        return "interactive", f"its name has {waited_for[0]!r}: {waited_for[1]}"
    answers = signs.found(group.pattern, "answers")
    if answers:
        return "inference", f"its name has {answers[0]!r}: {answers[1]}"
    short = group.median_h < rules.interactive_h and group.weighted_h < rules.interactive_most_h
    if short and group.gpus < rules.parallel_gpus:
        return "interactive", f"half of its jobs end within {group.median_h * 60:.3g} min: somebody seems to try things out"
    return "batch", "nothing in its name or run times says that somebody waits for it"


def _tolerant(group: Group, kind: str, why: str, rules: Rules) -> tuple[Trait, float, float]:
    """The answer, the slack in hours, and as a share of the run."""
    if group.told.slack_h is not None:
        slack = group.told.slack_h
        answer = Answer.YES if slack > rules.interactive_slack_h else Answer.NO
        return Trait(answer, (f"label {group.told.by} gives it {slack:g} h",)), slack, 0.0
    if kind == "interactive":
        said = f"so it may be {rules.interactive_slack_h:g} h later, no more"
        return Trait(Answer.NO, (why, said)), rules.interactive_slack_h, 0.0
    slack = max(rules.slack_h, group.wait_h)
    bears = f"a job may be {slack:.3g} h later, or {rules.slack_share:.0%} of its run where that is more"
    if not group.waited:
        return Trait(Answer.LIKELY, (why, bears, "how long it queued is not known")), slack, rules.slack_share
    queued = f"9 of 10 jobs queued up to {group.wait_h:.3g} h, and that was borne"
    return Trait(Answer.YES, (why, queued, bears)), slack, rules.slack_share


def _checkpoints(group: Group, rules: Rules) -> Trait:
    told = group.told.checkpoints
    if told is not None:
        verb = "saves" if told else "does not save"
        return Trait(Answer.YES if told else Answer.NO, (f"label {group.told.by} says that it {verb}",))
    strong, weak = list(_went_on(group)), list(_may_save(group, rules))
    if strong:
        return Trait(Answer.YES, (*strong, *weak))
    if weak:
        return Trait(Answer.LIKELY, tuple(weak))
    return Trait(Answer.UNKNOWN, ("no requeue, no framework in its name and no long runs: taken as not saving",))


def _went_on(group: Group) -> Iterator[str]:
    if group.restarted:
        yield f"{group.restarted:,} of its jobs were queued again and went on"
    if group.resumed >= 3:
        yield f"{group.resumed:,} jobs began within an hour after one like them had been cut short"


def _may_save(group: Group, rules: Rules) -> Iterator[str]:
    saving = signs.found(group.pattern, "saving")
    if saving:
        yield f"its name has {saving[0]!r} ({saving[1]}), which saves as a rule"
    if group.giving_way:
        yield f"{group.giving_way:,} of its jobs ran where they give way to others"
    if group.weighted_h >= rules.long_h:
        said = f"half of its time is in runs of {group.weighted_h:,.3g} h and more"
        yield f"{said}: work of more than {rules.long_h:g} h saves, most likely"


def _sensitive(group: Group, rules: Rules) -> tuple[Trait, str]:
    told = group.told.sensitivity
    if told is not None:
        answer = Answer.YES if told in STAYING else Answer.NO
        return Trait(answer, (f"label {group.told.by} says {told}",)), told
    kept = signs.found(group.pattern, "kept")
    if kept:
        why = f"its name has {kept[0]!r}: {kept[1]}, and no label says that it may leave"
        return Trait(Answer.LIKELY, (why,)), "confidential"
    answer = Answer.YES if rules.unlabelled in STAYING else Answer.UNKNOWN
    return Trait(answer, (f"no label speaks of it: taken as {rules.unlabelled}",)), rules.unlabelled
