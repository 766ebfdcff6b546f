"""Sites: what the owner's power and storage bear."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sublet.api.bodies import Body, InPath
from sublet.api.call import Calling, only
from sublet.app import sites
from sublet.core.site import Site
from sublet.store import sites as store

router = APIRouter(prefix="/v1/sites", tags=["sites"], dependencies=[only()])
Bound = Annotated[int, Field(ge=1, le=10_000_000)]


class SiteChange(Body):
    """Settings to make or change; what is left away stays as it is, null means no bound."""

    ramp_kw_per_min: Bound | None = Field(default=None, description="load that may fall away within any minute")
    save_gb_s: Bound | None = Field(default=None, description="that all checkpoints together may be written with")
    state_gb: Annotated[int, Field(ge=0, le=100_000, description="to be saved for one GPU")] = 80

    def given(self) -> dict[str, int | None]:
        """What was named."""
        return self.model_dump(exclude_unset=True)


class SiteView(BaseModel):
    """A site with settings. Null: no bound."""

    id: str
    ramp_kw_per_min: int | None
    save_gb_s: int | None
    state_gb: int

    @classmethod
    def of(cls, site: Site) -> "SiteView":
        """As the API shows it."""
        return cls(id=site.id, ramp_kw_per_min=site.ramp_kw_per_min, save_gb_s=site.save_gb_s, state_gb=site.state_gb)


class SiteList(BaseModel):
    """All sites with settings."""

    items: list[SiteView]


@router.get("")
def everything(call: Calling) -> SiteList:
    """All sites with settings."""
    with call.read() as tx:
        return SiteList(items=[SiteView.of(site) for site in store.everything(tx)])


@router.get("/{site}")
def show(site: InPath, call: Calling) -> SiteView:
    """One site."""
    with call.read() as tx:
        return SiteView.of(store.get(tx, site))


@router.put("/{site}")
def put(site: InPath, body: SiteChange, call: Calling) -> SiteView:
    """Say what a site bears. It holds for the reclaims and grants of the next round on."""
    with call.write() as tx:
        return SiteView.of(sites.put(tx, site, body.given(), now_us=call.now_us))
