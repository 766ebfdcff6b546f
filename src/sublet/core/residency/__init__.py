"""Residency: whether data may be at a place at all. One rule a file; what is unknown is denied, and a denial wins."""

from sublet.core.residency.rules import RULES
from sublet.core.residency.values import Label, Party, Place, Purpose, Rule, Sensitivity, Source, Verdict
from sublet.core.residency.verdicts import Judgement, allows, denials, judge, verdicts

__all__ = [
    "RULES",
    "Judgement",
    "Label",
    "Party",
    "Place",
    "Purpose",
    "Rule",
    "Sensitivity",
    "Source",
    "Verdict",
    "allows",
    "denials",
    "judge",
    "verdicts",
]
