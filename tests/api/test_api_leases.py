"""A tenant's way: offers, quote, launch, look, release; and the owner's: run, take back, give back."""

from typing import Any

import pytest

from doors import CHEAP_TERMS, TASK, Doors, good, refused
from sublet.core.ids import RunId


def test_an_offer_says_what_is_free_and_on_which_terms(doors: Doors) -> None:
    offers = good(doors.tenant("acme").get("/v1/offers"))["items"]
    (spot,) = [offer for offer in offers if offer["class"] == "spot"]
    assert spot["gpus"] == spot["capacity"] == 8 and spot["price_micro"] >= spot["floor_micro"] > 0
    assert {offer["term_us"] for offer in offers if offer["class"] == "guarded"} == {h * 3_600_000_000 for h in (1, 4, 8, 24)}


def test_a_quote_is_what_then_happens_and_writes_nothing(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    before = good(acme.get("/v1/events"))["last"]
    quote = good(acme.post("/v1/quote", json=TASK))
    assert quote["starts_now"] and quote["gpus"] == 2 and quote["per_hour_micro"] == 2 * quote["price_micro"]
    assert good(acme.get("/v1/events"))["last"] == before and good(acme.get("/v1/leases"))["items"] == []
    lease = good(acme.post("/v1/leases", json=TASK))["id"]
    everywhere.tick(2)
    granted = good(acme.get(f"/v1/leases/{lease}"))
    assert granted["price_micro"] == quote["price_micro"] and granted["state"] in {"starting", "active"}
    assert good(acme.get("/v1/tenants/acme"))["held_micro"] == quote["hold_micro"]


def test_a_quote_that_must_wait_says_why(doors: Doors) -> None:
    acme = doors.tenant("acme")
    good(doors.owner.post("/v1/jobs", json={"run": "x", "num_nodes": 2, "resources": {"accelerators": "H100:4"}}))
    quote = good(acme.post("/v1/quote", json=TASK))
    assert not quote["starts_now"] and "owner 8" in quote["reason"] and quote["earliest_us"] is None


def test_a_lease_lives_and_its_life_can_be_explained(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    lease = good(acme.post("/v1/leases", json=TASK))["id"]
    everywhere.tick(2)
    run = RunId(f"{lease}.1")
    everywhere.engine.say(run, b"step 1\nstep 2\n")
    everywhere.tick()
    answer = acme.get(f"/v1/leases/{lease}/logs", params={"offset": 7})
    assert answer.text == "step 2\n" and answer.headers["Sublet-Next-Offset"] == "14"
    assert answer.headers["Sublet-Run"] == run
    everywhere.engine.finish(run)
    everywhere.tick(4)
    told = good(acme.get(f"/v1/leases/{lease}/explain"))
    assert told["lease"]["state"] == "ended" and told["lease"]["cause"] == "completed" and told["lease"]["class"] == "spot"
    kinds = [event["kind"] for event in told["timeline"]]
    assert kinds[0] == "lease.requested" and kinds[-1] == "lease.ended" and "lease.granted" in kinds
    assert all(event["reason"] for event in told["timeline"])
    everywhere.plane.loops.settle()
    used = good(acme.get(f"/v1/leases/{lease}/usage"))
    assert used["charge_micro"] == sum(one["charge_micro"] for one in used["intervals"])
    assert used["billed_gpu_us"] > 0 and used["grace_gpu_us"] == 0
    assert good(acme.get("/v1/tenants/acme"))["balance_micro"] == used["charge_micro"]


def test_who_waits_is_told_the_numbers_of_now(doors: Doors) -> None:
    """What is kept with a lease changes with the sentence; asked, the owner's price of this very moment is said."""
    acme, owner = doors.tenant("acme"), doors.owner
    poor = good(acme.post("/v1/leases", json=TASK | {"lease": {"max_price": 0.9}}))["id"]
    doors.tick(2)
    before = good(acme.get(f"/v1/leases/{poor}"))["reason"]
    assert good(acme.get(f"/v1/leases/{poor}/explain"))["lease"]["reason"] == before
    good(owner.put("/v1/pools/h100", json={"pricing": "fixed", "price_micro": 2_500_000}))
    doors.tick(2)
    assert good(acme.get(f"/v1/leases/{poor}"))["reason"] == before
    assert good(acme.get(f"/v1/leases/{poor}/explain"))["lease"]["reason"] == "the price is 2.5000, above its bid"


def test_a_lease_released_early_is_not_billed_from_then_on(doors: Doors) -> None:
    acme = doors.tenant("acme")
    lease = good(acme.post("/v1/leases", json=TASK))["id"]
    doors.tick(3)
    answer = acme.delete(f"/v1/leases/{lease}")
    assert answer.status_code == 202
    given = good(answer)
    assert given["state"] == "stopping" and given["cause"] == "released" and given["stopped_us"] == given["since_us"]
    assert good(acme.delete(f"/v1/leases/{lease}"))["stopped_us"] == given["stopped_us"]
    doors.tick(4)
    assert good(acme.get(f"/v1/leases/{lease}"))["state"] == "ended"
    doors.plane.loops.settle()
    (interval,) = good(acme.get(f"/v1/leases/{lease}/usage"))["intervals"]
    assert interval["to_us"] == given["stopped_us"]


def test_a_waiting_lease_is_withdrawn_at_once(doors: Doors) -> None:
    acme = doors.tenant("acme")
    lease = good(acme.post("/v1/leases", json=TASK))["id"]
    assert good(acme.delete(f"/v1/leases/{lease}"))["state"] == "ended"
    assert refused(acme.get(f"/v1/leases/{lease}/logs"), 404)["hint"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"lease": {"max_price": "0.01"}}, "lease.max_price", "floor"),
        ({"lease": {"pool": "h10"}}, "lease.pool", "no pool 'h10'"),
        ({"resources": {"accelerators": "H200:1"}}, "resources.accelerators", "no pool has H200"),
        ({"resources": {"accelerators": "H100:8"}}, "resources.accelerators", "does not have"),
        ({"lease": {"class": "guarded", "hours": 3}}, "lease.hours", "1, 4, 8, 24"),
        ({"lease": {"class": "dedicated"}}, "lease.class", "does not offer"),
        ({"lease": {"notice": "1h"}}, "lease.notice", "longer than"),
        ({"lease": {"residency": ["mars"]}}, "lease.residency", "mars"),
        ({"lease": {"access": "ssh"}}, "lease.access", "ssh"),
    ],
)
def test_a_request_that_can_never_be_granted_is_refused_with_the_way_out(
    doors: Doors, change: Any, field: str, said: str
) -> None:
    acme = doors.tenant("acme")
    body = {"run": "x"} | change
    for path in ("/v1/leases", "/v1/quote"):
        problem = refused(acme.post(path, json=body), 422)
        assert problem["field"] == field and said in problem["detail"] and problem["hint"]
    assert good(acme.get("/v1/leases"))["items"] == []


