"""Where personal data may go because its home has found the protection there adequate: one list a law, with its day."""

from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.residency.lists.blocs import EEA
from sublet.core.residency.lists.codes import codes
from sublet.core.residency.values import Source


@dataclass(frozen=True, slots=True)
class Adequacy:
    """What one data protection law counts as home, as adequate, and as adequate under a condition."""

    law: str
    home: frozenset[str]
    adequate: frozenset[str]
    conditional: Mapping[str, str]  # country: what a place there has to state, a certification or a regime
    safeguards: tuple[str, ...]  # clauses that stand in for a decision, agreed by both sides
    source: Source


_FROM_THE_DIRECTIVE = codes("AD AR CH FO GG IL IM JE NZ UY")
"""Found adequate under Directive 95/46/EC and confirmed by the report of 2024-01-15; Canada, in part, is apart."""

GDPR = Adequacy(
    law="GDPR",
    home=EEA,
    adequate=_FROM_THE_DIRECTIVE | {"BR", "GB", "JP", "KR"},
    conditional={"US": "eu-us-dpf", "CA": "pipeda"},
    safeguards=("scc", "bcr"),
    source=Source(
        "GDPR, Art. 44 to 47; adequacy decisions up to Brazil (2026-01-26), United Kingdom renewed to 2031-12-27",
        "https://commission.europa.eu/law/law-topic/data-protection/international-dimension-data-protection/adequacy-decisions_en",
        "2026-01-26",
    ),
)
UK_GDPR = Adequacy(
    law="UK GDPR",
    home=frozenset({"GB"}),
    adequate=EEA | _FROM_THE_DIRECTIVE | {"GI", "JP", "KR"},
    conditional={"US": "uk-us-bridge", "CA": "pipeda"},
    safeguards=("uk-idta", "uk-addendum", "bcr"),
    source=Source(
        "UK GDPR, Art. 44A to 47; DPA 2018, Sch. 21; data bridge of 2023-10-12",
        "https://ico.org.uk/for-organisations/uk-gdpr-guidance-and-resources/international-transfers/",
        "2026-01-15",
    ),
)
SWISS_FADP = Adequacy(
    law="Swiss FADP",
    home=frozenset({"CH"}),
    adequate=EEA | (_FROM_THE_DIRECTIVE - {"CH"}) | {"GB", "GI", "MC"},
    conditional={"US": "swiss-us-dpf", "CA": "pipeda"},
    safeguards=("scc", "bcr"),
    source=Source(
        "FADP, Art. 16; DPO, Annex 1, with the United States since 2024-09-15",
        "https://www.bj.admin.ch/bj/en/home/staat/datenschutz/internationales/anerkennung-staaten.html",
        "2024-09-15",
    ),
)
