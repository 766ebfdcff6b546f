"""Foreign law that reaches the operator wherever the data lies, as the US CLOUD Act does."""

from collections.abc import Iterator

from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.lists.reach import REACHING
from sublet.core.residency.lists.regimes import REGIMES, Regime
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, Source, allow, deny
from sublet.core.residency.words import country_name


def operator_reach(label: Label, place: Place, tenant: Party) -> Finding | None:
    """Deny where a regime excludes foreign reach and the place, its operator or its group is under a law from elsewhere."""
    bound = [one for name in label.regimes if (one := REGIMES.get(name)) is not None and one.no_reach_from is not None]
    if not bound:
        return None
    strict = [one for one in bound if one.no_reach_from is not None and label.sensitivity.reaches(one.no_reach_from)]
    if not strict:
        return allow(f"{label.sensitivity} data is not sensitive enough for its regime to exclude foreign law")
    if place.country not in COUNTRIES or place.operator_country not in COUNTRIES:
        hint = "the owner states it: `sublet site set NAME country=DE operator_country=DE`"
        return deny("whose law reaches the data is unknown: the place's or its operator's country is not stated", hint)
    if tenant.country is None and any(not one.home for one in strict):
        return deny("the tenant's own country is unknown", "the owner states it: `sublet tenant country TENANT DE`")
    for regime in strict:
        foreign = next(_foreign(regime, place, tenant), None)
        if foreign is not None:
            return deny(foreign, "choose a place whose operator has its seat at home")
    return allow(f"no law but that of home reaches {place.name}")


def _foreign(regime: Regime, place: Place, tenant: Party) -> Iterator[str]:
    """What is not from home, in words."""
    home = regime.home or {tenant.country}
    reached = [one.reach_of for name in place.regimes if (one := REGIMES.get(name)) is not None and one.reach_of is not None]
    for country in (place.country, place.operator_country, *reached):
        if country is not None and country not in home:
            law = f" ({REACHING[country].title})" if country in REACHING else ""
            yield f"{regime.title}: the law of {country_name(country)} reaches {place.name}{law}"


RULE = Rule(
    "Data whose regime excludes foreign reach stays with operators from home, wherever the machines stand.",
    Source(
        "CLOUD Act, 18 U.S.C. 2713; GDPR, Art. 48; EDPB and EDPS on the CLOUD Act, 2019-07-10; SecNumCloud 3.2, 19.6",
        "https://www.edpb.europa.eu/our-work-tools/our-documents/letters/epdb-edps-joint-response-libe-committee-impact-us-cloud-act_en",
        "2022-03-08",
    ),
    operator_reach,
)
