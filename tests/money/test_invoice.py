"""Invoices: complete, exact, issued once, readable."""

import io
from dataclasses import replace

import pytest
from books import HOUR_US, SECOND_US, T0, World, busy_day, dollars, queued
from rich.console import Console

from sublet.app.export.invoice_page import invoice_page
from sublet.app.export.invoice_text import invoice_text
from sublet.app.invoicing import draft, fetch, issue, listed
from sublet.app.statement import statement
from sublet.core.errors import Conflict, Invalid, NotFound
from sublet.core.ids import TenantId
from sublet.core.invoice import Invoice, merged
from sublet.core.terms import CostSheet
from sublet.core.units import charge_micro
from sublet.core.usage import UsageKind
from sublet.store.database import Database

ACME, BETA = TenantId("acme"), TenantId("beta")


@pytest.fixture
def world(database: Database) -> World:
    made = World(database)
    made.open({"acme": None, "beta": None})
    return made


def shown(invoice: Invoice) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(invoice_text(invoice))
    return console.export_text()


def test_an_invoice_adds_up_to_the_ledger(world: World) -> None:
    end = busy_day(world)
    invoice = issue(world.db, ACME, from_us=T0, to_us=end, now_us=end)
    totals = invoice.totals
    assert totals.due_micro == world.owed("acme")
    assert totals.due_micro == sum(bill.totals.due_micro for bill in invoice.leases) - dollars(0.5)
    assert totals.usage_micro == sum(
        line.amount_micro for bill in invoice.leases for attempt in bill.attempts for line in attempt.lines
    )
    assert totals.credit_micro == -charge_micro(8 * 4 * HOUR_US, 1_600_000)
    assert totals.free_gpu_us == (2 + 8) * 120 * SECOND_US
    (spot, guarded) = invoice.leases
    assert [attempt.attempt for attempt in spot.attempts] == [1, 2]
    assert [attempt.cause for attempt in guarded.attempts] == ["reclaimed"]
    assert guarded.totals.usage_micro + guarded.totals.refund_micro == 0


def test_issuing_twice_gives_the_same_invoice_and_it_stands(world: World) -> None:
    end = busy_day(world)
    first = issue(world.db, ACME, from_us=T0, to_us=end, now_us=end)
    world.add(queued("l9", requested_us=T0 + 1))
    assert issue(world.db, ACME, from_us=T0, to_us=end, now_us=end + HOUR_US) == first
    assert draft(world.db, ACME, from_us=T0, to_us=end) == first
    assert fetch(world.db, first.id) == fetch(world.db, first.id, tenant=ACME) == first
    assert [one.id for one in listed(world.db)] == [one.id for one in listed(world.db, tenant=ACME)] == [first.id]
    assert first.issued_us is not None
    assert listed(world.db, after=(first.issued_us, first.id)) == listed(world.db, tenant=BETA) == []
    with pytest.raises(NotFound):
        fetch(world.db, first.id, tenant=BETA)


def test_periods_that_touch_share_nothing_and_leave_nothing_out(world: World) -> None:
    end = busy_day(world)
    cut = T0 + 65 * 60 * SECOND_US + SECOND_US // 2  # inside an interval
    parts = [draft(world.db, ACME, from_us=T0, to_us=cut), draft(world.db, ACME, from_us=cut, to_us=end)]
    whole = draft(world.db, ACME, from_us=T0, to_us=end)
    for name in ("usage_micro", "refund_micro", "credit_micro", "correction_micro", "billed_gpu_us", "free_gpu_us"):
        assert sum(getattr(part.totals, name) for part in parts) == getattr(whole.totals, name)


