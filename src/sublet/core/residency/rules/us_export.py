"""US export control: accelerators are US items wherever they stand, and companies of some countries need a licence for them."""

from sublet.core.residency.lists.accelerators import EMBARGOED, LICENSED_SEATS, SOURCE, controlled
from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.values import Finding, Label, Party, Place, Rule, allow, deny
from sublet.core.residency.words import country_name, names_sites_only


def us_export(label: Label, place: Place, tenant: Party) -> Finding | None:
    """Asked where the tenant's seat is known, where the site states `us-ear`, and of every workload that states anything.

    The seat is that of the tenant or of the parent that controls it. An unknown model counts as controlled.
    """
    stated = not label.silent and not names_sites_only(label)
    if tenant.country is None and not stated and "us-ear" not in place.regimes:
        return None
    if tenant.country not in COUNTRIES:
        return deny(
            f"where {tenant.name} has its seat is unknown, and these accelerators may be US items",
            f"the owner states it: `sublet tenant country {tenant.name} DE`",
        )
    if "us-licence" in label.safeguards and "us-licence" in place.safeguards:
        return allow("both sides state a licence of the US Bureau of Industry and Security")
    return _without_licence(place.accelerator, tenant, country_name(tenant.country))


def _without_licence(model: str | None, tenant: Party, seat: str) -> Finding:
    if tenant.country in EMBARGOED:
        return deny(f"{tenant.name} has its seat in {seat}, which is under a US embargo")
    if tenant.country not in LICENSED_SEATS:
        return allow(f"companies of {seat} need no US licence for accelerators")
    number = controlled(model)
    if number is None:
        return allow(f"{model} is below the thresholds of ECCN 3A090")
    what = f"{model or 'an accelerator that is not stated'} ({number})"
    return deny(
        f"{tenant.name} has its seat in {seat}, whose companies need a US licence for {what}", "both sides state us-licence"
    )


RULE = Rule(
    "Companies with their seat in Country Group D:5, Macau or Hong Kong get no accelerator of ECCN 3A090 without a US licence.",
    SOURCE,
    us_export,
)
