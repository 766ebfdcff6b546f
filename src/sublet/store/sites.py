"""Sites: the owner's settings as JSON."""

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select, update

from sublet.core.errors import NotFound
from sublet.core.site import Site
from sublet.store.schema import sites

_SITE = TypeAdapter(Site)
_EVERYTHING = select(sites.c.settings).order_by(sites.c.id)  # made once: each request asks it


def put(tx: Connection, site: Site) -> None:
    """Add a site or change its settings."""
    settings = _SITE.dump_json(site).decode()
    if tx.execute(update(sites).where(sites.c.id == site.id).values(settings=settings)).rowcount == 0:
        tx.execute(insert(sites).values(id=site.id, settings=settings))


def get(tx: Connection, site: str) -> Site:
    """One site."""
    settings = tx.execute(select(sites.c.settings).where(sites.c.id == site)).scalar_one_or_none()
    if settings is None:
        known = ", ".join(tx.execute(select(sites.c.id).order_by(sites.c.id)).scalars()) or "none yet"
        raise NotFound(f"site {site!r} has no settings", field="site", hint=f"sites with settings: {known}")
    return _SITE.validate_json(settings)


def everything(tx: Connection) -> list[Site]:
    """All sites with settings, by name."""
    return [_SITE.validate_json(settings) for settings in tx.execute(_EVERYTHING).scalars()]
