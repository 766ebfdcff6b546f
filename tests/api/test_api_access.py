"""Keys, scopes, and what does not exist for others."""

from typing import Any

import pytest

from doors import TASK, Doors, good, refused


@pytest.mark.parametrize("key", [None, "sk_wrong", "sk_" + "x" * 5_000])
def test_without_a_good_key_nothing_is_shown(doors: Doors, key: str | None) -> None:
    problem = refused(doors.client(key).get("/v1/leases"), 401)
    assert "key" in problem["detail"] and problem["hint"]


def test_the_open_addresses_need_no_key(doors: Doors) -> None:
    assert good(doors.nobody.get("/healthz")) == {"status": "ok"}
    assert "sublet_loop_duration_seconds" in doors.nobody.get("/metrics").text


def test_a_revoked_key_is_locked_out_at_once(doors: Doors) -> None:
    made = good(doors.owner.post("/v1/keys", json={"scope": "read-only", "name": "grafana"}))
    client = doors.client(made["secret"])
    good(client.get("/v1/pools"))
    assert good(doors.owner.delete(f"/v1/keys/{made['id']}"))["revoked_us"]
    refused(client.get("/v1/pools"), 401)


def test_the_last_owner_key_cannot_be_revoked(doors: Doors) -> None:
    (only,) = [key for key in good(doors.owner.get("/v1/keys"))["items"] if key["scope"] == "owner"]
    assert "another owner key" in refused(doors.owner.delete(f"/v1/keys/{only['id']}"), 409)["hint"]
    doors.key("owner")
    good(doors.owner.delete(f"/v1/keys/{only['id']}"))


def test_no_list_shows_a_secret_or_its_hash(doors: Doors) -> None:
    secret = doors.key("finance")
    text = doors.owner.get("/v1/keys").text
    assert secret not in text and "sha256" not in text


def test_another_tenants_lease_does_not_exist(everywhere: Doors) -> None:
    mine, yours = everywhere.tenant("mine"), everywhere.tenant("yours")
    lease = good(mine.post("/v1/leases", json=TASK))["id"]
    everywhere.tick(2)
    for path in ("", "/explain", "/usage", "/logs"):
        problem = refused(yours.get(f"/v1/leases/{lease}{path}"), 404)
        assert problem["detail"] == f"there is no lease {lease}"
    refused(yours.delete(f"/v1/leases/{lease}"), 404)
    assert good(yours.get("/v1/leases"))["items"] == []
    assert good(yours.get("/v1/events", params={"limit": 1000}))["items"][0]["tenant"] == "yours"
    assert all(event["tenant"] == "yours" for event in good(yours.get("/v1/events"))["items"])
    assert [account["id"] for account in good(yours.get("/v1/ledger/accounts"))["items"]] == ["assets:receivable:yours"]
    assert good(mine.get(f"/v1/leases/{lease}"))["state"] != "stopping"


def test_a_tenant_speaks_for_itself_only(doors: Doors) -> None:
    mine = doors.tenant("mine")
    doors.tenant("yours")
    refused(mine.post("/v1/leases", params={"tenant": "yours"}, json=TASK), 404)
    refused(mine.get("/v1/tenants/yours"), 404)
    assert [tenant["id"] for tenant in good(mine.get("/v1/tenants"))["items"]] == ["mine"]
    assert refused(doors.owner.post("/v1/leases", json=TASK), 422)["field"] == "tenant"


@pytest.mark.parametrize(
    ("scope", "request_", "status"),
    [
        ("tenant", ("POST", "/v1/jobs", {"run": "x"}), 403),
        ("tenant", ("POST", "/v1/reclaim", {"pool": "h100", "gpus": 1}), 403),
        ("tenant", ("PUT", "/v1/pools/h100", {"site": "x"}), 403),
        ("tenant", ("GET", "/v1/keys", None), 403),
        ("tenant", ("GET", "/v1/ledger/check", None), 403),
        ("tenant", ("GET", "/v1/nodes", None), 403),
        ("read-only", ("POST", "/v1/leases", TASK), 403),
        ("read-only", ("PUT", "/v1/pools/h100", {"site": "x"}), 403),
        ("read-only", ("GET", "/v1/leases", None), 200),
        ("read-only", ("GET", "/v1/ledger/check", None), 200),
        ("finance", ("GET", "/v1/statement", None), 200),
        ("finance", ("POST", "/v1/leases", TASK), 403),
        ("finance", ("GET", "/v1/keys", None), 403),
    ],
)
def test_a_scope_opens_its_own_doors(doors: Doors, scope: str, request_: tuple[str, str, Any], status: int) -> None:
    client = doors.tenant("acme") if scope == "tenant" else doors.client(doors.key(scope))
    method, path, body = request_
    answer = client.request(method, path, json=body)
    if status == 403:
        assert f"a {scope} key" in refused(answer, 403)["detail"]
    else:
        good(answer)


def test_a_tenants_read_only_key_opens_nothing_of_the_owners(doors: Doors) -> None:
    doors.tenant("acme")
    client = doors.client(doors.key("read-only", tenant="acme"))
    for path in ("/v1/statement", "/v1/jobs", "/v1/nodes", "/v1/ledger/check"):
        refused(client.get(path), 403)
    good(client.get("/v1/leases"))


def test_a_tenant_sees_terms_and_prices_but_not_what_they_cost_the_owner(doors: Doors) -> None:
    mine = good(doors.tenant("acme").get("/v1/pools"))["items"][0]
    assert mine["settings"]["terms"]["spot"]["grace_us"] > 0 and mine["price_micro"] > 0
    assert "cost" not in mine["settings"] and "lending_limit" not in mine["settings"]
    assert "cost" in good(doors.owner.get("/v1/pools/h100"))["settings"]


def test_metrics_show_money_to_those_who_may_see_it(doors: Doors) -> None:
    assert "sublet_revenue" not in doors.nobody.get("/metrics").text
    assert "sublet_revenue" not in doors.tenant("acme").get("/metrics").text
    assert "sublet_unbilled_intervals" in doors.client(doors.key("finance")).get("/metrics").text
