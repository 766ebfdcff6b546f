"""POST /v1/finance: the accounts of a scenario, for the owner and finance, without files and within limits."""

import tomllib
from typing import Any

import pytest

from doors import Doors
from sublet.advice.finance import shipped


def scenario(name: str = "university-128", **more: Any) -> dict[str, Any]:
    return tomllib.loads(shipped.text(name)) | more


def test_a_scenario_in_a_request_is_the_commands_report(doors: Doors) -> None:
    answer = doors.owner.post("/v1/finance", json=scenario(), params={"paths": 200})
    assert answer.status_code == 200
    found = answer.json()
    assert found["kind"] == "sublet.finance" and found["schema"] == 1
    assert found["chance"]["paths"] == 200 and found["chance"]["tie_out"]
    assert len(found["months"]) == 54 and found["claims"] == []


@pytest.mark.parametrize(
    ("body", "params", "field"),
    [
        (scenario(leasable_from="/etc/passwd"), {}, "leasable_from"),
        (scenario("company-2000"), {}, "price.history.table"),
        (scenario(mounths=3), {}, "mounths"),
        (scenario(), {"paths": 5_001}, "paths"),
        (scenario(), {"claims": True, "paths": 0}, "claims"),
        (scenario(months=240, fleet=scenario()["fleet"] * 10), {}, "months"),
    ],
)
def test_files_and_too_much_are_refused(doors: Doors, body: dict[str, Any], params: dict[str, Any], field: str) -> None:
    answer = doors.owner.post("/v1/finance", json=body, params=params)
    assert answer.status_code == 422
    assert answer.json()["field"].endswith(field)


def test_a_tenant_may_not_ask(doors: Doors) -> None:
    assert doors.tenant("acme").post("/v1/finance", json=scenario()).status_code == 403
