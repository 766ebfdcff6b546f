"""The accounts month by month at given prices: what was earned, what it cost in both views, and where assets and cash stand.

**Two views of cost.** *Incremental*: what leasing adds (energy beyond idling, wear, operations), as the live statement has it.
*Full*: that, what leasing needs beside GPUs, and the leased hours' part of what runs either way (depreciation, idle energy,
upkeep, staff). The first decides whether to lease what stands there, the second whether to buy more.

**They tie out.** At the end of every month assets + receivable + cash = opening assets + all results so far, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

from sublet.core.finance.amounts import rounded, share_of
from sublet.core.finance.tables import Months

Price = int | Fraction
"""Micro-units of a GPU-hour; a fraction where a break-even lies between two of them."""


@dataclass(frozen=True, slots=True)
class Flows:
    """What flows in a month, or in several. Micro-units and whole GPU-hours."""

    capacity_gpu_h: int = 0
    leased_gpu_h: int = 0
    revenue_micro: int = 0
    refund_micro: int = 0
    credit_micro: int = 0
    energy_micro: int = 0
    wear_micro: int = 0
    operations_micro: int = 0
    selling_micro: int = 0
    programme_micro: int = 0
    depreciation_micro: int = 0  # of the leased hours
    standing_micro: int = 0  # idle energy, upkeep and staff of the leased hours
    fleet_depreciation_micro: int = 0
    fleet_standing_micro: int = 0
    capex_micro: int = 0
    disposal_micro: int = 0
    received_micro: int = 0

    @property
    def cost_micro(self) -> int:
        """What leasing added to the owner's costs, as in the live statement."""
        return self.energy_micro + self.wear_micro + self.operations_micro

    @property
    def net_revenue_micro(self) -> int:
        """Revenue less refunds and credits."""
        return self.revenue_micro - self.refund_micro - self.credit_micro

    @property
    def margin_micro(self) -> int:
        """Revenue less refunds, credits and cost, as in the live statement."""
        return self.net_revenue_micro - self.cost_micro

    @property
    def contribution_micro(self) -> int:
        """Margin less what leasing needs beside GPUs: what reaches the owner's operating income, and the cash."""
        return self.margin_micro - self.selling_micro - self.programme_micro

    @property
    def incremental_micro(self) -> int:
        """Incremental cost: all that would not be spent without leasing, refunds and credits apart."""
        return self.cost_micro + self.selling_micro + self.programme_micro

    @property
    def full_cost_micro(self) -> int:
        """Incremental cost and the leased hours' part of what runs either way."""
        return self.incremental_micro + self.depreciation_micro + self.standing_micro

    @property
    def full_margin_micro(self) -> int:
        """What is left after the full cost."""
        return self.net_revenue_micro - self.full_cost_micro

    @property
    def result_micro(self) -> int:
        """Contribution less what the whole fleet costs either way."""
        return self.contribution_micro - self.fleet_depreciation_micro - self.fleet_standing_micro

    @property
    def leasing_cash_micro(self) -> int:
        """What leasing alone does to the cash."""
        return self.received_micro - self.refund_micro - self.credit_micro - self.incremental_micro

    @property
    def cash_flow_micro(self) -> int:
        """What the month does to the cash: receipts and what is paid at once."""
        return self.leasing_cash_micro - self.fleet_standing_micro - self.capex_micro + self.disposal_micro


@dataclass(frozen=True, slots=True)
class Month:
    """A month: its flows, and how things stand at its end."""

    number: int
    gpus: int
    price: Price
    flows: Flows
    assets_micro: int
    receivable_micro: int
    cash_micro: int
    equity_micro: int  # opening assets and all results so far

    @property
    def imbalance_micro(self) -> int:
        """0, or our mistake."""
        return self.assets_micro + self.receivable_micro + self.cash_micro - self.equity_micro


@dataclass(frozen=True, slots=True)
class Sale:
    """What one class brings in a month."""

    revenue_micro: int
    refund_micro: int
    credit_micro: int
    selling_micro: int


def sale(months: Months, month: int, kind: int, price: Price) -> Sale:
    """A class in a month at a list price: everything follows from the revenue, each line rounded to a micro-unit."""
    at_list = rounded(int(months.list_h[month, kind]) * Fraction(price))
    price_ppm, refund_ppm, credit_ppm, _ = (int(value) for value in months.terms[kind])
    revenue = share_of(at_list, price_ppm)
    return Sale(revenue, share_of(revenue, refund_ppm), share_of(revenue, credit_ppm), share_of(revenue, months.selling_ppm))


def accounts_of(months: Months, prices: Sequence[Price]) -> tuple[Month, ...]:
    """The accounts at one list price a month."""
    made: list[Month] = []
    received: list[int] = []
    receivable = cash = 0
    equity = months.opening
    for month, price in enumerate(prices):
        flows = _flows(months, month, price)
        received.append(flows.revenue_micro)
        due = month - months.payment_months
        paid = received[due] if due >= 0 else 0
        flows = _with_receipts(flows, paid)
        receivable += flows.revenue_micro - paid
        cash += flows.cash_flow_micro
        equity += flows.result_micro
        made.append(Month(month, int(months.gpus[month]), price, flows, int(months.assets[month]), receivable, cash, equity))
    assert all(one.imbalance_micro == 0 for one in made), "the accounts must tie out"
    return tuple(made)


def total(flows: Sequence[Flows]) -> Flows:
    """Several months together."""
    return Flows(**{one.name: sum(getattr(flow, one.name) for flow in flows) for one in fields(Flows)})


def _flows(months: Months, month: int, price: Price) -> Flows:
    """What flows in a month, receipts apart. Where a class stays below its floor, nothing of it is leased."""
    sums = dict.fromkeys(("revenue", "refund", "credit", "selling", "energy", "wear", "operations", "leased"), 0)
    for kind in range(months.terms.shape[0]):
        sold = sale(months, month, kind, price)
        energy, wear, operations = (int(rows[month, kind]) for rows in (months.energy, months.wear, months.operations))
        left = sold.revenue_micro - sold.refund_micro - sold.credit_micro - sold.selling_micro
        if months.keeps_floor and left < energy + wear + operations:
            continue
        for name, amount in (
            ("revenue", sold.revenue_micro), ("refund", sold.refund_micro), ("credit", sold.credit_micro),
            ("selling", sold.selling_micro), ("energy", energy), ("wear", wear), ("operations", operations),
            ("leased", int(months.leased_h[month, kind])),
        ):  # fmt: skip
            sums[name] += amount
    could = int(months.leased_h[month].sum())
    part = Fraction(sums["leased"], could) if could else Fraction(0)
    return Flows(
        capacity_gpu_h=int(months.capacity_h[month]),
        leased_gpu_h=sums.pop("leased"),
        **{f"{name}_micro": amount for name, amount in sums.items()},
        programme_micro=int(months.programme[month]),
        depreciation_micro=rounded(int(months.leased_depreciation[month]) * part),
        standing_micro=rounded(int(months.leased_standing[month]) * part),
        fleet_depreciation_micro=int(months.depreciation[month]),
        fleet_standing_micro=int(months.standing[month]),
        capex_micro=int(months.capex[month]),
        disposal_micro=int(months.disposal[month]),
    )


def _with_receipts(flows: Flows, received_micro: int) -> Flows:
    """The same with what tenants paid in the month."""
    values = {one.name: getattr(flows, one.name) for one in fields(Flows)}
    return Flows(**(values | {"received_micro": received_micro}))
