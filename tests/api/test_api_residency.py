"""Residency through the API: what is stated binds requests, grants, blocks and what runs, and the audit log has it."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from doors import TASK, Doors, good, open_doors, refused
from sublet.app import audit_log, residency
from sublet.app.residency import Atlas, Denied
from sublet.core.ids import TenantId
from sublet.core.residency import Label, Purpose
from sublet.store.database import Database

FACTS = {"country": "DE", "operator": "Rhein", "operator_country": "DE", "certifications": ["iso-27001"]}


def task(**terms: Any) -> dict[str, Any]:
    return {**TASK, "lease": {"max_price": "$3", **terms}}


def stated(doors: Doors, country: str = "DE", **facts: Any) -> httpx.Client:
    """A tenant with a seat, and a site with facts."""
    good(doors.owner.put("/v1/sites/local", json={**FACTS, **facts}))
    acme = doors.tenant("acme")
    good(doors.owner.put("/v1/tenants/acme/country", json={"country": country}))
    return acme


def log(doors: Doors, kind: str = "residency.verdicts") -> list[dict[str, Any]]:
    items = good(doors.owner.get("/v1/audit-log", params={"limit": 1000}))["items"]
    return [one["document"] for one in items if one["kind"] == kind]


def test_a_labelled_lease_is_granted_where_its_data_may_be_and_the_log_has_the_verdicts(everywhere: Doors) -> None:
    acme = stated(everywhere)
    lease = good(acme.post("/v1/leases", json=task(residency=["EU"], sensitivity="confidential", regimes="gdpr")))
    assert lease["remarks"] == []
    everywhere.tick(3)
    assert good(acme.get(f"/v1/leases/{lease['id']}"))["state"] == "active"
    (bound,) = [bound for entry in log(everywhere) for bound in entry["bound"]]
    assert bound["subjects"] == [lease["id"]] and bound["allowed"]
    (judged,) = bound["judgements"]
    assert judged["purposes"] == ["placement", "checkpoint", "log"] and judged["place"]["country"] == "DE"
    assert {one["rule"] for one in judged["verdicts"]} > {"jurisdiction", "sensitivity", "gdpr-transfer", "us-export"}
    assert [one["country"] for one in log(everywhere, "tenant.country")] == ["DE"]
    assert [(one["site"], one["country"]) for one in log(everywhere, "site.facts")] == [("local", "DE")]
    proof = good(everywhere.owner.get("/v1/audit-log/verify"))
    assert proof["whole"] and proof["entries"] == 3
    export = everywhere.owner.get("/v1/audit-log/export").content
    assert export.count(b"\n") == 3 and export == b"".join(audit_log.export(everywhere.plane.database))


def test_a_site_without_facts_denies_whatever_is_stated_and_nothing_else(doors: Doors) -> None:
    acme = doors.tenant("acme")
    for terms in ({"residency": ["EU"]}, {"sensitivity": "internal"}, {"regimes": "hipaa"}, {"data": "health"}):
        said = refused(acme.post("/v1/leases", json=task(**terms)), 422)
        assert said["type"] == "urn:sublet:problem:data_residency_mismatch" and said["field"] == "lease.residency"
        assert "in which country local is" in said["detail"] and "sublet site set" in said["hint"]
    assert len(log(doors)) == 4 and not any(bound["allowed"] for entry in log(doors) for bound in entry["bound"])
    plain = good(acme.post("/v1/leases", json=task(sensitivity="public")))["id"]
    named = good(acme.post("/v1/leases", json=task(residency="local")))["id"]
    doors.tick(3)
    assert {good(acme.get(f"/v1/leases/{one}"))["state"] for one in (plain, named)} == {"active"}
    subjects = [subject for entry in log(doors) for bound in entry["bound"] for subject in bound["subjects"]]
    assert subjects == [named], "who states nothing leaves no trace in the log"
    assert refused(acme.post("/v1/quote", json=task(residency="US")), 422)["detail"]
    assert len(log(doors)) == 5, "a question binds nothing"


def test_what_is_misspelt_is_named_with_the_way_out(doors: Doors) -> None:
    acme = stated(doors)
    said = refused(acme.post("/v1/leases", json=task(residency=["Germny"])), 422)
    assert said["field"] == "lease.residency" and "'Germny'" in said["detail"] and "DE" in said["hint"]
    said = refused(acme.post("/v1/leases", json=task(regimes=["gdrp"])), 422)
    assert said["field"] == "lease.regimes" and "did you mean gdpr?" in said["detail"]
    said = refused(doors.owner.put("/v1/sites/local", json={"country": "Germny"}), 422)
    assert said["field"] == "country" and "Germany (DE)" in said["hint"]
    said = refused(doors.owner.put("/v1/sites/local", json={"certifications": ["iso-27002"]}), 422)
    assert said["field"] == "certifications" and "iso-27001" in said["hint"]
    said = refused(doors.owner.put("/v1/sites/local", json={"logs_at": "loca"}), 422)
    assert said["field"] == "logs_at" and "local" in said["hint"]
    assert "Norway" in refused(doors.owner.put("/v1/tenants/acme/country", json={"country": "Norwai"}), 422)["hint"]
    assert refused(acme.post("/v1/residency/check?site=loca", json=task()), 404)["hint"] == "did you mean local?"
    assert log(doors) == []


def test_facts_that_change_before_a_grant_refuse_it(everywhere: Doors) -> None:
    acme = stated(everywhere)
    lease = good(acme.post("/v1/leases", json=task(residency="EU")))["id"]
    good(everywhere.owner.put("/v1/sites/local", json={"country": "CH"}))
    everywhere.tick(3)
    ended = good(acme.get(f"/v1/leases/{lease}"))
    assert (ended["state"], ended["cause"], ended["attempt"]) == ("ended", "refused", 0)
    assert "local is in Switzerland (CH)" in ended["reason"]
    assert [bound["allowed"] for entry in log(everywhere) for bound in entry["bound"]] == [False]
    assert good(everywhere.owner.get("/v1/ledger/check"))["balanced"]


def test_what_runs_gets_its_notice_when_the_owner_restates_a_fact_and_says_so(doors: Doors) -> None:
    good(doors.owner.put("/v1/pools/h100", json={"terms": {"spot": {"grace_us": 100_000, "exempt_us": 0}}}))
    acme = stated(doors)
    lease = good(acme.post("/v1/leases", json=task(residency="EU")))["id"]
    other = good(acme.post("/v1/leases", json=task()))["id"]
    doors.tick(3)
    said = refused(doors.owner.put("/v1/sites/local", json={"country": "US"}), 409)
    assert lease in said["detail"] and "--force" in said["hint"]
    assert good(doors.owner.get("/v1/sites/local"))["country"] == "DE"
    assert log(doors, "site.facts")[-1]["country"] == "DE"
    good(doors.owner.put("/v1/sites/local?force=true", json={"country": "US"}))
    noticed = good(acme.get(f"/v1/leases/{lease}"))
    assert noticed["state"] == "noticed" and "may not be at local" in noticed["reason"]
    assert good(acme.get(f"/v1/leases/{other}"))["state"] == "active"
    time.sleep(0.2)
    doors.tick(6)
    assert good(acme.get(f"/v1/leases/{lease}"))["state"] in {"stopping", "handover", "queued", "ended"}
    assert good(doors.owner.get("/v1/audit-log/verify"))["whole"]
    refused(doors.owner.put("/v1/tenants/acme/country", json={"country": "CN"}), 409)


def test_checkpoints_and_logs_are_judged_where_they_are_kept(doors: Doors) -> None:
    acme = stated(doors)
    good(doors.owner.put("/v1/sites/vault", json={**FACTS, "country": "US", "operator_country": "US"}))
    good(doors.owner.put("/v1/sites/local", json={"checkpoints_at": "vault"}))
    said = refused(acme.post("/v1/leases", json=task(residency="EU")), 422)
    assert "vault is in United States (US)" in said["detail"]
    (entry,) = log(doors)
    assert [one["purposes"] for one in entry["bound"][0]["judgements"]] == [["placement", "log"], ["checkpoint"]]
    good(doors.owner.put("/v1/sites/vault", json={"country": "FR"}))
    good(acme.post("/v1/leases", json=task(residency="EU")))


def test_a_seat_under_export_control_needs_no_label(doors: Doors) -> None:
    acme = stated(doors, country="CN")
    said = refused(acme.post("/v1/leases", json=task()), 422)
    assert "US licence for H100" in said["detail"] and log(doors)
    good(doors.owner.put("/v1/sites/local", json={"safeguards": "us-licence"}))
    good(acme.post("/v1/leases", json=task(safeguards="us-licence")))


def test_a_block_is_judged_when_it_is_ordered(doors: Doors) -> None:
    good(doors.owner.put("/v1/pools/h100", json={"blocks": {"limit": 2}, "promise": {"gpus": 0}}))
    acme = stated(doors, country="FR")
    start_us = (doors.plane.clock.now_us() // 3_600_000_000 + 3) * 3_600_000_000
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start_us / 1e6))
    block = {"run": "true", "lease": {"class": "block", "start": start, "hours": 1, "residency": ["FR"]}}
    said = refused(acme.post("/v1/blocks", json=block), 422)
    assert "local is in Germany (DE)" in said["detail"] and len(log(doors)) == 1
    block["lease"]["residency"] = ["EU"]  # type: ignore[index]
    assert good(acme.post("/v1/blocks", json=block))["state"] == "resting"


def test_a_preview_shows_every_verdict_and_writes_nothing(doors: Doors) -> None:
    acme = stated(doors)
    found = good(acme.post("/v1/residency/check", json=task(residency="CH", sensitivity="internal")))
    assert (found["allowed"], found["seat"], found["label"]["residency"]) == (False, "DE", ["CH"])
    (place,) = found["places"]
    (judged,) = place["judgements"]
    denied = {one["rule"]: one for one in judged["verdicts"] if not one["allows"]}
    assert denied.keys() == {"jurisdiction"} and denied["jurisdiction"]["source"]["as_of"]
    assert good(acme.post("/v1/residency/check", json=task(residency="DACH")))["allowed"]
    assert log(doors) == []
    rules = good(acme.get("/v1/residency/rules"))
    assert {"us-export", "gdpr-transfer"} <= {one["name"] for one in rules["items"]} and rules["lists"]
    words = good(acme.get("/v1/residency/words"))["items"]
    assert {"bloc", "regime", "data", "safeguard", "certification"} == {one["kind"] for one in words}
    refused(acme.get("/v1/audit-log"), 403)
    assert good(doors.client(doors.key("read-only")).get("/v1/audit-log"))["items"]


def test_a_gateway_asks_for_replicas_and_files(database: Database, tmp_path: Path) -> None:
    """One function; a denial has the code of a model API, and both outcomes are in the log."""
    with open_doors(database, tmp_path / "data") as doors:
        stated(doors)
        label, acme = Label(residency=("EU",), regimes=("gdpr",)), TenantId("acme")
        with database.write() as tx:
            judged = residency.ask(
                tx, label, tenant=acme, site="local", purpose=Purpose.REPLICA, subject="model-1", now_us=1, accelerator="H100"
            )
        assert judged.allowed
        us = Label(residency=("US",))
        with pytest.raises(Denied, match="file-1") as denied, database.write() as tx:
            residency.ask(tx, us, tenant=acme, site="local", purpose=Purpose.BATCH_FILE, subject="file-1", now_us=2)
        residency.record_denial(database, denied.value, now_us=2)
        assert denied.value.code == "data_residency_mismatch"
        bounds = [bound for entry in log(doors) for bound in entry["bound"]]
        assert [(bound["subjects"], bound["allowed"]) for bound in bounds] == [(["model-1"], True), (["file-1"], False)]
        with database.read() as tx:
            atlas = Atlas.read(tx, [acme])
        first = atlas.judge(label, acme, "local", Purpose.REPLICA, accelerator="H100")
        assert atlas.judge(label, acme, "local", Purpose.REPLICA, accelerator="H100") is first
