"""The accounts as a table of years: one row a line, in thousands or millions where amounts are large, the unit said once."""

from dataclasses import dataclass

from sublet.advice.finance.report import Report
from sublet.core.finance.accounts import Flows
from sublet.core.units import MICRO

LINES: tuple[tuple[str, str, str, int], ...] = (
    # what it is called, the field, what it is, and whether it is added, taken off, or a sum
    ("leased GPU-hours", "leased_gpu_h", "", 2),
    ("revenue", "revenue_micro", "GPU-hours at their class's price", 1),
    ("refunds", "refund_micro", "given back after reclaims", -1),
    ("credits", "credit_micro", "owed for broken guarantees", -1),
    ("energy", "energy_micro", "beyond idling", -1),
    ("wear", "wear_micro", "", -1),
    ("operations", "operations_micro", "support, network, wipe and check", -1),
    ("margin", "margin_micro", "as the live statement has it", 0),
    ("selling", "selling_micro", "sales, payment, bad debts", -1),
    ("programme", "programme_micro", "people and software that lease; the setup", -1),
    ("contribution", "contribution_micro", "incremental view: what reaches the owner's income", 0),
    ("cash that leasing brings", "leasing_cash_micro", "contribution less what tenants still owe", 2),
    ("depreciation", "depreciation_micro", "of the leased hours", -1),
    ("idle energy, upkeep, staff", "standing_micro", "of the leased hours", -1),
    ("left at full cost", "full_margin_micro", "full view", 0),
    ("capex", "capex_micro", "bought in these months", -1),
    ("residual received", "disposal_micro", "", 1),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a sum is set apart."""

    label: str
    says: str
    cells: tuple[str, ...]
    kind: str  # plain | sum | hours


def unit_of(report: Report) -> tuple[float, str]:
    """Micro-units of one shown unit, and its name."""
    most = max(abs(line.flows.revenue_micro) for line in report.years)
    for micro, name in ((1e9 * MICRO, "bn"), (1e6 * MICRO, "M"), (1e3 * MICRO, "thousand")):
        if most >= 20 * micro:
            return micro, f"{report.scenario.currency} {name}"
    return MICRO, report.scenario.currency


def year_table(report: Report) -> tuple[Row, ...]:
    """Years beside each other, and all of them together."""
    columns = [line.flows for line in report.years] + [report.total]
    micro, _ = unit_of(report)
    made = [
        Row(
            label, says, tuple(_cell(flows, field, sign, micro) for flows in columns), {0: "sum", 2: "hours"}.get(sign, "plain")
        )
        for label, field, says, sign in LINES
        if sign in {0, 2} or any(getattr(flows, field) for flows in columns)
    ]
    assets = tuple(f"{line.assets_micro / micro:,.1f}" for line in report.years)
    cash = tuple(f"{line.cash_micro / micro:,.1f}" for line in report.years)
    recovered = [line.recovered_bps for line in report.years]
    made += [
        Row("assets at the end", "book value of the whole fleet", (*assets, ""), "sum"),
        Row("cash at the end", "from 0: receipts less all that the whole fleet costs and is bought for", (*cash, ""), "sum"),
        Row("depreciation recovered", "contribution of the depreciation of the leased hours",
            (*map(_percent, recovered), _percent(report.sums.depreciation_recovered_bps)), "plain"),
    ]  # fmt: skip
    if report.owner is not None:
        lifts = tuple("-" if line.lift_bps is None else f"{line.lift_bps:+.1f} bps" for line in report.years)
        made.append(
            Row("owner's operating margin", "against its own year", (*lifts, f"{report.owner.mean_bps:+.1f} bps"), "plain")
        )
    return tuple(made)


def _cell(flows: Flows, field: str, sign: int, micro: float) -> str:
    value = getattr(flows, field)
    if field == "leased_gpu_h":
        return f"{value:,}"
    shown = value / micro * (-1 if sign == -1 else 1)
    text = f"{shown:,.1f}"
    return "0.0" if text == "-0.0" else text


def _percent(bps: int | None) -> str:
    return "-" if bps is None else f"{bps / 100:,.0f} %"
