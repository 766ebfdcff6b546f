"""What leasing does to the owner's accounts, from a scenario in the request."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from sublet.advice.finance import read
from sublet.advice.finance.document import document
from sublet.advice.finance.report import Wanted, report_of
from sublet.advice.finance.scenario_file import ScenarioFile
from sublet.api.call import only
from sublet.app.keys import Scope
from sublet.core.errors import Invalid

router = APIRouter(prefix="/v1", tags=["finance"])
PATHS_MAX, ROWS_MAX = 5_000, 4_000
"""A request may take no more of the control plane's time; `sublet finance` has no such limits."""


class FinanceView(BaseModel):
    """A report, as `sublet finance --json` prints it. Money in micro-units; docs/reference/finance.md has every key."""

    kind: Literal["sublet.finance"]
    schema_: int = Field(alias="schema")
    version: str
    scenario: dict[str, Any]
    headline: dict[str, Any]
    units: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    total: dict[str, Any]
    year: dict[str, Any]
    sums: dict[str, Any]
    years: list[dict[str, Any]]
    months: list[dict[str, Any]]
    break_even: dict[str, Any]
    owner: dict[str, Any] | None
    chance: dict[str, Any] | None
    turned: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    actual: dict[str, Any] | None
    assumptions: list[dict[str, Any]]
    limits: list[str]


@router.post("/finance", dependencies=[only(Scope.FINANCE)])
def finance(
    body: ScenarioFile,
    paths: Annotated[
        int, Query(ge=0, le=PATHS_MAX, description="Monte-Carlo paths, in place of the scenario's; 0 for none")
    ] = 2_000,
    claims: Annotated[bool, Query(description="check the claims in the scenario's `claims`")] = False,  # noqa: FBT002
) -> FinanceView:
    """The accounts of a scenario. Nothing is written; files that a scenario names are refused, give the numbers themselves."""
    body.refuse_files()
    if body.months * len(body.fleet) * len(body.classes) > ROWS_MAX:
        hint = "fewer of each, or ask with `sublet finance`, which has no such limit"
        raise Invalid(f"months x generations x classes is above {ROWS_MAX:,}", field="months", hint=hint)
    asked = read.made(body, source="the request", name="request", beside=None)
    report = report_of(asked, Wanted(paths, body.seed, claims, workers=1), lambda *_: None)
    return FinanceView.model_validate(document(report))
