"""How sensitive the data is: the more harm, the more has to be known and confirmed of the place."""

from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.lists.terms import SECURITY
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Sensitivity, Source, allow, deny
from sublet.core.residency.words import countries_of, country_name


def sensitivity(label: Label, place: Place, tenant: Party) -> Finding | None:
    """Internal: who runs the place is known. Confidential: its security is certified. Restricted: its operator is from home."""
    asked = label.sensitivity
    if asked is Sensitivity.PUBLIC:
        return None
    if place.country not in COUNTRIES or place.operator is None or place.operator_country not in COUNTRIES:
        hint = "the owner states it: `sublet site set NAME operator=ACME operator_country=DE`"
        return deny(f"{asked} data needs a place whose country, operator and operator's seat are known", hint)
    if asked.reaches(Sensitivity.CONFIDENTIAL) and not SECURITY & set(place.certifications):
        hint = f"one of {', '.join(sorted(SECURITY))}"
        return deny(f"{asked} data needs a place whose information security is certified, and {place.name} states none", hint)
    if asked is Sensitivity.RESTRICTED:
        return _restricted(label, place, tenant)
    return allow(f"{place.name} is known well enough for {asked} data")


def _restricted(label: Label, place: Place, tenant: Party) -> Finding:
    if not label.residency:
        return deny("restricted data must say where it may be", "name countries, blocs or sites in lease.residency")
    home = frozenset[str]().union(*(countries_of(item) or () for item in label.residency))
    if place.operator_country in home or (tenant.country is not None and place.operator_country == tenant.country):
        return allow(f"the operator's seat, {country_name(place.operator_country)}, is where the data may be")
    return deny(
        f"restricted data needs an operator from where it may be; {place.operator} has its seat in "
        f"{country_name(place.operator_country)}",
        "choose another place, or allow that country in lease.residency",
    )


RULE = Rule(
    "Internal data needs a known operator, confidential data certified security, restricted data an operator from home.",
    Source("ISO/IEC 27001:2022, Annex A 5.12, 5.14 and 5.19 to 5.23, as Sublet reads them", "docs/residency.md", "2022-10-25"),
    sensitivity,
)
