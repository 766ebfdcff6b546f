"""What was used of models, request by request."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from sublet.api.bodies import InPath
from sublet.api.call import Calling, only
from sublet.api.leases import ForTenant
from sublet.api.pages import After, Limit, Page, instant_and_name, page
from sublet.api.periods import Begin, ToUs
from sublet.app.keys import Scope
from sublet.core.ids import TenantId
from sublet.core.model_request import ModelRequest
from sublet.store import model_requests

router = APIRouter(prefix="/v1/usage", tags=["usage"])
_READERS = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]


class RequestView(BaseModel):
    """A request to a model that is over. Its words are not here: they are not kept."""

    id: str = Field(description="as in the answer and its header x-request-id")
    tenant: str
    key: str
    kind: str
    model: str
    tier: str
    at_us: int
    took_us: int
    first_us: int = Field(description="until the first token; 0: there was none")
    input_tokens: int
    cached_tokens: int = Field(description="those of the input that were found in a prefix cache")
    output_tokens: int
    amount_micro: int
    outcome: str = Field(description="done, disconnected (charged as far as it went) or broken (free)")
    counted: str = Field(description="who counted the tokens: server or gateway")
    replica: str
    moves: int = Field(description="how often it went on at another replica")
    batch: str
    posting: str = Field(description="the ledger's transfer that its charge is a part of")
    booked_us: int = Field(description="it is on the invoice whose period contains this instant")
    invoice_line: str = Field(description="MODEL/TIER, or MODEL/TIER/batch")

    @classmethod
    def of(cls, request: ModelRequest) -> "RequestView":
        """As the API shows it."""
        values = {name: getattr(request, name) for name in cls.model_fields if name != "invoice_line"}
        line = f"{request.model}/{request.tier}" + ("/batch" if request.batch else "")
        return cls(**values, invoice_line=line)


@router.get("/requests", dependencies=_READERS)
def requests(  # noqa: PLR0917 (FastAPI passes them by name)
    call: Calling,
    limit: Limit = 100,
    after: After = None,
    tenant: ForTenant = None,
    model: Annotated[str | None, Query(max_length=64)] = None,
    from_us: Begin = None,
    to_us: ToUs = None,
) -> Page[RequestView]:
    """Requests to models, newest first; a tenant sees its own. They appear within a second of their answer's end."""
    whose = call.caller.sees or (TenantId(tenant) if tenant else None)
    with call.read() as tx:
        rows = model_requests.page(
            tx, tenant=whose, model=model, from_us=from_us or 0, to_us=to_us, after=instant_and_name(after), limit=limit
        )
    return page(rows, limit, view=RequestView.of, place=lambda one: f"{one.booked_us}/{one.id}")


@router.get("/requests/{request}", dependencies=_READERS)
def request(request: InPath, call: Calling) -> RequestView:
    """One request, by the id that its answer bore."""
    with call.read() as tx:
        return RequestView.of(model_requests.get(tx, request, tenant=call.caller.sees))
