"""Tenants, their spend limits and quotas."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StrictBool

from sublet.api.bodies import Body, InPath, Label, Micro, Name
from sublet.api.call import Calling, Posting, only
from sublet.api.pages import After, Limit, Page, page, place_of
from sublet.api.sites import Country, Forced
from sublet.app import tenants
from sublet.app.keys import Scope
from sublet.app.tenants import TenantState
from sublet.core.errors import NotFound
from sublet.core.ids import PoolId, TenantId
from sublet.core.ledger import headroom
from sublet.core.residency import Sensitivity
from sublet.core.residency.words import written
from sublet.core.token_terms import TokenTerms
from sublet.store import token_terms
from sublet.store.database import Tx
from sublet.store.tenants import QuotaRow

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])
_OWNER = [only()]


class QuotaView(BaseModel):
    """GPUs of a pool that a tenant may hold."""

    pool: str
    nominal: int
    borrowing_limit: int | None


class TenantView(BaseModel):
    """A tenant as it stands. Money in micro-units."""

    id: str
    name: str
    currency: str
    created_us: int
    suspended: bool
    country: str | None = Field(description="where it, or the parent that controls it, has its seat; null: not known")
    balance_micro: int = Field(description="what it owes now")
    held_micro: int = Field(description="reserved for what runs")
    limit_micro: int | None = Field(description="balance and reserved never pass it; null: no limit")
    headroom_micro: int | None = Field(description="what may still be spent or reserved")
    quotas: list[QuotaView]

    @classmethod
    def of(cls, state: TenantState) -> "TenantView":
        """As the API shows it."""
        tenant, account = state.tenant, state.account
        return cls(
            id=tenant.id,
            name=tenant.name,
            currency=tenant.currency,
            created_us=tenant.created_us,
            suspended=tenant.suspended,
            country=tenant.country,
            balance_micro=account.balance_micro,
            held_micro=account.held_micro,
            limit_micro=account.limit_micro,
            headroom_micro=headroom(account),
            quotas=[QuotaView(pool=q.pool, nominal=q.nominal, borrowing_limit=q.borrowing_limit) for q in state.quotas],
        )


class NewTenant(Body):
    """A tenant to be."""

    id: Name
    name: Label | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    limit_micro: Micro | None = Field(default=None, description="spend limit; null: none")
    country: Country | None = None


class CountryBody(Body):
    """Where a tenant has its seat."""

    country: Country | None


class LimitBody(Body):
    """A spend limit."""

    limit_micro: Micro | None


class QuotaBody(Body):
    """A quota in one pool."""

    nominal: Annotated[int, Field(ge=0, le=10_000_000)]
    borrowing_limit: Annotated[int, Field(ge=0, le=10_000_000)] | None = None


class TokenTermsBody(Body):
    """What a tenant may ask of models."""

    requests_per_min: int | None = Field(default=None, ge=1, le=1_000_000_000)
    tokens_per_min: int | None = Field(default=None, ge=1, le=1_000_000_000_000)
    residency: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="where its words and files may be: countries, blocs (EU) and sites; empty: anywhere",
    )
    sensitivity: Sensitivity = Sensitivity.PUBLIC
    fallbacks: dict[str, list[str]] = Field(
        default_factory=dict,
        max_length=100,
        description="for a model, those that answer when none of its replicas can: MODEL or MODEL@SITE, in this order",
    )

    @classmethod
    def of(cls, terms: TokenTerms) -> "TokenTermsBody":
        """As the API shows it."""
        fallbacks = {model: list(others) for model, others in terms.fallbacks.items()}
        return cls(
            requests_per_min=terms.requests_per_min,
            tokens_per_min=terms.tokens_per_min,
            residency=list(terms.residency),
            sensitivity=terms.sensitivity,
            fallbacks=fallbacks,
        )


class SuspendedBody(Body):
    """Whether nothing new is granted."""

    suspended: StrictBool


@router.post("", status_code=201, response_model=TenantView, dependencies=_OWNER)
def add(body: NewTenant, call: Posting) -> Response:
    """Make a tenant; `sublet key add --tenant` then makes its key."""
    tenant = TenantId(body.id)

    def effect(tx: Tx) -> TenantView:
        made = tenants.add(
            tx,
            tenant=tenant,
            name=body.name or body.id,
            currency=body.currency,
            limit_micro=body.limit_micro,
            country=body.country,
            now_us=call.now_us,
        )
        return TenantView.of(made)

    return call.once(effect, status=201)


@router.get("", dependencies=[only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)])
def everybody(call: Calling, limit: Limit = 100, after: After = None) -> Page[TenantView]:
    """Tenants by id; a tenant's key sees itself."""
    place = place_of(after)
    with call.read() as tx:
        found = tenants.page(tx, only=call.caller.sees, after=TenantId(place) if place else None, limit=limit)
    return page(found, limit, view=TenantView.of, place=lambda state: state.tenant.id)


