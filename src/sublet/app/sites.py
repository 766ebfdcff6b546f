"""Sites: what power and storage bear where pools stand."""

from collections.abc import Mapping
from dataclasses import replace

from sublet.core.errors import NotFound
from sublet.core.site import Site
from sublet.store import events
from sublet.store import sites as store
from sublet.store.database import Tx
from sublet.store.events import Entry


def put(tx: Tx, site: str, change: Mapping[str, int | None], *, now_us: int) -> Site:
    """Set some settings of a site; what is not named stays as it is. `change` has the names of `core.site.Site`."""
    try:
        before = store.get(tx, site)
    except NotFound:
        before = Site(site)
    after = replace(before, **change)  # type: ignore[arg-type]  # the names and kinds were checked at the edge
    store.put(tx, after)
    events.append(tx, [Entry(now_us, "site.changed", f"site {site} changed: {', '.join(sorted(change))}", data=dict(change))])
    return after
