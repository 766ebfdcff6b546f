"""Personal data under the Swiss FADP: whether being there is a transfer, and whether that is lawful."""

from sublet.core.residency.lists.adequacy import SWISS_FADP
from sublet.core.residency.rules.transfer import transferred
from sublet.core.residency.values import Finding, Label, Party, Place, Rule


def swiss_transfer(label: Label, place: Place, _tenant: Party) -> Finding | None:
    """Judge what states `swiss-fadp`."""
    return transferred(SWISS_FADP, label, place) if "swiss-fadp" in label.regimes else None


RULE = Rule(
    "Personal data under the Swiss FADP stays in Switzerland, or goes where it is adequate or safeguards are agreed.",
    SWISS_FADP.source,
    swiss_transfer,
)
