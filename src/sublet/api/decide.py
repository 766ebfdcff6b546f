"""Where a workload should run, from a workload in the request and the shipped prices."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sublet.advice.decide.catalogue import catalogue
from sublet.advice.decide.document import document
from sublet.advice.decide.report import report_of, shelf
from sublet.advice.decide.workload_file import WorkloadFile
from sublet.api.call import only
from sublet.app.keys import Scope

router = APIRouter(prefix="/v1", tags=["decide"])
Rate = Annotated[float, Field(gt=0, le=1e6)]


class DecideBody(BaseModel):
    """A workload as in its file, and what a dollar of the shipped prices is in its currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workload: WorkloadFile
    usd: Rate | None = Field(
        default=None, description="what one US dollar is in the workload's currency; needed where it is another"
    )


class DecideView(BaseModel):
    """A decision, as `sublet decide --json` prints it. Money in micro-units; see docs/how-to/decide-where-to-run.md."""

    kind: Literal["sublet.decide"]
    schema_: int = Field(alias="schema")
    version: str
    workload: dict[str, Any]
    currency: str
    offers: int
    open: int
    dates: list[str]
    unused: dict[str, int]
    weights: dict[str, float]
    lines: list[dict[str, Any]]
    best: list[dict[str, Any]]
    closed: list[dict[str, Any]]
    turns: list[dict[str, Any]]
    sentences: list[str]
    warnings: list[str]


@router.post("/decide", dependencies=[only(Scope.FINANCE)])
def decide(body: DecideBody) -> DecideView:
    """All offers for a workload in order, with what would change the order. Nothing is written, and nothing is kept."""
    found = catalogue(body.workload, rates={} if body.usd is None else {"USD": body.usd})
    report = report_of(body.workload, found, shelf(found))
    return DecideView.model_validate(document(report))
