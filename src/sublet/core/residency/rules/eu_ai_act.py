"""The EU AI Act: what it forbids is nowhere, and what it covers is where its duties can be kept."""

from sublet.core.residency.lists.blocs import EEA
from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.lists.terms import KINDS
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Source, allow, deny
from sublet.core.residency.words import country_name

SPECIAL = frozenset({"special-category", "biometric", "health"})
"""Art. 10(5): for the correction of bias these may be used, and no other party may get at them."""


def eu_ai_act(label: Label, place: Place, _tenant: Party) -> Finding | None:
    """Inside the EEA its authorities reach the logs; outside, the operator has to state that it keeps them under the act."""
    if "eu-ai-act" not in label.regimes:
        return None
    forbidden = [one for one in label.data if one in KINDS and KINDS[one].forbidden]
    if forbidden:
        return deny(f"AI Act, Art. 5: {KINDS[forbidden[0]].title} is forbidden everywhere", "nothing makes it lawful")
    if place.country not in COUNTRIES:
        return deny("AI Act: the place's country is unknown", "the owner states it: `sublet site set NAME country=DE`")
    special = ", ".join(sorted(SPECIAL & set(label.data)))
    if special and not (place.country in EEA and place.operator_country in EEA):
        hint = "choose a place in the EEA whose operator has its seat there"
        return deny(f"AI Act, Art. 10(5): {special} data may not reach others, and {place.name} is not wholly in the EEA", hint)
    return _logs_kept(place)


def _logs_kept(place: Place) -> Finding:
    where = country_name(place.country)
    if place.country in EEA:
        return allow(f"AI Act: its authorities reach {where}")
    if "eu-ai-act" in place.regimes:
        return allow(f"AI Act: {place.name} states that it keeps logs and gives access under it")
    hint = "the owner states eu-ai-act for the site"
    return deny(f"AI Act: nobody has stated that {place.name}, in {where}, keeps logs under it", hint)


RULE = Rule(
    "What the AI Act forbids runs nowhere; what it covers runs in the EEA, or where the operator keeps its logs under the act.",
    Source(
        "Regulation (EU) 2024/1689, Art. 2, 5, 10(5), 19 and 74, as Sublet reads them",
        "https://eur-lex.europa.eu/eli/reg/2024/1689/oj",
        "2025-08-02",
    ),
    eu_ai_act,
)
