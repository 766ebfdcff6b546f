"""What the books of a running control plane say, beside the scenario.

The same lines over the same hours; and the scenario told again with what was really leased, at what price, and what it owed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from sublet.advice.finance.read import Asked
from sublet.advice.finance.units import month_number
from sublet.core.errors import Invalid
from sublet.core.finance.accounts import Month
from sublet.core.finance.amounts import MONTH_H, PPM, rounded
from sublet.core.finance.scenario import SoldClass
from sublet.core.lease import LeaseClass
from sublet.core.units import HOUR_US, SECOND_US

LINES = (
    "leased_gpu_h", "revenue_micro", "refund_micro", "credit_micro", "cost_micro", "margin_micro", "depreciation_micro",
)  # fmt: skip
"""Lines that the live statement and the accounts have in common."""


@dataclass(frozen=True, slots=True)
class ActualLine:
    """One line over the period: what the scenario said, what the books say. Micro-units, or GPU-hours."""

    name: str
    assumed: float
    actual: float


@dataclass(frozen=True, slots=True)
class Actual:
    """What the books say of a period, and what follows for the scenario."""

    from_us: int
    to_us: int
    begins: str
    ends: str
    hours: float
    lines: tuple[ActualLine, ...]
    leased_share: float
    price_micro: int  # a leased GPU-hour brought so much
    pools: tuple[str, ...]


def compared(
    asked: Asked, accounts: Sequence[Month], statements: Sequence[Mapping[str, Any]], from_us: int, to_us: int
) -> tuple[Actual, Asked]:
    """The comparison, and the scenario with what was really leased instead of what was assumed.

    Raises `Invalid` where the books have no pool in the scenario's currency, nothing leased, or a period outside of it.
    """
    currency = asked.file.currency
    mine = next((one for one in statements if one["currency"] == currency), None)
    if mine is None:
        has = ", ".join(str(one["currency"]) for one in statements) or "no pools yet"
        hint = f"set `currency` of the scenario to one of the books': {has}"
        raise Invalid(f"the books have nothing in {currency}", field="currency", hint=hint)
    books = mine["total"]
    leased_us = int(books["billed_gpu_us"]) + int(books["free_gpu_us"])
    if not leased_us:
        hint = "choose another period with --from and --to, or wait until something was leased"
        raise Invalid("nothing was leased in this period", field="from-ledger", hint=hint)
    capacity, expected = _expected(asked, accounts, from_us, to_us)
    found = {**{name: int(books[name]) for name in LINES if name != "leased_gpu_h"}, "leased_gpu_h": leased_us / HOUR_US}
    share = leased_us / HOUR_US / float(capacity) if capacity else 0.0
    price = rounded(Fraction(int(books["revenue_micro"]) * HOUR_US, leased_us))
    actual = Actual(
        from_us=from_us,
        to_us=to_us,
        begins=_said(from_us),
        ends=_said(to_us),
        hours=(to_us - from_us) / HOUR_US,
        lines=tuple(ActualLine(name, float(expected[name]), float(found[name])) for name in LINES),
        leased_share=share,
        price_micro=price,
        pools=tuple(str(pool["pool"]) for pool in mine["pools"]),
    )
    return actual, _told_again(asked, actual, books)


def _expected(asked: Asked, accounts: Sequence[Month], from_us: int, to_us: int) -> tuple[Fraction, dict[str, Fraction]]:
    """Capacity (GPU-hours) and each line of the base case over the period: a month's flows, spread over its 730 hours."""
    sums = dict.fromkeys(LINES, Fraction(0))
    capacity = Fraction(0)
    start = month_number(asked.file.starts)
    for month in accounts:
        begins, ends = _instant(start + month.number), _instant(start + month.number + 1)
        inside = min(to_us, ends) - max(from_us, begins)
        if inside <= 0:
            continue
        part = Fraction(inside, HOUR_US) / MONTH_H
        capacity += month.flows.capacity_gpu_h * part
        for name in LINES:
            sums[name] += getattr(month.flows, name) * part
    if not capacity:
        hint = f"the scenario begins in {asked.file.starts} and has {asked.scenario.months} months: set `starts`, or --from"
        raise Invalid("the scenario has no GPU in service in this period", field="from-ledger", hint=hint)
    return capacity, sums


def _told_again(asked: Asked, actual: Actual, books: Mapping[str, Any]) -> Asked:
    """One class as it was leased: its share, its price, what it gave back."""
    revenue = int(books["revenue_micro"])
    scenario = asked.scenario
    weight = sum(one.leased_ppm for one in scenario.classes) or 1
    spike = sum(one.spike_ppm * one.leased_ppm for one in scenario.classes) // weight
    hours = min(one.hours for one in scenario.classes)
    share = min(PPM, round(actual.leased_share * PPM))

    def of_revenue(name: str) -> int:
        return min(100 * PPM, int(books[name]) * PPM // revenue) if revenue else 0

    sold = SoldClass(
        "as leased", LeaseClass.SPOT, hours, share, PPM, min(PPM, of_revenue("refund_micro")), of_revenue("credit_micro"), spike
    )
    price = replace(
        scenario.price,
        start_micro=max(1, actual.price_micro),
        lowest_micro=min(scenario.price.lowest_micro, max(1, actual.price_micro)),
        highest_micro=max(scenario.price.highest_micro, actual.price_micro),
    )
    told = replace(scenario, classes=(sold,), price=price, idle_ppm=max(scenario.idle_ppm, share))
    part = asked.file.classes[0].model_copy(
        update={"name": "as leased", "lease_class": "spot", "hours": hours, "reclaimed": 0.0, "price_factor": 1.0}
    )
    file = asked.file.model_copy(
        update={
            "classes": (part,),
            "price": asked.file.price.model_copy(update={"start": price.start_micro}),
            "sources": {**asked.file.sources, "price.start": "the books", "classes.as leased": "the books"},
        }
    )
    if not told.fits():
        hint = "name the fleet that the books are of"
        raise Invalid("the books' price makes amounts too large for this scenario's fleet", field="fleet", hint=hint)
    return replace(asked, file=file, scenario=told, source=f"{asked.source}, with what the books say")


def _instant(month: int) -> int:
    """The first instant of a month, UTC."""
    return round(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * SECOND_US


def begins_us(asked: Asked) -> int:
    """The first instant of a scenario."""
    return _instant(month_number(asked.file.starts))


def _said(us: int) -> str:
    return datetime.fromtimestamp(us / SECOND_US, UTC).strftime("%Y-%m-%d %H:%M")


__all__ = ["LINES", "Actual", "ActualLine", "begins_us", "compared"]