def test_a_bid_below_the_floor_names_the_floor(doors: Doors) -> None:
    acme = doors.tenant("acme")
    floor = good(acme.get("/v1/offers"))["items"][0]["floor_micro"]
    problem = refused(acme.post("/v1/leases", json={"run": "x", "lease": {"max_price": "0.01"}}), 422)
    assert f"{floor / 1e6:.4f}" in problem["hint"]


def test_a_spent_budget_is_refused_and_a_raised_one_helps(doors: Doors) -> None:
    acme = doors.tenant("acme", limit_micro=1_000)
    problem = refused(acme.post("/v1/leases", json=TASK), 402)
    assert (
        problem["field"] == "tenant.limit" and "spend limit" in problem["detail"] and "sublet tenant limit" in problem["hint"]
    )
    assert good(acme.get("/v1/tenants/acme"))["held_micro"] == 0
    good(doors.owner.put("/v1/tenants/acme/limit", json={"limit_micro": 50_000_000}))
    good(acme.post("/v1/leases", json=TASK))


def test_a_suspended_tenant_gets_nothing_new(doors: Doors) -> None:
    acme = doors.tenant("acme")
    good(doors.owner.put("/v1/tenants/acme/suspended", json={"suspended": True}))
    assert "suspended" in refused(acme.post("/v1/leases", json=TASK), 403)["detail"]
    good(doors.owner.put("/v1/tenants/acme/suspended", json={"suspended": False}))
    good(acme.post("/v1/leases", json=TASK))


