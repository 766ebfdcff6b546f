"""All rules asked about one label at one place. A denial wins over every allowance, and what nobody allows is denied."""

from collections.abc import Iterable

from sublet.core.residency.rules import RULES
from sublet.core.residency.values import Label, Party, Place, Verdict


def verdicts(label: Label, place: Place, tenant: Party) -> tuple[Verdict, ...]:
    """What each rule that has something to say finds, in the order of the registry; where nothing is stated, perhaps nothing."""
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
