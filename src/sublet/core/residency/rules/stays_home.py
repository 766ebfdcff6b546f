"""Kinds of data that never leave home, by law or because the tenant says so."""

from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.lists.terms import KINDS
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Source, allow, deny
from sublet.core.residency.words import country_name


def stays_home(label: Label, place: Place, tenant: Party) -> Finding | None:
    """Deny a place outside the home of any kind of data that is stated."""
    bound = [(name, KINDS[name]) for name in label.data if name in KINDS and KINDS[name].bound]
    if not bound:
        return None
    if place.country not in COUNTRIES:
        return deny("whether the place is at home is unknown", "the owner states it: `sublet site set NAME country=DE`")
    for name, kind in bound:
        if kind.stays is None and tenant.country not in COUNTRIES:
            hint = f"the owner states it: `sublet tenant country {tenant.name} DE`"
            return deny(f"{name} data stays in the tenant's country, which is unknown", hint)
        home = kind.stays or {tenant.country}
        if place.country not in home:
            named = ", ".join(country_name(code) for code in sorted(filter(None, home))[:3])
            more = " and others" if len(home) > 3 else ""
            return deny(
                f"{kind.title} stays in {named}{more} ({kind.source}); {place.name} is in {country_name(place.country)}"
            )
    return allow(f"{country_name(place.country)} is home for {', '.join(name for name, _ in bound)}")


RULE = Rule(
    "Kinds of data that law or tenant bind to a country are nowhere else.",
    Source("the source of each kind of data", "docs/residency.md", "2026-11-26"),
    stays_home,
)
