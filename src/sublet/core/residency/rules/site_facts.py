"""The facts of a place: without them nothing that a workload states can be judged."""

from collections.abc import Iterator

from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.lists.regimes import REGIMES
from sublet.core.residency.lists.terms import CERTIFICATIONS, SAFEGUARDS
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Source, allow, deny
from sublet.core.residency.words import names_sites_only


def site_facts(label: Label, place: Place, _tenant: Party) -> Finding | None:
    """Deny where a place has not stated its country, or states what is on no list. Who names sites only asks for no facts."""
    if label.silent or names_sites_only(label):
        return None
    if place.country is None:
        return deny(f"nobody has stated in which country {place.name} is", "the owner does: `sublet site set NAME country=DE`")
    strange = list(_strange(place))
    if strange:
        return deny(f"what {place.name} states is on no list: {', '.join(strange)}", "the owner corrects it: `sublet site set`")
    return allow(f"{place.name} has stated where it is")


def _strange(place: Place) -> Iterator[str]:
    countries = {"country": place.country, "operator's country": place.operator_country}
    yield from (f"{what} {code!r}" for what, code in countries.items() if code is not None and code not in COUNTRIES)
    yield from (f"regime {one!r}" for one in place.regimes if one not in REGIMES)
    yield from (f"certification {one!r}" for one in place.certifications if one not in CERTIFICATIONS)
    yield from (f"safeguard {one!r}" for one in place.safeguards if one not in SAFEGUARDS)


RULE = Rule(
    "A place without facts takes nothing that states a country, a sensitivity above public, a kind of data or a regime.",
    Source("Sublet: unknown means deny", "docs/residency.md", "2026-11-26"),
    site_facts,
)
