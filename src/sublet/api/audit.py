"""Which jobs of a history could run on surplus, from rows in the request."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sublet.advice.audit.asked_over_api import AuditBody, table_of
from sublet.advice.audit.document import document
from sublet.advice.audit.report import Wanted, report_of
from sublet.advice.audit.surplus_file import read_surplus
from sublet.api.call import only
from sublet.app.keys import Scope
from sublet.core.audit.classify import Rules

router = APIRouter(prefix="/v1", tags=["audit"])


class AuditView(BaseModel):
    """An audit, as `sublet audit --json` prints it. Money in micro-units; docs/how-to/audit-your-jobs.md says what is in it."""

    kind: Literal["sublet.audit"]
    schema_: int = Field(alias="schema")
    version: str
    source: str
    format: str
    currency: str
    rows: int
    jobs: int
    never_ran: int
    left_out: int
    days: float
    gpu_h: float
    classified: float
    groups: list[dict[str, Any]]
    sums: list[dict[str, Any]]
    saving_micro: int
    stay_micro: int
    runs: int
    seed: int
    sentences: list[str]
    warnings: list[str]
    notes: list[str]
    surplus: dict[str, Any]
    rules: dict[str, Any]


@router.post("/audit", dependencies=[only(Scope.FINANCE)])
def audit(body: AuditBody) -> AuditView:
    """Jobs in groups, each with the best way out and what it saves. Nothing is written, and nothing is kept."""
    surplus = read_surplus(None, home=body.home, replaced=body.surplus)
    wanted = Wanted(Rules(unlabelled=body.unlabelled), seed=body.seed)
    report = report_of(table_of(body.jobs), "the request", labels=body.labels, surplus=surplus, wanted=wanted)
    return AuditView.model_validate(document(report))
