"""The accounts as lines: units, classes, months and years, in whole micro-units, as every output shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sublet.advice.finance.read import Asked
from sublet.advice.finance.units import month_name, month_number
from sublet.core.finance.accounts import Flows, Month, total
from sublet.core.finance.amounts import MONTH_H, PPM, YEAR_MONTHS, rounded
from sublet.core.finance.answers import lift_bps, ratio_bps, yearly
from sublet.core.finance.scenario import Generation, Scenario
from sublet.core.finance.tables import Months
from sublet.core.pricing.floor import acceptable_risk, floor
from sublet.core.terms import TERMS, ClassTerms
from sublet.core.units import HOUR_US


@dataclass(frozen=True, slots=True)
class UnitLine:
    """One generation's GPU-hour: what it costs, in micro-units."""

    name: str
    gpus: int
    in_service: int
    depreciation_micro: int
    idle_energy_micro: int
    upkeep_micro: int
    staff_micro: int
    energy_micro: int  # that leasing adds
    wear_micro: int
    operations_micro: int
    list_price_micro: int

    @property
    def variable_micro(self) -> int:
        """What leasing adds."""
        return self.energy_micro + self.wear_micro + self.operations_micro

    @property
    def standing_micro(self) -> int:
        """What runs either way, depreciation apart."""
        return self.idle_energy_micro + self.upkeep_micro + self.staff_micro

    @property
    def full_micro(self) -> int:
        """All of it."""
        return self.depreciation_micro + self.standing_micro + self.variable_micro


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class: what is leased of it and what a GPU-hour of it brings in the first month, in micro-units.

    `reclaimed` is the assumed probability of a reclaim, `pays_up_to` the one at which a lease is worth no more than an idle
    GPU.
    """

    name: str
    lease_class: str
    hours: int
    leased_share: float
    price_micro: int
    refund_micro: int
    credit_micro: int
    variable_micro: int
    left_micro: int
    reclaimed: float
    pays_up_to: float


@dataclass(frozen=True, slots=True)
class MonthLine:
    """A month of the base case."""

    month: str
    gpus: int
    price_micro: int
    flows: Flows
    assets_micro: int
    receivable_micro: int
    cash_micro: int
    equity_micro: int


@dataclass(frozen=True, slots=True)
class YearLine:
    """Twelve months, or what is left of them."""

    name: str
    months: int
    flows: Flows
    assets_micro: int
    cash_micro: int
    recovered_bps: int | None  # contribution of the depreciation of the leased hours
    lift_bps: float | None


def unit_lines(scenario: Scenario) -> tuple[UnitLine, ...]:
    """Each generation."""
    hours = scenario.gpus(0) * MONTH_H
    staff = scenario.staff_micro // hours if hours else 0
    return tuple(_unit(one, scenario.price.start_micro, staff) for one in scenario.fleet)


def _unit(one: Generation, price_micro: int, staff_micro: int) -> UnitLine:
    rates = floor(one.cost)
    return UnitLine(
        name=one.name,
        gpus=one.gpus,
        in_service=one.in_service,
        depreciation_micro=one.cost.depreciation_micro,
        idle_energy_micro=one.idle_energy_micro,
        upkeep_micro=one.upkeep_micro() // (one.gpus * MONTH_H),
        staff_micro=staff_micro,
        energy_micro=rates.energy_micro,
        wear_micro=rates.wear_micro,
        operations_micro=rates.operations_micro,
        list_price_micro=price_micro * one.price_ppm // PPM,
    )


def class_lines(asked: Asked, months: Months) -> tuple[ClassLine, ...]:
    """Each class, over the mix of generations in the first month in which anything is in service."""
    month = next((i for i in range(asked.scenario.months) if months.leased_h[i].any()), 0)
    made = []
    for kind, (sold, part) in enumerate(zip(asked.scenario.classes, asked.file.classes, strict=True)):
        hours = int(months.leased_h[month, kind])
        mix = int(months.list_h[month, kind]) / hours if hours else 1.0
        price = round(asked.scenario.price.start_micro * sold.price_ppm / PPM * mix)
        refund, credit = price * sold.refund_ppm // PPM, price * sold.credit_ppm // PPM
        variable = int(months.variable[month, kind]) // hours if hours else 0
        usual = TERMS[sold.lease_class]
        multiple = usual.credit_multiple if part.credit_multiple is None else part.credit_multiple
        refunds = usual.refunds if part.refunds is None else part.refunds
        terms = ClassTerms(usual.grace_us, usual.exempt_us, usual.breaking, refunds, multiple)
        made.append(
            ClassLine(
                name=sold.name,
                lease_class=sold.lease_class.value,
                hours=sold.hours,
                leased_share=sold.leased_ppm / PPM,
                price_micro=price,
                refund_micro=refund,
                credit_micro=credit,
                variable_micro=variable,
                left_micro=price - refund - credit - variable,
                reclaimed=part.reclaimed,
                pays_up_to=acceptable_risk(price, variable, terms, sold.hours * HOUR_US),
            )
        )
    return tuple(made)


def month_lines(asked: Asked, accounts: Sequence[Month]) -> tuple[MonthLine, ...]:
    """Each month."""
    start = month_number(asked.file.starts)
    return tuple(
        MonthLine(
            month_name(start + one.number), one.gpus, rounded(one.price), one.flows, one.assets_micro, one.receivable_micro,
            one.cash_micro, one.equity_micro,
        )
        for one in accounts
    )  # fmt: skip


def year_lines(asked: Asked, accounts: Sequence[Month]) -> tuple[YearLine, ...]:
    """Twelve months each, from the first."""
    made = []
    names = [line.month for line in month_lines(asked, accounts)]
    owner = asked.scenario.owner
    for first in range(0, len(accounts), YEAR_MONTHS):
        months = accounts[first : first + YEAR_MONTHS]
        flows = total([one.flows for one in months])
        lift = None
        if owner is not None:
            scaled = (yearly(amount, len(months)) for amount in (flows.net_revenue_micro, flows.contribution_micro))
            lift = float(lift_bps(owner, *scaled))
        last = first + len(months) - 1
        made.append(
            YearLine(
                f"{names[first]} to {names[last]}", len(months), flows, accounts[last].assets_micro, accounts[last].cash_micro,
                ratio_bps(flows.contribution_micro, flows.depreciation_micro), lift,
            )
        )  # fmt: skip
    return tuple(made)
