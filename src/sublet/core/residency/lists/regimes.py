"""Regimes: the laws and contracts that data may be under, and that a place may state to be under.

A workload's regime is judged by one rule at least, or it is denied everywhere: `judged_by` names the rule, and a test holds it
to that. A regime that only places state (a reach of a law, a contract) is judged by nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.residency.lists.blocs import EEA
from sublet.core.residency.values import Sensitivity, Source


@dataclass(frozen=True, slots=True)
class Regime:
    """A law or contract. `no_reach_from`: data this sensitive may not be where another country's law reaches its operator."""

    title: str
    source: Source
    judged_by: tuple[str, ...] = ()
    home: frozenset[str] = frozenset()  # its countries: the reach of their own law is no foreign one
    no_reach_from: Sensitivity | None = None
    reach_of: str | None = None  # a place that states it is reached by the law of this country


def _eu(number: str, article: str, as_of: str) -> Source:
    return Source(f"Regulation (EU) {number}, {article}", f"https://eur-lex.europa.eu/eli/reg/{number}/oj", as_of)


REGIMES: Mapping[str, Regime] = {
    "gdpr": Regime(
        "General Data Protection Regulation",
        _eu("2016/679", "Art. 44 to 49", "2026-01-26"),
        ("gdpr-transfer", "operator-reach"),
        EEA,
        Sensitivity.RESTRICTED,
    ),
    "uk-gdpr": Regime(
        "UK General Data Protection Regulation",
        Source(
            "Data Protection Act 2018; Data (Use and Access) Act 2025",
            "https://www.legislation.gov.uk/ukpga/2018/12",
            "2026-01-15",
        ),
        ("uk-transfer", "operator-reach"),
        frozenset({"GB"}),
        Sensitivity.RESTRICTED,
    ),
    "swiss-fadp": Regime(
        "Swiss Federal Act on Data Protection",
        Source("SR 235.1, Art. 16", "https://www.fedlex.admin.ch/eli/cc/2022/491/en", "2024-09-15"),
        ("swiss-transfer", "operator-reach"),
        frozenset({"CH"}),
        Sensitivity.RESTRICTED,
    ),
    "eu-ai-act": Regime(
        "EU Artificial Intelligence Act", _eu("2024/1689", "Art. 2, 5, 10 and 19", "2025-08-02"), ("eu-ai-act",), EEA
    ),
    "secnumcloud": Regime(
        "SecNumCloud, protection against law from outside the Union",
        Source("ANSSI, SecNumCloud 3.2, requirement 19.6", "https://cyber.gouv.fr/secnumcloud", "2022-03-08"),
        ("regime-needs", "operator-reach"),
        EEA,
        Sensitivity.CONFIDENTIAL,
    ),
    "sovereign": Regime(
        "No law but that of the tenant's own country reaches the data",
        Source("the tenant's own statement", "", "2026-11-01"),
        ("operator-reach",),
        frozenset(),
        Sensitivity.PUBLIC,
    ),
    "eu-sovereign": Regime(
        "No law from outside the European Economic Area reaches the data",
        Source("the tenant's own statement", "", "2026-11-01"),
        ("operator-reach",),
        EEA,
        Sensitivity.PUBLIC,
    ),
    "hipaa": Regime(
        "US health data",
        Source("45 CFR 164.308(b) and 164.504(e)", "https://www.ecfr.gov/current/title-45/section-164.504", "2013-09-23"),
        ("regime-needs",),
    ),
    "hds": Regime(
        "French health data",
        Source("Code de la santé publique, L. 1111-8; HDS 2.0", "https://esante.gouv.fr/produits-services/hds", "2024-05-16"),
        ("regime-needs",),
    ),
    "fedramp-high": Regime(
        "US federal data of high impact",
        Source("FedRAMP, high baseline", "https://www.fedramp.gov/", "2024-07-25"),
        ("regime-needs",),
    ),
    "itar": Regime(
        "US technical data on defence articles",
        Source("22 CFR 120 to 130", "https://www.ecfr.gov/current/title-22/chapter-I/subchapter-M", "2025-07-07"),
        ("regime-needs",),
    ),
    "pci-dss": Regime(
        "Card data",
        Source("PCI DSS 4.0.1", "https://www.pcisecuritystandards.org/", "2024-06-11"),
        ("regime-needs",),
    ),
    "c5": Regime(
        "German public bodies' cloud criteria",
        Source("BSI C5:2020", "https://www.bsi.bund.de/C5", "2020-01-21"),
        ("regime-needs",),
    ),
    "pipl": Regime(
        "Chinese personal data",
        Source("PIPL, Art. 38 and 40", "http://en.npc.gov.cn.cdurl.cn/2021-12/29/c_694559.htm", "2024-03-22"),
        ("regime-needs",),
    ),
    "lgpd": Regime(
        "Brazilian General Data Protection Law",
        Source("Law 13.709/2018, Art. 33; Resolution CD/ANPD 32/2026", "https://www.gov.br/anpd/", "2026-01-26"),
        ("regime-needs",),
    ),
    "pipeda": Regime(
        "Canadian commercial personal data",
        Source("PIPEDA, S.C. 2000, c. 5", "https://laws-lois.justice.gc.ca/eng/acts/P-8.6/", "2025-03-04"),
    ),
    "us-cloud-act": Regime(
        "US process reaches the operator or a company of its group",
        Source("CLOUD Act, 18 U.S.C. 2713", "https://www.congress.gov/bill/115th-congress/house-bill/4943", "2018-03-23"),
        reach_of="US",
    ),
    "cn-intelligence-law": Regime(
        "Chinese law reaches the operator or a company of its group",
        Source("National Intelligence Law, Art. 7", "http://www.npc.gov.cn/", "2018-04-27"),
        reach_of="CN",
    ),
    "us-ear": Regime(
        "US Export Administration Regulations: the operator asks where each tenant has its seat",
        Source("15 CFR 730 to 774", "https://www.ecfr.gov/current/title-15/subtitle-B/chapter-VII/subchapter-C", "2026-05-31"),
    ),
}
"""By key. A new regime is one row, and a rule that judges it."""


def for_workloads() -> list[str]:
    """The regimes that a workload may state."""
    return [name for name, regime in REGIMES.items() if regime.judged_by]