def test_a_period_is_issued_when_it_is_over_and_booked(world: World) -> None:
    world.add(queued("l1"))
    world.grant(world.get("l1"), at=T0)
    end = T0 + HOUR_US
    with pytest.raises(Invalid, match="not over yet"):
        issue(world.db, ACME, from_us=T0, to_us=end, now_us=end - 1)
    with pytest.raises(Invalid, match="ends before"):
        issue(world.db, ACME, from_us=end, to_us=T0, now_us=end)
    with pytest.raises(Conflict, match="not booked yet"):
        issue(world.db, ACME, from_us=T0, to_us=end, now_us=end)
    world.meter("l1", at=end)
    with pytest.raises(Conflict, match="not booked yet"):
        issue(world.db, ACME, from_us=T0, to_us=end, now_us=end)
    world.bill(at=end)
    invoice = issue(world.db, ACME, from_us=T0, to_us=end, now_us=end)
    assert invoice.totals.usage_micro == dollars(3.2)
    assert invoice.leases[0].attempts[0].cause is None
    with pytest.raises(Conflict, match="covers a part"):
        issue(world.db, ACME, from_us=T0, to_us=end - SECOND_US, now_us=end)


def test_an_invoice_needs_a_tenant(world: World) -> None:
    with pytest.raises(NotFound, match="there is no tenant nobody"):
        draft(world.db, TenantId("nobody"), from_us=T0, to_us=T0 + HOUR_US)


def test_touching_lines_of_one_price_are_read_as_one(world: World) -> None:
    end = busy_day(world)
    invoice = draft(world.db, ACME, from_us=T0, to_us=end)
    lines = invoice.leases[0].attempts[0].lines
    joined = merged(lines)
    assert [line.kind for line in joined] == [UsageKind.BILLED, UsageKind.GRACE]
    assert (joined[0].intervals, joined[0].amount_micro) == (len(lines) - 1, sum(line.amount_micro for line in lines))


def test_the_terminal_shows_every_part(world: World) -> None:
    end = busy_day(world)
    text = shown(issue(world.db, ACME, from_us=T0, to_us=end, now_us=end))
    for part in (
        "Acme (acme)",
        "=train <b>llama</b>",
        "grace after the notice, free",
        "reclaimed by the owner",
        "refund",
        "credit",
    ):
        assert part in text
    assert "in your favour" in text
    assert "Draft invoice" in shown(draft(world.db, BETA, from_us=T0, to_us=end))


def test_the_page_is_one_safe_file(world: World) -> None:
    end = busy_day(world)
    page = invoice_page(issue(world.db, ACME, from_us=T0, to_us=end, now_us=end))
    assert "=train &lt;b&gt;llama&lt;/b&gt;" in page
    assert "<b>llama" not in page
    assert "http" not in page
    assert "src=" not in page
    assert "@media print" in page and 'name="viewport"' in page
    empty = draft(world.db, ACME, from_us=T0 - HOUR_US, to_us=T0)
    assert "Nothing was leased" in invoice_page(empty)
    assert "0.000000" in shown(empty)


def test_the_statement_says_what_leasing_brought(world: World) -> None:
    world.pool = replace(world.pool, cost=CostSheet())
    end = busy_day(world)
    (found,) = statement(world.db, from_us=T0, to_us=end)
    (pool,) = found.pools
    assert found.total == replace(pool, pool=found.total.pool)
    assert pool.revenue_micro == world.account("income:leases:h100").credits_micro
    assert pool.refund_micro == world.account("income:refunds:h100").debits_micro
    assert pool.credit_micro == world.account("expenses:credits:h100").debits_micro
    # 750 W x 1.1 x 0.08 USD/kWh, 0.01 of wear and 0.02 of operations: 0.096 USD for each of the leased GPU-hours
    assert pool.cost_micro == pytest.approx(pool.leased_gpu_us * 96_000 / HOUR_US, abs=3)
    assert pool.margin_micro == pool.revenue_micro - pool.refund_micro - pool.credit_micro - pool.cost_micro
    assert pool.margin_bps is not None and pool.margin_bps < 0  # the credit was dearer than the day
    assert pool.depreciation_recovered_bps == pool.margin_micro * 10_000 // pool.depreciation_micro
    assert pool.per_gpu_hour_micro(pool.cost_micro) == pytest.approx(96_000, abs=1)
    (empty,) = statement(world.db, from_us=end, to_us=end + HOUR_US)
    assert (empty.total.margin_bps, empty.total.depreciation_recovered_bps, empty.total.per_gpu_hour_micro(0)) == (None,) * 3
