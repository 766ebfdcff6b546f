"""Sites: where they are and whose, and what power and storage bear where pools stand."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sublet.app.upholding import uphold_at
from sublet.core.errors import Invalid, NotFound
from sublet.core.residency.lists.regimes import REGIMES
from sublet.core.residency.lists.terms import CERTIFICATIONS, SAFEGUARDS
from sublet.core.residency.words import checked_keys, country_of, nearest
from sublet.core.site import Site
from sublet.store import audit_log, events, pools
from sublet.store import sites as store
from sublet.store.database import Tx
from sublet.store.events import Entry

FACTS = "site.facts"
"""The kind of an entry of the audit log: what is stated of a site from then on."""
_LISTS = {
    "regimes": (tuple(REGIMES), "regime"),
    "certifications": (tuple(CERTIFICATIONS), "certification"),
    "safeguards": (tuple(SAFEGUARDS), "safeguard"),
}
_COUNTRIES = ("country", "operator_country")
_KEEPERS = ("checkpoints_at", "logs_at")
_FACTS = (*_COUNTRIES, "operator", *_LISTS, *_KEEPERS)


def put(tx: Tx, site: str, change: Mapping[str, Any], *, force: bool = False, now_us: int) -> Site:
    """Set some settings of a site; what is not named stays as it is. `change` has the names of `core.site.Site`.

    Raises `Invalid` for a fact that is on no list, and `Conflict` where running leases would have to end unforced.
    """
    try:
        before = store.get(tx, site)
    except NotFound:
        before = Site(site)
    known = {*(one.id for one in store.everything(tx)), *(row.pool.site for row in pools.everything(tx)), site}
    after = replace(before, **{name: _checked(name, value, known) for name, value in change.items()})
    store.put(tx, after)
    said = f"site {site} changed: {', '.join(sorted(change))}"
    events.append(tx, [Entry(now_us, "site.changed", said, data={name: getattr(after, name) for name in change})])
    stated = {name: value for name, value in asdict(after).items() if name in _FACTS}
    if stated != {name: value for name, value in asdict(before).items() if name in _FACTS}:
        uphold_at(tx, site, force=force, now_us=now_us)
        audit_log.append(tx, at_us=now_us, kind=FACTS, document={"site": site, **stated})
    return after


def _checked(name: str, value: Any, known: set[str]) -> Any:
    """A fact as it is kept."""
    if value is None:
        return () if name in _LISTS else None
    if name in _COUNTRIES:
        return _country(name, value)
    if name in _LISTS:
        keys, what = _LISTS[name]
        try:
            return checked_keys(value, keys, what=what)
        except ValueError as error:
            said, _, hint = str(error).partition(": ")
            raise Invalid(said, field=name, hint=hint) from None
    if name in _KEEPERS and value not in known:
        near = nearest(value, known)
        hint = f"did you mean {near}?" if near else f"sites: {', '.join(sorted(known))}"
        raise Invalid(f"there is no site {value!r}", field=name, hint=hint)
    return value


def _country(name: str, value: str) -> str:
    try:
        return country_of(value)
    except Invalid as error:
        raise Invalid(error.message, field=name, hint=error.hint) from None