@router.get("/{tenant}", dependencies=[only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)])
def show(tenant: InPath, call: Calling) -> TenantView:
    """One tenant with its account."""
    if call.caller.sees not in {None, tenant}:
        raise NotFound(f"there is no tenant {tenant}", field="tenant")
    with call.read() as tx:
        return TenantView.of(tenants.state(tx, TenantId(tenant)))


@router.put("/{tenant}/limit", dependencies=_OWNER)
def limit(tenant: InPath, body: LimitBody, call: Calling) -> TenantView:
    """Set the spend limit. Waiting leases that it now covers go on by themselves."""
    with call.write() as tx:
        return TenantView.of(tenants.set_limit(tx, TenantId(tenant), body.limit_micro, now_us=call.now_us))


@router.put("/{tenant}/country", dependencies=_OWNER)
def country(tenant: InPath, body: CountryBody, call: Calling, *, force: Forced = False) -> TenantView:
    """State where it, or the parent that controls it, has its seat. Where running leases may not go on, it has to be forced."""
    with call.write() as tx:
        return TenantView.of(tenants.set_country(tx, TenantId(tenant), body.country, force=force, now_us=call.now_us))


@router.get("/{tenant}/tokens", dependencies=[only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)])
def token_terms_of(tenant: InPath, call: Calling) -> TokenTermsBody:
    """What a tenant may ask of models; null: what the settings grant to all."""
    if call.caller.sees not in {None, tenant}:
        raise NotFound(f"there is no tenant {tenant}", field="tenant")
    with call.read() as tx:
        tenants.state(tx, TenantId(tenant))
        return TokenTermsBody.of(token_terms.get(tx, TenantId(tenant)))


@router.put("/{tenant}/tokens", dependencies=_OWNER)
def set_token_terms(tenant: InPath, body: TokenTermsBody, call: Calling) -> TokenTermsBody:
    """Set what a tenant may ask of models; gateways know it within a second."""
    terms = TokenTerms(
        TenantId(tenant),
        body.requests_per_min,
        body.tokens_per_min,
        tuple(written(word) for word in body.residency),
        body.sensitivity,
        {model: tuple(others) for model, others in body.fallbacks.items()},
    )
    with call.write() as tx:
        tenants.set_token_terms(tx, terms)
    return TokenTermsBody.of(terms)


@router.put("/{tenant}/quotas/{pool}", dependencies=_OWNER)
def quota(tenant: InPath, pool: InPath, body: QuotaBody, call: Calling) -> TenantView:
    """Set the quota in a pool."""
    wanted = QuotaRow(TenantId(tenant), PoolId(pool), body.nominal, body.borrowing_limit)
    with call.write() as tx:
        return TenantView.of(tenants.set_quota(tx, wanted, now_us=call.now_us))


@router.put("/{tenant}/suspended", dependencies=_OWNER)
def suspend(tenant: InPath, body: SuspendedBody, call: Calling) -> TenantView:
    """Grant nothing new, or go on. What runs is left alone."""
    with call.write() as tx:
        return TenantView.of(tenants.set_suspended(tx, TenantId(tenant), suspended=body.suspended, now_us=call.now_us))
