"""Personal data under the UK GDPR: whether being there is a transfer, and whether that is lawful."""

from sublet.core.residency.lists.adequacy import UK_GDPR
from sublet.core.residency.rules.transfer import transferred
from sublet.core.residency.values import Finding, Label, Party, Place, Rule


def uk_transfer(label: Label, place: Place, _tenant: Party) -> Finding | None:
    """Judge what states `uk-gdpr`."""
    return transferred(UK_GDPR, label, place) if "uk-gdpr" in label.regimes else None


RULE = Rule(
    "Personal data under the UK GDPR stays in the United Kingdom, or goes where it is adequate or safeguards are agreed.",
    UK_GDPR.source,
    uk_transfer,
)