def test_a_quota_bounds_what_can_be_asked_for(doors: Doors) -> None:
    acme = doors.tenant("acme")
    good(doors.owner.put("/v1/tenants/acme/quotas/h100", json={"nominal": 1, "borrowing_limit": 0}))
    assert "quota of 1" in refused(acme.post("/v1/leases", json=TASK), 422)["detail"]
    assert refused(doors.owner.put("/v1/tenants/acme/quotas/nope", json={"nominal": 1}), 404)["field"] == "pool"


def test_remarks_tell_what_has_no_effect(doors: Doors) -> None:
    body = {**TASK, "workdir": ".", "resources": {"accelerators": "H100:1", "infra": "aws"}}
    remarks = good(doors.tenant("acme").post("/v1/leases", json=body))["remarks"]
    assert any("workdir" in remark for remark in remarks) and any("infra" in remark for remark in remarks)


def test_what_the_owner_wants_within_a_rack_is_refused_where_no_rack_is_known_and_shown_where_one_is(doors: Doors) -> None:
    good(doors.owner.put("/v1/pools/h100", json=CHEAP_TERMS))
    doors.tick()
    want = {"pool": "h100", "gpus": 2, "nodes": 2, "within": "rack"}
    for path in ("/v1/reclaim", "/v1/reclaim/preview"):
        assert refused(doors.owner.post(path, json=want), 422)["field"] == "within"
    assert good(doors.owner.post("/v1/reclaim/preview", json={**want, "within": "site"}))["free_now"]
    body = {"run": "x", "num_nodes": 2, "resources": {"accelerators": "H100:2"}}
    assert refused(doors.owner.post("/v1/jobs", json=body, params={"within": "pod"}), 422)["field"] == "within"
    here = [{"node": node["id"], "rack": "r1", "pod": "p"} for node in good(doors.owner.get("/v1/nodes"))["items"]]
    good(doors.owner.put("/v1/nodes/locations", json={"items": here}))
    job = good(doors.owner.post("/v1/jobs", json=body, params={"within": "pod"}))
    assert job["within"] == "pod" and good(doors.owner.post("/v1/reclaim/preview", json=want))["free_now"]
    doors.tick(3)
    assert good(doors.owner.get(f"/v1/jobs/{job['id']}"))["state"] == "running"


def test_the_owner_takes_back_and_the_preview_named_the_victim(everywhere: Doors) -> None:
    acme = everywhere.tenant("acme")
    good(everywhere.owner.put("/v1/pools/h100", json=CHEAP_TERMS))
    lease = good(acme.post("/v1/leases", json=TASK))["id"]
    everywhere.tick(3)
    want = {"pool": "h100", "gpus": 4, "nodes": 2}
    preview = good(everywhere.owner.post("/v1/reclaim/preview", json=want))
    assert [ending["lease"] for ending in preview["endings"]] == [lease] and not preview["free_now"]
    assert good(everywhere.owner.get("/v1/jobs"))["items"] == []
    hold = good(everywhere.owner.post("/v1/reclaim", json=want))
    assert hold["is_hold"] and hold["gpus"] == 8
    everywhere.tick()
    noticed = good(acme.get(f"/v1/leases/{lease}"))
    assert noticed["state"] == "noticed" and noticed["cause"] == "reclaimed" and hold["id"] in noticed["reason"]
    assert good(acme.delete(f"/v1/leases/{lease}"))["state"] == "stopping"
    everywhere.tick(4)
    assert good(everywhere.owner.get(f"/v1/jobs/{hold['id']}"))["state"] == "running"
    assert good(everywhere.owner.delete(f"/v1/jobs/{hold['id']}"))["state"] == "ended"
    assert good(acme.get("/v1/offers"))["items"][0]["gpus"] == 8


