"""What tenants may ask of models."""

import json
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sublet.core.ids import TenantId
from sublet.core.residency import Sensitivity
from sublet.core.token_terms import TokenTerms
from sublet.store.rows import plain, row_of
from sublet.store.schema_tokens import token_terms


def put(tx: Connection, terms: TokenTerms) -> None:
    """Set a tenant's terms."""
    row = row_of(terms) | {"fallbacks": json.dumps(dict(terms.fallbacks)), "residency": json.dumps(terms.residency)}
    if tx.execute(update(token_terms).where(token_terms.c.tenant == terms.tenant).values(row)).rowcount == 0:
        tx.execute(insert(token_terms).values(row))


def get(tx: Connection, tenant: TenantId) -> TokenTerms:
    """A tenant's terms; those of all, where nothing was said."""
    row = tx.execute(select(token_terms).where(token_terms.c.tenant == tenant)).one_or_none()
    return TokenTerms(tenant) if row is None else _of(row)


def everything(tx: Connection) -> list[TokenTerms]:
    """The terms of all tenants with terms of their own."""
    return [_of(row) for row in tx.execute(select(token_terms).order_by(token_terms.c.tenant))]


def _of(row: Any) -> TokenTerms:
    values = plain(row)
    fallbacks = {model: tuple(others) for model, others in json.loads(values["fallbacks"]).items()}
    stated = {"residency": tuple(json.loads(values["residency"])), "sensitivity": Sensitivity(values["sensitivity"])}
    return TokenTerms(**values | stated | {"fallbacks": fallbacks})
