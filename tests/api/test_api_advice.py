"""POST /v1/audit and /v1/decide: what the commands say, for the owner and finance, within limits."""

from typing import Any

import pytest

from doors import Doors

JOBS = [
    {
        "user": "ann",
        "name": f"deepspeed-{n}",
        "gpus": 8,
        "submit_s": n * 40_000,
        "start_s": n * 40_000 + 3_600,
        "duration_s": 36_000,
    }
    for n in range(20)
]
WORK = {"name": "w", "gpus": 8, "gpu_model": "H100", "work": "24h", "checkpoint": {"every": "30m"}}


def test_an_audit_in_a_request_is_the_commands_report(doors: Doors) -> None:
    answer = doors.owner.post("/v1/audit", json={"jobs": JOBS, "home": 2.35})
    assert answer.status_code == 200
    found = answer.json()
    assert found["kind"] == "sublet.audit" and found["classified"] == 1 and found["jobs"] == 20
    assert found["groups"][0]["recommended"]["way"] in {"spot", "guarded"} and found["saving_micro"] > 0
    kept = {"jobs": JOBS, "labels": [{"user": "ann", "sensitivity": "confidential"}]}
    assert doors.owner.post("/v1/audit", json=kept).json()["groups"][0]["recommended"]["way"] == "stay"


def test_a_decision_in_a_request_is_the_commands_report(doors: Doors) -> None:
    answer = doors.owner.post("/v1/decide", json={"workload": WORK})
    assert answer.status_code == 200
    found = answer.json()
    assert found["kind"] == "sublet.decide" and found["lines"][0]["rank"] == 1 and found["turns"]
    euros = doors.owner.post("/v1/decide", json={"workload": WORK | {"currency": "EUR"}})
    assert euros.status_code == 422 and "EUR" in euros.json()["detail"]
    assert doors.owner.post("/v1/decide", json={"workload": WORK | {"currency": "EUR"}, "usd": 0.9}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("audit", {"jobs": []}, "jobs"),
        ("audit", {"jobs": [{"submit_s": 0, "duration_s": -1}]}, "duration_s"),
        ("audit", {"jobs": [{"submit_s": 0, "duration_s": 0}]}, "jobs"),
        ("audit", {"jobs": JOBS[:1] * 5_001}, "jobs"),
        ("audit", {"jobs": JOBS, "surplus": {"spot": {"gpu_h": -1}}}, "spot.gpu_h"),
        ("decide", {"workload": WORK | {"gpus": 0}}, "workload.gpus"),
        ("decide", {"workload": WORK | {"country": "Germny"}}, "workload.country"),
    ],
)
def test_what_is_wrong_is_named(doors: Doors, path: str, body: dict[str, Any], field: str) -> None:
    answer = doors.owner.post(f"/v1/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"].endswith(field), answer.json()


def test_a_tenant_may_not_ask(doors: Doors) -> None:
    acme = doors.tenant("acme")
    assert acme.post("/v1/audit", json={"jobs": JOBS}).status_code == 403
    assert acme.post("/v1/decide", json={"workload": WORK}).status_code == 403