def test_the_owners_job_runs_and_is_cancelled(doors: Doors) -> None:
    job = good(doors.owner.post("/v1/jobs", json={"name": "big", "run": "x", "resources": {"accelerators": "H100:4"}}))
    doors.tick(2)
    running = good(doors.owner.get(f"/v1/jobs/{job['id']}"))
    assert running["state"] == "running" and running["delay_us"] is not None and running["placement"][0]["gpus"] == [0, 1, 2, 3]
    assert good(doors.owner.delete(f"/v1/jobs/{job['id']}"))["state"] == "stopping"
    doors.tick(3)
    assert good(doors.owner.get(f"/v1/jobs/{job['id']}"))["state"] == "ended"


def test_force_is_written_to_the_journal(doors: Doors) -> None:
    good(doors.owner.post("/v1/reclaim", json={"pool": "h100", "gpus": 1, "force": True}))
    events = good(doors.owner.get("/v1/events"))["items"]
    (forced,) = [event for event in events if event["kind"] == "owner.forced"]
    assert forced["data"]["by"].startswith("key-")


@pytest.mark.parametrize(
    ("body", "field"),
    [({"pool": "nope", "gpus": 1}, "lease.pool"), ({"pool": "h100", "gpus": 5}, "gpus"), ({"pool": "h100", "gpus": 0}, "gpus")],
)
def test_a_reclaim_that_makes_no_sense_is_refused(doors: Doors, body: Any, field: str) -> None:
    assert refused(doors.owner.post("/v1/reclaim", json=body), 422)["field"] == field


def test_a_node_that_is_taken_down_is_not_offered(doors: Doors) -> None:
    good(doors.owner.put("/v1/nodes/node-00000/down", json={"down": True, "reason": "fan"}))
    assert good(doors.owner.get("/v1/offers"))["items"][0]["gpus"] == 4
    (down,) = [node for node in good(doors.owner.get("/v1/nodes"))["items"] if node["down"]]
    assert down["reason"] == "fan"
    good(doors.owner.put("/v1/nodes/node-00000/down", json={"down": False}))
    assert good(doors.owner.get("/v1/offers"))["items"][0]["gpus"] == 8
    assert refused(doors.owner.put("/v1/nodes/nope/down", json={"down": True}), 404)["field"] == "node"


def test_the_owner_says_where_nodes_stand(everywhere: Doors) -> None:
    items = [{"node": "node-00000", "rack": "r1", "pod": "p1"}, {"node": "node-00001", "rack": "r2"}]
    good(everywhere.owner.put("/v1/nodes/locations", json={"items": items}))
    nodes = {node["id"]: node for node in good(everywhere.owner.get("/v1/nodes"))["items"]}
    assert [(node["rack"], node["pod"]) for node in nodes.values()] == [("r1", "p1"), ("r2", "")]
    for wrong, field in (("no-such", "node"), ("node-00000", "items.1.rack")):
        rack = "r/1" if wrong == "node-00000" else "r9"
        body = {"items": [{"node": "node-00000", "rack": "r7"}, {"node": wrong, "rack": rack}]}
        answer = everywhere.owner.put("/v1/nodes/locations", json=body)
        assert answer.status_code in {404, 422} and field in answer.text
    assert good(everywhere.owner.get("/v1/nodes"))["items"][0]["rack"] == "r1", "all of them or none"
    assert everywhere.tenant("acme").put("/v1/nodes/locations", json={"items": items}).status_code == 403
    told = [one for one in good(everywhere.owner.get("/v1/events"))["items"] if one["kind"] == "node.located"]
    assert [one["data"] for one in told] == [{"nodes": 2}], "what changes nothing is no event"


