"""Personal data under the GDPR: whether being there is a transfer, and whether that is lawful."""

from sublet.core.residency.lists.adequacy import GDPR
from sublet.core.residency.rules.transfer import transferred
from sublet.core.residency.values import Finding, Label, Party, Place, Rule


def gdpr_transfer(label: Label, place: Place, _tenant: Party) -> Finding | None:
    """Judge what states `gdpr`."""
    return transferred(GDPR, label, place) if "gdpr" in label.regimes else None


RULE = Rule(
    "Personal data under the GDPR stays in the EEA, or goes where it is adequate or safeguards are agreed.",
    GDPR.source,
    gdpr_transfer,
)
