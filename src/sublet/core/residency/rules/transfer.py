"""What the transfer rules of several data protection laws share: home, adequate, adequate on a condition, or safeguards."""

from sublet.core.residency.lists.adequacy import Adequacy
from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.values import Finding, Label, Place, allow, deny
from sublet.core.residency.words import country_name


def transferred(list_of: Adequacy, label: Label, place: Place) -> Finding:
    """Whether the law lets personal data be at a place. Safeguards count where the tenant and the operator both state them."""
    country, law = place.country, list_of.law
    if country is None or country not in COUNTRIES:
        return deny(f"{law}: the place's country is unknown", "the owner states it: `sublet site set NAME country=DE`")
    where = country_name(country)
    if country in list_of.home:
        return allow(f"{law}: {where} is at home, so nothing is transferred")
    if country in list_of.adequate:
        return allow(f"{law}: {where} is on the adequacy list of {list_of.source.as_of}")
    condition = list_of.conditional.get(country)
    if condition is not None and condition in {*place.certifications, *place.regimes}:
        return allow(f"{law}: {where} is adequate for operators that state {condition}, and {place.name} does")
    agreed = [one for one in list_of.safeguards if one in label.safeguards and one in place.safeguards]
    if agreed:
        return allow(f"{law}: {agreed[0]} is agreed for {where}")
    wants = f"the place states {condition}, or " if condition else ""
    return deny(
        f"{law}: {where} is not adequate by the list of {list_of.source.as_of}, and no safeguard is agreed by both sides",
        f"{wants}the task and the site both state one of {', '.join(list_of.safeguards)}",
    )