def test_a_pool_keeps_what_is_not_named(everywhere: Doors) -> None:
    before = good(everywhere.owner.get("/v1/pools/h100"))["settings"]
    change = {
        "promise": {"gpus": 3},
        "cost": {"wear_micro": 7},
        "lending_limit": 5,
        "terms": {"spot": {"grace_us": 30_000_000}},
    }
    after = good(everywhere.owner.put("/v1/pools/h100", json=change))["settings"]
    assert after["promise"] == before["promise"] | {"gpus": 3} and after["cost"] == before["cost"] | {"wear_micro": 7}
    assert after["terms"]["spot"] == before["terms"]["spot"] | {"grace_us": 30_000_000}
    assert after["terms"]["guarded"] == before["terms"]["guarded"] and after["lending_limit"] == 5
    assert good(everywhere.owner.put("/v1/pools/h100", json={"lending_limit": None}))["settings"]["lending_limit"] is None


@pytest.mark.parametrize(
    ("pool", "body", "status", "field"),
    [
        ("new", {}, 422, "gpu_model"),
        ("h100", {"pricing": "unifrom"}, 422, "pricing"),
        ("h100", {"forecast": "oracle"}, 422, "forecast"),
        ("h100", {"currency": "EUR"}, 409, "currency"),
        ("h100", {"pric": 1}, 422, "pric"),
        ("h100", {"reserve_quantile": 2}, 422, "reserve_quantile"),
    ],
)
def test_a_pool_setting_that_makes_no_sense_is_refused(doors: Doors, pool: str, body: Any, status: int, field: str) -> None:
    problem = refused(doors.owner.put(f"/v1/pools/{pool}", json=body), status)
    assert problem["field"] == field and (problem["hint"] or "less than or equal to 1" in problem["detail"])


def test_the_books_and_the_invoice_agree(doors: Doors) -> None:
    acme = doors.tenant("acme")
    lease = good(acme.post("/v1/leases", json=TASK))["id"]
    doors.tick(3)
    doors.engine.finish(RunId(f"{lease}.1"))
    doors.tick(4)
    doors.plane.loops.settle()
    draft = good(acme.get("/v1/invoices/draft"))
    balance = good(acme.get("/v1/ledger/accounts"))["items"][0]["balance_micro"]
    assert draft["due_micro"] == balance > 0 and draft["invoice"]["issued_us"] is None
    assert "acme" in acme.get("/v1/invoices/draft/page").text
    period = {"tenant": "acme", "from_us": 0, "to_us": draft["invoice"]["to_us"]}
    issued = good(doors.owner.post("/v1/invoices", json=period))
    assert issued["due_micro"] == balance and good(doors.owner.post("/v1/invoices", json=period)) == issued
    name = issued["invoice"]["id"]
    assert good(acme.get(f"/v1/invoices/{name}")) == issued and name in acme.get(f"/v1/invoices/{name}/page").text
    refused(doors.tenant("other").get(f"/v1/invoices/{name}"), 404)
    assert good(acme.get("/v1/invoices"))["items"] == [issued]
    assert good(doors.owner.get("/v1/ledger/check")) == {"balanced": True, "findings": []}
    (statement,) = good(doors.owner.get("/v1/statement"))["items"]
    assert statement["total"]["revenue_micro"] == balance
    for name in ("beancount", "csv", "focus"):
        assert "acme" in doors.owner.get("/v1/ledger/export", params={"format": name}).text.lower()
    page = good(doors.owner.get("/v1/ledger/transfers"))
    assert page["last"] == page["items"][-1]["seq"]
    future = period | {"to_us": 4_000_000_000_000_000}
    assert refused(doors.owner.post("/v1/invoices", json=future), 422)["field"] == "to"
