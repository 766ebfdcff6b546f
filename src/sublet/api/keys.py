"""API keys: made by the owner, shown once, revoked for good."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from sublet.api.bodies import Body, InPath, Label, Name
from sublet.api.call import Calling, Posting, only
from sublet.api.pages import After, Limit, Page, page, place_of
from sublet.app import keys
from sublet.app.keys import Minted, Scope
from sublet.core.ids import TenantId
from sublet.store import keys as store
from sublet.store.database import Tx
from sublet.store.keys import KeyRow

router = APIRouter(prefix="/v1/keys", tags=["keys"], dependencies=[only()])


class KeyView(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    scope: Scope
    tenant: str | None
    created_us: int
    revoked_us: int | None

    @classmethod
    def of(cls, row: KeyRow) -> "KeyView":
        """As the API shows it."""
        return cls(
            id=row.id,
            name=row.name,
            scope=Scope(row.scope),
            tenant=row.tenant,
            created_us=row.created_us,
            revoked_us=row.revoked_us,
        )


class NewKeyView(KeyView):
    """A key that was just made."""

    secret: str | None = Field(description="shown this once; a repeated request shows null")

    @classmethod
    def made(cls, minted: Minted) -> "NewKeyView":
        """With its secret."""
        return cls(**KeyView.of(minted.row).model_dump(), secret=minted.secret)


class NewKey(Body):
    """A key to be."""

    scope: Literal["owner", "tenant", "finance", "read-only"]
    tenant: Name | None = None
    name: Label = "key"


@router.post("", status_code=201, response_model=NewKeyView)
def add(body: NewKey, call: Posting) -> Response:
    """Make a key. Its secret is in this answer and nowhere else."""

    def effect(tx: Tx) -> NewKeyView:
        tenant = TenantId(body.tenant) if body.tenant else None
        return NewKeyView.made(keys.add(tx, scope=Scope(body.scope), name=body.name, tenant=tenant, now_us=call.now_us))

    return call.once(effect, status=201, kept=lambda made: made.model_copy(update={"secret": None}))


@router.get("")
def everything(call: Calling, limit: Limit = 100, after: After = None) -> Page[KeyView]:
    """All keys, revoked ones too."""
    with call.read() as tx:
        found = store.page(tx, after=place_of(after), limit=limit)
    return page(found, limit, view=KeyView.of, place=lambda row: row.id)


@router.delete("/{key}")
def revoke(key: InPath, call: Calling) -> KeyView:
    """Close the door to a key, from the next request on."""
    with call.write() as tx:
        return KeyView.of(keys.revoke(tx, key, now_us=call.now_us))
