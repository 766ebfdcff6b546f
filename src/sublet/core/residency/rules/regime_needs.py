"""Regimes that ask for a certificate, an agreement, a country or an operator from it: one row each."""

from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.residency.lists.blocs import EEA
from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.lists.regimes import REGIMES
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Source, allow, deny
from sublet.core.residency.words import country_name


@dataclass(frozen=True, slots=True)
class Need:
    """What a place has to have. Each field that is given is asked for; `or_agreed` stands in for the countries."""

    certified: tuple[str, ...] = ()  # one of them
    agreed: tuple[str, ...] = ()  # one of them, stated by both sides
    countries: frozenset[str] = frozenset()
    operator_from: frozenset[str] = frozenset()
    or_agreed: tuple[str, ...] = ()


_US, _CN = frozenset({"US"}), frozenset({"CN"})
NEEDS: Mapping[str, Need] = {
    "secnumcloud": Need(certified=("secnumcloud",), countries=EEA, operator_from=EEA),
    "hipaa": Need(agreed=("hipaa-baa",)),
    "hds": Need(certified=("hds",), countries=EEA),
    "fedramp-high": Need(certified=("fedramp-high",), countries=_US),
    "itar": Need(countries=_US, operator_from=_US),
    "pci-dss": Need(certified=("pci-dss",)),
    "c5": Need(certified=("c5-type2",)),
    "pipl": Need(countries=_CN, or_agreed=("cn-scc",)),
    "lgpd": Need(countries=EEA | {"BR"}, or_agreed=("br-scc", "bcr")),
}


def regime_needs(label: Label, place: Place, _tenant: Party) -> Finding | None:
    """Deny a place that lacks what one of the stated regimes asks for."""
    asked = [name for name in label.regimes if name in NEEDS]
    if not asked:
        return None
    for name in asked:
        missing = _missing(NEEDS[name], label, place)
        if missing is not None:
            return deny(f"{REGIMES[name].title} ({name}, {REGIMES[name].source}): {missing}")
    return allow(f"{place.name} has what {', '.join(asked)} asks for")


def _missing(need: Need, label: Label, place: Place) -> str | None:
    if place.country not in COUNTRIES:
        return f"the country of {place.name} is unknown"
    if need.certified and not set(need.certified) & set(place.certifications):
        return f"{place.name} does not state the certification {' or '.join(need.certified)}"
    if need.agreed and not _agreed(need.agreed, label, place):
        return f"task and site do not both state {' or '.join(need.agreed)}"
    if need.countries and place.country not in need.countries and not _agreed(need.or_agreed, label, place):
        stands_in = f", and {' or '.join(need.or_agreed)} is not stated by both sides" if need.or_agreed else ""
        return f"it may not be in {country_name(place.country)}{stands_in}"
    if need.operator_from and place.operator_country not in need.operator_from:
        return f"the seat of its operator is {country_name(place.operator_country)}"
    return None


def _agreed(wanted: tuple[str, ...], label: Label, place: Place) -> bool:
    return any(one in label.safeguards and one in place.safeguards for one in wanted)


RULE = Rule(
    "Some regimes ask for a certificate, an agreement of both sides, a country, or an operator from it.",
    Source("the source of each regime", "docs/residency.md", "2026-11-26"),
    regime_needs,
)
