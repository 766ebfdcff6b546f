"""Where the workload says that it may be: countries, blocs, or sites by name."""

from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Source, allow, deny
from sublet.core.residency.words import countries_of, country_name, site_of


def jurisdiction(label: Label, place: Place, _tenant: Party) -> Finding | None:
    """Allow a place that is named, or whose country is among those named; deny every other."""
    if not label.residency:
        return None
    for item in label.residency:
        countries = countries_of(item)
        if countries is None and site_of(item) == place.name:
            return allow(f"{place.name} is named")
        if countries is not None and place.country in countries:
            return allow(f"{place.name} is in {country_name(place.country)}, which is in {item}")
    wanted = " or ".join(label.residency)
    return deny(
        f"{place.name} is in {country_name(place.country)}; the workload may be in {wanted} only",
        "choose a place there, or allow this one in lease.residency",
    )


RULE = Rule(
    "A workload that names countries, blocs or sites may be there and nowhere else.",
    Source("the workload's own statement", "docs/residency.md", "2026-11-26"),
    jurisdiction,
)
