"""Blocks and the market through the API: order, look, cancel, give back; depth, quotes, history."""

from typing import Any

import httpx
import pytest

from doors import TASK, Doors, good, refused

HOUR_US = 3_600_000_000
BLOCKS = {"classes": ["spot"], "promise": {"gpus": 4}, "blocks": {"limit": 1}}


def sells(doors: Doors) -> str:
    """The pool, once it sells blocks."""
    (pool,) = good(doors.owner.get("/v1/pools"))["items"]
    name = str(pool["settings"]["id"])
    good(doors.owner.put(f"/v1/pools/{name}", json=BLOCKS))
    return name


def start_us(doors: Doors, hours: int) -> int:
    return (doors.plane.clock.now_us() // HOUR_US + hours) * HOUR_US


def task(doors: Doors, hours: int = 3, *, long: int = 2, **terms: Any) -> dict[str, Any]:
    lease = {"class": "block", "start": start_us(doors, hours), "hours": long, "max_price": "$2", **terms}
    return {"name": "train", "run": "python train.py", "resources": {"accelerators": "H100:4"}, "lease": lease}


def auction(doors: Doors) -> None:
    """The next auction is held now."""
    doors.plane.loops._auctioneer._held.clear()
    doors.tick()


def order(client: httpx.Client, doors: Doors, **more: Any) -> dict[str, Any]:
    return good(client.post("/v1/blocks", json=task(doors, **more)))


def test_an_order_is_quoted_placed_won_and_seen_by_its_tenant_alone(everywhere: Doors) -> None:
    sells(everywhere)
    acme, beta = everywhere.tenant("acme"), everywhere.tenant("beta")
    quote = good(acme.post("/v1/blocks/quote", json=task(everywhere)))
    assert quote["wins"] and quote["nodes_left"] == 1 and quote["price_micro"] == quote["reserve_micro"]
    assert quote["hold_micro"] > quote["total_micro"] and quote["sell_back_bps"] == 5_000
    assert good(acme.get("/v1/blocks"))["items"] == [], "a quote writes nothing"
    placed = order(acme, everywhere)
    assert (placed["state"], placed["side"], placed["nodes"], placed["gpus"], placed["lease"]) == ("resting", "buy", 1, 4, None)
    auction(everywhere)
    won = good(acme.get(f"/v1/blocks/{placed['id']}"))
    assert won["state"] == "won" and won["price_micro"] == quote["price_micro"]
    lease = good(acme.get(f"/v1/leases/{won['lease']}"))
    assert lease["state"] == "queued" and lease["class"] == "block" and lease["not_before_us"] == won["start_us"]
    assert good(acme.get("/v1/tenants/acme"))["held_micro"] > quote["total_micro"]
    assert good(beta.get("/v1/blocks"))["items"] == []
    refused(beta.get(f"/v1/blocks/{placed['id']}"), 404)
    refused(beta.delete(f"/v1/blocks/{placed['id']}"), 404)
    refused(beta.post(f"/v1/blocks/{placed['id']}/sell", json={}), 404)
    kinds = [event["kind"] for event in good(acme.get("/v1/events"))["items"]]
    assert kinds.count("block.placed") == kinds.count("block.won") == 1
    assert good(everywhere.owner.get("/v1/blocks", params={"state": "won"}))["items"] == [won]


def test_a_site_that_moves_before_the_auction_sells_no_block_to_data_that_may_not_be_there(everywhere: Doors) -> None:
    sells(everywhere)
    acme = everywhere.tenant("acme")
    facts = {"operator": "Rhein", "operator_country": "DE"}
    good(everywhere.owner.put("/v1/sites/local", json={"country": "DE", **facts}))
    good(everywhere.owner.put("/v1/tenants/acme/country", json={"country": "DE"}))
    bound = order(acme, everywhere, residency="EU")
    good(everywhere.owner.put("/v1/sites/local", json={"country": "CH"}))
    auction(everywhere)
    lost = good(acme.get(f"/v1/blocks/{bound['id']}"))
    assert lost["state"] == "resting" and lost["lease"] is None
    assert "may not be at local" in lost["reason"] and "Switzerland (CH)" in lost["reason"]
    assert good(acme.get("/v1/tenants/acme"))["held_micro"] == 0 and good(acme.get("/v1/leases"))["items"] == []
    free = order(acme, everywhere)
    auction(everywhere)
    assert good(acme.get(f"/v1/blocks/{free['id']}"))["state"] == "won", "the nodes were not lost with it"
    assert good(everywhere.owner.get("/v1/ledger/check"))["balanced"]


def test_an_order_that_is_sent_twice_is_placed_once(everywhere: Doors) -> None:
    sells(everywhere)
    acme, body = everywhere.tenant("acme"), task(everywhere)
    first = acme.post("/v1/blocks", json=body, headers={"Idempotency-Key": "block-1"})
    again = acme.post("/v1/blocks", json=body, headers={"Idempotency-Key": "block-1"})
    assert good(first) == good(again) and again.headers["Idempotency-Replayed"] == "true"
    assert len(good(acme.get("/v1/blocks"))["items"]) == 1


def test_the_book_comes_in_pages_and_orders_can_be_cancelled(doors: Doors) -> None:
    sells(doors)
    acme = doors.tenant("acme")
    placed = [order(acme, doors, hours=3 + i)["id"] for i in range(5)]
    first = good(acme.get("/v1/blocks", params={"limit": 3}))
    rest = good(acme.get("/v1/blocks", params={"limit": 3, "after": first["next"]}))
    seen = [(one["placed_us"], one["id"]) for one in first["items"] + rest["items"]]
    assert seen == sorted(seen, reverse=True) and {name for _, name in seen} == set(placed) and rest["next"] is None
    assert good(acme.delete(f"/v1/blocks/{placed[0]}"))["state"] == "cancelled"
    assert good(acme.delete(f"/v1/blocks/{placed[0]}"))["state"] == "cancelled"
    auction(doors)
    assert good(acme.get(f"/v1/blocks/{placed[0]}"))["state"] == "cancelled"
    problem = refused(acme.delete(f"/v1/blocks/{placed[1]}"), 409)
    assert "sublet block sell" in problem["hint"]


@pytest.mark.parametrize(
    ("change", "field", "hint"),
    [
        ({"lease": {"class": "spot"}}, "lease.class", "sublet launch"),
        ({"lease": {"class": "block", "hours": 2}}, "lease.start", "hours: 12h"),
        ({"lease": {"class": "block", "start": "2026-13-01"}}, "lease.start", None),
        ({"num_nodes": 2}, "num_nodes", "fewer nodes"),
        ({"resources": {"accelerators": "H100:2"}}, "resources.accelerators", "H100:4"),
        ({"run": None}, "run", None),
    ],
)
def test_what_cannot_be_ordered_is_refused_with_the_way_out(doors: Doors, change: Any, field: str, hint: str | None) -> None:
    sells(doors)
    problem = refused(doors.tenant("acme").post("/v1/blocks", json=task(doors) | change), 422)
    assert problem["field"] == field
    assert hint is None or hint in problem["hint"]


def test_blocks_are_not_leased_at_once_and_only_they_have_a_start(doors: Doors) -> None:
    sells(doors)
    acme = doors.tenant("acme")
    problem = refused(acme.post("/v1/leases", json=task(doors)), 422)
    assert problem["field"] == "lease.class" and "sublet block buy" in problem["hint"]
    spot = TASK | {"lease": {"start": start_us(doors, 2)}}
    assert refused(acme.post("/v1/leases", json=spot), 422)["field"] == "lease.start"


def test_a_block_is_given_back_to_the_owner_or_offered_to_others(doors: Doors) -> None:
    sells(doors)
    acme = doors.tenant("acme")
    bought = order(acme, doors, hours=4, long=4)["id"]
    auction(doors)
    resting = good(acme.post(f"/v1/blocks/{bought}/sell", json={"min_price": "$1.50", "start": start_us(doors, 6)}))
    assert (resting["side"], resting["state"], resting["limit_micro"]) == ("sell", "resting", 1_500_000)
    refused(acme.post(f"/v1/blocks/{bought}/sell", json={}), 409)
    assert good(acme.delete(f"/v1/blocks/{resting['id']}"))["state"] == "cancelled"
    assert refused(acme.post(f"/v1/blocks/{bought}/sell", json={"start": start_us(doors, 5) + 1}), 422)["field"] == "start"
    sold = good(acme.post(f"/v1/blocks/{bought}/sell", json={}))
    assert sold["state"] == "won" and "50 %" in sold["reason"]
    doors.tick()
    doors.plane.loops.settle()
    due = good(acme.get("/v1/invoices/draft", params={"from_us": 0, "to_us": start_us(doors, 1)}))
    invoice = due["invoice"]
    assert invoice["totals"]["block_micro"] == due["due_micro"] > 0
    names = {line["purpose"] for lease in invoice["leases"] for attempt in lease["attempts"] for line in attempt["adjustments"]}
    assert names == {"forgone", "resale"}


def test_depth_adds_up_what_is_wanted_and_betrays_nobody(doors: Doors) -> None:
    pool = sells(doors)
    acme, beta = doors.tenant("acme"), doors.tenant("beta")
    for i in range(4):
        order(acme if i % 2 else beta, doors, hours=4, max_price=f"${1 + i / 1000}")
    bids = [TASK | {"lease": {"max_price": f"{1 + i}"}} for i in range(2)]
    for bid in bids:
        good(acme.post("/v1/leases", json=bid | {"resources": {"accelerators": "H100:4"}, "num_nodes": 2}))
    good(doors.owner.post("/v1/jobs", json={"run": "x", "num_nodes": 2, "resources": {"accelerators": "H100:4"}}))
    doors.tick()
    found = good(beta.get(f"/v1/market/{pool}/depth"))
    (spot,) = found["products"]
    (level,) = spot["levels"]
    assert spot["class"] == "spot" and level == {"price_micro": None, "gpus": 16, "gpus_at_or_above": 16, "bids": 2}
    windows = found["windows"]
    assert windows[0]["to_us"] == windows[1]["from_us"] and {window["nodes_left"] for window in windows} == {0, 1}
    asked = good(beta.get(f"/v1/market/{pool}/depth", params={"from_us": start_us(doors, 4), "to_us": start_us(doors, 6)}))
    (fought,) = asked["windows"]
    assert fought["nodes_sold"] == 1 and fought["nodes_left"] == 0, "the dearest of them has it"
    assert [(one["price_micro"], one["bids"]) for one in fought["wanted"]] == [(1_000_000, 3)]
    refused(beta.get("/v1/market/nowhere/depth"), 404)


def test_anybody_may_ask_what_a_block_would_take(doors: Doors) -> None:
    pool = sells(doors)
    acme = doors.tenant("acme")
    asked = {"nodes": 1, "start_us": start_us(doors, 4), "end_us": start_us(doors, 6)}
    free = good(acme.get(f"/v1/market/{pool}/quote", params=asked))
    assert free["wins"] and free["limit_micro"] is None and free["price_micro"] == free["reserve_micro"]
    order(acme, doors, hours=4, max_price="$1.25")
    assert good(acme.get(f"/v1/market/{pool}/quote", params=asked))["price_micro"] == 1_250_000, "it would put that order out"
    auction(doors)
    sold = good(acme.get(f"/v1/market/{pool}/quote", params=asked))
    assert not sold["wins"] and sold["price_micro"] is None and sold["nodes_left"] == 0
    refused(acme.get(f"/v1/market/{pool}/quote", params=asked | {"end_us": asked["start_us"]}), 422)


def test_the_price_history_comes_in_pages(doors: Doors) -> None:
    pool = sells(doors)
    good(doors.owner.put(f"/v1/pools/{pool}", json={"price_period_us": 0, "smoothing_bps": 1_000}))
    doors.tick(5)
    acme = doors.tenant("acme")
    first = good(acme.get(f"/v1/market/{pool}/prices", params={"limit": 2}))
    rest = good(acme.get(f"/v1/market/{pool}/prices", params={"after": first["next"]}))
    prices = [point["price_micro"] for point in first["items"] + rest["items"]]
    assert len(prices) >= 4 and prices == sorted(prices, reverse=True) and first["items"][0]["floor_micro"] == 96_000
    until = first["items"][1]["at_us"]
    before = good(acme.get(f"/v1/market/{pool}/prices", params={"from_us": 0, "to_us": until}))
    assert before["items"] == first["items"][:1]


@pytest.mark.parametrize(
    ("blocks", "field"),
    [
        ({"lead_us": 1_000_000}, "blocks.lead_us"),
        ({"window_us": 60_000_000}, "blocks.window_us"),
        ({"length_max_us": 1_000_000}, "blocks.length_min_us"),
        ({"window_us": 100_000_000, "length_min_us": 100_000_000}, "blocks.ahead_us"),
        ({"sell_back_bps": 10_001}, "blocks.sell_back_bps"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(doors: Doors, blocks: dict[str, int], field: str) -> None:
    pool = sells(doors)
    assert refused(doors.owner.put(f"/v1/pools/{pool}", json={"blocks": blocks}), 422)["field"] == field
    settings = good(doors.tenant("acme").get(f"/v1/pools/{pool}"))["settings"]["blocks"]
    assert settings["limit"] == 1 and settings["sell_back_bps"] == 5_000, "tenants see the terms, which stand as they were"
