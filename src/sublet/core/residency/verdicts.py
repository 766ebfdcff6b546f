"""All rules asked about one label at one place. A denial wins over every allowance, and what nobody allows is denied."""

from collections.abc import Iterable
from dataclasses import dataclass

from sublet.core.residency.rules import RULES
from sublet.core.residency.values import Label, Party, Place, Purpose, Verdict


def verdicts(label: Label, place: Place, tenant: Party) -> tuple[Verdict, ...]:
    """What each rule that has something to say finds, in the order of the registry; perhaps nothing where nothing is stated."""
    found = ((name, rule, rule.judge(label, place, tenant)) for name, rule in RULES.items())
    return tuple(
        Verdict(name, finding.allows, finding.reason, rule.source, finding.hint)
        for name, rule, finding in found
        if finding is not None
    )


def allows(label: Label, given: Iterable[Verdict]) -> bool:
    """Whether the data may be there: no rule denies it, and one allows it where the label states anything."""
    words = [verdict.allows for verdict in given]
    return all(words) and (bool(words) or label.silent)


def denials(given: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts that keep the data away."""
    return tuple(verdict for verdict in given if not verdict.allows)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was asked and what all rules said: enough to tell afterwards why data was let in or kept away."""

    purposes: tuple[Purpose, ...]
    label: Label
    place: Place
    tenant: Party
    verdicts: tuple[Verdict, ...]

    @property
    def allowed(self) -> bool:
        """Whether the data may be there."""
        return allows(self.label, self.verdicts)

    @property
    def spoken(self) -> bool:
        """Whether any rule had something to say; where none had, nothing was bound."""
        return bool(self.verdicts)

    @property
    def reason(self) -> str:
        """Why it is denied, or that it is allowed."""
        told = denials(self.verdicts)
        if told:
            return "; ".join(f"{verdict.reason} ({verdict.rule})" for verdict in told)
        return "no rule denies it" if self.allowed else "no rule allows it, and what nobody allows is denied"

    @property
    def hint(self) -> str | None:
        """The way out of the first denial that has one."""
        return next((verdict.hint for verdict in denials(self.verdicts) if verdict.hint), None)


def judge(label: Label, place: Place, tenant: Party, *purposes: Purpose) -> Judgement:
    """All verdicts about one label at one place, with what was asked."""
    return Judgement(purposes, label, place, tenant, verdicts(label, place, tenant))
