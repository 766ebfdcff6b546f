"""What places and tenants may state beside regimes: certifications, safeguards, and kinds of data."""

from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.residency.lists.blocs import EEA
from sublet.core.residency.lists.codes import codes
from sublet.core.residency.values import Source

CERTIFICATIONS: Mapping[str, str] = {
    "iso-27001": "ISO/IEC 27001, information security",
    "iso-27018": "ISO/IEC 27018, personal data in public clouds",
    "iso-27701": "ISO/IEC 27701, privacy",
    "iso-42001": "ISO/IEC 42001, AI management",
    "soc2-type2": "SOC 2, type 2",
    "c5-type2": "BSI C5, type 2",
    "secnumcloud": "ANSSI SecNumCloud 3.2",
    "hds": "French health data hosting, HDS 2.0",
    "ens-high": "Spanish Esquema Nacional de Seguridad, high",
    "fedramp-moderate": "FedRAMP, moderate",
    "fedramp-high": "FedRAMP, high",
    "irap-protected": "Australian IRAP, protected",
    "ismap": "Japanese ISMAP",
    "csa-star-2": "CSA STAR, level 2",
    "tisax": "TISAX",
    "pci-dss": "PCI DSS 4.0.1 service provider",
    "eu-us-dpf": "on the list of the EU-US Data Privacy Framework",
    "uk-us-bridge": "on that list with the UK extension",
    "swiss-us-dpf": "on the list of the Swiss-US Data Privacy Framework",
}
"""What an auditor or an authority has confirmed of a place or its operator."""

SECURITY = codes(
    "iso-27001 soc2-type2 c5-type2 secnumcloud ens-high fedramp-moderate fedramp-high irap-protected ismap csa-star-2 tisax"
)
"""Certifications that speak of information security as a whole."""

SAFEGUARDS: Mapping[str, str] = {
    "scc": "standard contractual clauses, Decision (EU) 2021/914",
    "bcr": "binding corporate rules, GDPR, Art. 47",
    "uk-idta": "UK International Data Transfer Agreement",
    "uk-addendum": "UK addendum to the standard contractual clauses",
    "cn-scc": "Chinese standard contract, filed with the CAC",
    "br-scc": "Brazilian standard contractual clauses, Resolution CD/ANPD 19/2024",
    "hipaa-baa": "business associate agreement",
    "us-licence": "a BIS licence that covers this tenant and these items",
}
"""Agreements that bind once both sides state them: the tenant in its task, the owner for the site."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of data. With a `source` it never leaves the countries in `stays`, None for the tenant's own."""

    title: str
    stays: frozenset[str] | None = frozenset()
    source: Source | None = None
    forbidden: bool = False  # by the EU AI Act, Art. 5

    @property
    def bound(self) -> bool:
        """Whether it never leaves home."""
        return self.source is not None


KINDS: Mapping[str, Kind] = {
    "code": Kind("program text"),
    "weights": Kind("a model's parameters"),
    "synthetic": Kind("made by a program, of nobody"),
    "telemetry": Kind("measurements of machines"),
    "financial": Kind("accounts and payments"),
    "personal": Kind("of persons who can be told"),
    "special-category": Kind("GDPR, Art. 9: health, belief, origin, union, sex life"),
    "biometric": Kind("identifies a person by the body"),
    "health": Kind("of a person's health"),
    "children": Kind("of minors"),
    "social-scoring": Kind("the scoring of persons by their social behaviour", forbidden=True),
    "face-scraping": Kind("a collection of faces scraped from the internet or from cameras", forbidden=True),
    "emotion-at-work": Kind("the reading of emotions at work or in schools", forbidden=True),
    "state-secret": Kind(
        "classified by the tenant's country",
        None,
        Source("the tenant's own law on classified information", "", "2026-11-01"),
    ),
    "home-only": Kind("that the tenant keeps in its own country", None, Source("the tenant's own statement", "", "2026-11-01")),
    "ru-personal": Kind(
        "personal data of Russian citizens",
        frozenset({"RU"}),
        Source("Federal Law 152-FZ, Art. 18(5), as amended by 23-FZ", "http://pravo.gov.ru/", "2025-07-01"),
    ),
    "in-payment": Kind(
        "payment system data of India",
        frozenset({"IN"}),
        Source("RBI/2017-18/153, Storage of Payment System Data", "https://www.rbi.org.in/", "2018-04-06"),
    ),
    "au-health-record": Kind(
        "My Health Record data",
        frozenset({"AU"}),
        Source("My Health Records Act 2012, s. 77", "https://www.legislation.gov.au/C2012A00063/latest", "2017-07-01"),
    ),
    "cn-important": Kind(
        "important data and core data of China, without a passed security assessment",
        frozenset({"CN"}),
        Source("Data Security Law, Art. 31; CAC provisions of 2024-03-22", "http://www.cac.gov.cn/", "2024-03-22"),
    ),
    "kz-personal": Kind(
        "personal data collected in Kazakhstan",
        frozenset({"KZ"}),
        Source("Law 94-V on Personal Data, Art. 12", "https://adilet.zan.kz/eng/docs/Z1300000094", "2016-01-01"),
    ),
    "fr-health": Kind(
        "French health data that is hosted for others",
        EEA,
        Source("HDS 2.0, requirement 28: storage in the EEA", "https://esante.gouv.fr/produits-services/hds", "2024-05-16"),
    ),
    "id-public": Kind(
        "strategic data of Indonesian public bodies",
        frozenset({"ID"}),
        Source("Government Regulation 71 of 2019, Art. 20", "https://jdih.komdigi.go.id/", "2019-10-10"),
    ),
}
"""By key. A new kind is one row."""
