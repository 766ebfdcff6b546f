"""`sublet block` and `sublet market`, as JSON for programs and as text for people."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from command_line import Sublet
from doors import Doors, good

BLOCKS = {"classes": ["spot"], "promise": {"gpus": 4}, "blocks": {"limit": 1}}


def sells(doors: Doors) -> str:
    (pool,) = good(doors.owner.get("/v1/pools"))["items"]
    good(doors.owner.put(f"/v1/pools/{pool['settings']['id']}", json=BLOCKS))
    return str(pool["settings"]["id"])


def full_hour(ahead: int) -> str:
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=ahead)
    return at.strftime("%Y-%m-%dT%H:%M")


def auction(doors: Doors) -> None:
    doors.plane.loops._auctioneer._held.clear()
    doors.tick()


def test_a_block_is_bought_looked_at_and_given_back(as_acme: Sublet, doors: Doors) -> None:
    sells(doors)
    terms = f"{{start: {full_hour(3)}, hours: 4, max_price: $2}}"  # no class: it is a block
    Path("train.yaml").write_text(f"name: train\nrun: python train.py\nlease: {terms}\n")
    quote = as_acme("block", "quote", "train.yaml", "--json").json
    assert quote["wins"] and quote["nodes"] == 1
    shown = as_acme("block", "quote", "train.yaml").out
    assert "what the block costs" in shown and "it wins" in shown
    refusal = as_acme("block", "buy", "train.yaml", "--json")
    assert refusal.code == 2 and "--yes" in refusal.err
    placed = as_acme("block", "buy", "train.yaml", "--yes", "--json").json
    assert placed["state"] == "resting"
    second = as_acme("block", "buy", "train.yaml", "--yes", "-s", f"lease.start={full_hour(9)}")
    assert "resting" in second.out
    auction(doors)
    orders = as_acme("block", "ls", "--json").json
    assert [order["state"] for order in orders] == ["won", "won"]
    assert placed["id"] in as_acme("block", "ls").out
    offered = as_acme("block", "sell", placed["id"], "--start", full_hour(5), "--min-price", "1.5", "--json").json
    assert offered["state"] == "resting" and offered["limit_micro"] == 1_500_000
    assert "cancelled" in as_acme("block", "cancel", offered["id"]).out
    assert "bought by the owner" in as_acme("block", "sell", placed["id"], "--yes").out
    assert as_acme("block", "cancel", placed["id"]).code == 2
    assert len(as_acme("block", "ls", "--all", "--json").json) == 4


def test_the_market_is_shown_by_class_and_delivery_window(as_acme: Sublet, doors: Doors) -> None:
    pool = sells(doors)
    as_acme("block", "buy", "--run", "true", "--yes", "-s", f"lease.start={full_hour(3)}", "-s", "lease.hours=2")
    auction(doors)
    depth = as_acme("market", "depth", pool, "--json").json
    assert depth["windows"] and depth["products"] == []
    told = as_acme("market", "depth", pool).out
    assert "nodes left" in told and "no bid waits" in told
    good(doors.owner.put(f"/v1/pools/{pool}", json={"price_period_us": 0}))
    doors.tick(3)
    assert len(as_acme("market", "prices", pool, "--json").json) >= 2
    assert "price/GPU-h" in as_acme("market", "prices", pool, "--from", "2020-01-01").out
    assert "has not moved" in as_acme("market", "prices", pool, "--to", "2020-01-01").out
    assert as_acme("market", "depth", "nowhere").code == 2
