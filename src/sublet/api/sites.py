"""Sites: where they are and whose, and what the owner's power and storage bear."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sublet.api.bodies import NAME_PATTERN, Body, InPath, Label
from sublet.api.call import Calling, only
from sublet.app import sites
from sublet.core.site import Site
from sublet.store import sites as store

router = APIRouter(prefix="/v1/sites", tags=["sites"], dependencies=[only()])
Bound = Annotated[int, Field(ge=1, le=10_000_000)]
Country = Annotated[str, Field(min_length=1, max_length=64, description="ISO 3166 code or English name; null: unknown")]
Words = Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=64)]
Keeper = Annotated[str, Field(pattern=NAME_PATTERN)]
Forced = Annotated[bool, Query(description="give notice to running leases whose data may no longer be there")]


class SiteChange(Body):
    """Settings to make or change; what is left away stays as it is, null means no bound."""

    ramp_kw_per_min: Bound | None = Field(default=None, description="load that may fall away within any minute")
    save_gb_s: Bound | None = Field(default=None, description="that all checkpoints together may be written with")
    state_gb: Annotated[int, Field(ge=0, le=100_000, description="to be saved for one GPU")] = 80
    country: Country | None = None
    operator: Label | None = Field(default=None, description="who runs it")
    operator_country: Country | None = Field(default=None, description="the operator's seat, or that of its parent")
    regimes: Words | None = Field(default=None, description="laws and contracts that it is under")
    certifications: Words | None = Field(default=None, description="what an auditor has confirmed")
    safeguards: Words | None = Field(default=None, description="clauses that the operator signs")
    checkpoints_at: Keeper | None = Field(default=None, description="the site that keeps its checkpoints; null: itself")
    logs_at: Keeper | None = Field(default=None, description="the site that keeps what is printed; null: itself")

    @field_validator("regimes", "certifications", "safeguards", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    def given(self) -> Mapping[str, Any]:
        """What was named."""
        return self.model_dump(exclude_unset=True)


class SiteView(BaseModel):
    """A site with settings. Null: no bound, or not known."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    ramp_kw_per_min: int | None
    save_gb_s: int | None
    state_gb: int
    country: str | None
    operator: str | None
    operator_country: str | None
    regimes: tuple[str, ...]
    certifications: tuple[str, ...]
    safeguards: tuple[str, ...]
    checkpoints_at: str | None
    logs_at: str | None

    @classmethod
    def of(cls, site: Site) -> "SiteView":
        """As the API shows it."""
        return cls.model_validate(site)


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
def put(site: InPath, body: SiteChange, call: Calling, *, force: Forced = False) -> SiteView:
    """Say where a site is, whose, and what it bears. It holds for the reclaims and grants of the next round on.

    Facts are written to the audit log. Where running leases may no longer be there, it has to be forced.
    """
    with call.write() as tx:
        return SiteView.of(sites.put(tx, site, body.given(), force=force, now_us=call.now_us))
