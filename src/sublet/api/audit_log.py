"""The audit log: what was decided about residency, in a chain of hashes."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from sublet.api.call import Calling, only
from sublet.api.pages import Limit
from sublet.app import audit_log
from sublet.app.keys import Scope
from sublet.core.audit_log import AuditEntry, Tampered

router = APIRouter(prefix="/v1/audit-log", tags=["audit log"], dependencies=[only(Scope.READ_ONLY)])
Head = Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="the hash that the last entry must have")]


class AuditEntryView(BaseModel):
    """One entry. Its hash covers the one before it."""

    seq: int
    at_us: int
    kind: str
    document: Any = Field(description="what was decided or stated")
    previous: str
    hash: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditEntryView":
        """As the API shows it; the export has it as it was hashed."""
        try:
            document = json.loads(entry.document)
        except ValueError:
            document = entry.document  # somebody changed it: verifying says so
        return cls(
            seq=entry.seq, at_us=entry.at_us, kind=entry.kind, document=document, previous=entry.previous, hash=entry.hash
        )


class AuditPage(BaseModel):
    """Entries in order; ask again with `after` = `last`."""

    items: list[AuditEntryView]
    last: int


class VerifiedView(BaseModel):
    """Whether the log is what was written."""

    whole: bool
    entries: int | None = Field(description="how many there are; null: it does not hold together")
    head: str | None = Field(description="the hash of the last: keep it elsewhere, and later name it as expected")
    finding: str | None = Field(description="the first entry at fault")
    hint: str | None


@router.get("")
def entries(
    call: Calling, after: Annotated[int, Query(ge=0, le=2**53, description="those after this number")] = 0, limit: Limit = 100
) -> AuditPage:
    """Entries, the oldest first."""
    found = audit_log.page(call.plane.database, after=after, limit=limit)
    return AuditPage(items=[AuditEntryView.of(entry) for entry in found], last=found[-1].seq if found else after)


@router.get("/verify")
def verify(call: Calling, head: Head = None) -> VerifiedView:
    """Follow the whole chain. A head that was noted before also shows whether entries are missing at the end."""
    try:
        found = audit_log.verify(call.plane.database, head=head)
    except Tampered as error:
        return VerifiedView(whole=False, entries=None, head=None, finding=error.message, hint=error.hint)
    return VerifiedView(whole=True, entries=found.entries, head=found.head, finding=None, hint=None)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}, "description": "A line an entry"}},
)
def export(call: Calling) -> StreamingResponse:
    """Every entry as a line of JSON, exactly as it was hashed: `sublet audit-log verify --file` proves it anywhere."""
    return StreamingResponse(audit_log.export(call.plane.database), media_type="application/x-ndjson")
