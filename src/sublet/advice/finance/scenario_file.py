"""A scenario as people write it: one TOML file, checked field by field. `read.py` makes the core's frozen value of it.

Money stands in whole units of one currency, shares are of 1, time is in the unit that the field says. A key that is unknown is
an error: an assumption that is misspelt must not look as if it were made.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sublet.advice.finance.facts import Claims
from sublet.advice.finance.units import (
    Factor,
    GpuPrice,
    HourPrice,
    Money,
    Month,
    Pue,
    Share,
    SignedMoney,
    Spread,
    Tariff,
    Watts,
    Years,
    bounded,
    said,
)
from sublet.app.quantities import Text
from sublet.core.errors import Invalid

MONTHS_MAX, PATHS_MAX, GENERATIONS_MAX, CLASSES_MAX = 240, 1_000_000, 20, 10
Name = Annotated[Text, Field(min_length=1, max_length=80)]
_SLOPE = bounded(-3, 3, "a yearly change, so write -0.15 for 15 % less a year")


class Part(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GenerationPart(Part):
    """`[[fleet]]`: GPUs bought together."""

    name: Name = said("", "what they are called")
    gpus: Annotated[int, Field(ge=1, le=20_000_000)] = said("GPUs", "how many")
    capex_gpu: GpuPrice = said("{currency}", "price of one with its share of node, network and building")
    in_service: Month = said("month", "first month in service; one after `starts` is bought then")
    life_years: Years = said("years", "of straight-line depreciation", default=5.5)
    service_years: Years | None = said("years", "until they are sold and leave; none: their life", default=None)
    residual: Share = said("of capex", "what they are sold for in the end", default=0.0)
    idle_w: Watts = said("W", "draw of one with its share of the node while it idles", default=320)
    busy_w: Watts = said("W", "the same while it works", default=1_275)
    pue: Pue = said("", "energy of the site for each unit of its machines", default=1.2)
    tariff_kwh: Tariff = said("{currency}/kWh", "price of energy", default=80_000)
    wear_gpu_h: HourPrice = said("{currency}/GPU-h", "wear that working adds", default=10_000)
    operations_gpu_h: HourPrice = said(
        "{currency}/GPU-h", "support, network, wipe and check: what a lease adds", default=50_000
    )
    upkeep_year: Share = said("of capex", "yearly upkeep, leased or not", default=0.05)
    price_factor: Factor = said("", "what a GPU-hour of theirs brings against the list price", default=1.0)

    @model_validator(mode="after")
    def _idles_below_work(self) -> "GenerationPart":
        if self.idle_w > self.busy_w:
            raise ValueError(f"idle_w {self.idle_w:g} is above busy_w {self.busy_w:g}: are the two swapped?")
        if self.service_years is not None and self.service_years < self.life_years:
            raise ValueError("service_years is below life_years: shorten the life, or leave it away")
        return self


class OwnerPart(Part):
    """`[owner]`: how busy the fleet is, and the owner's own year."""

    busy: Share = said("of the fleet", "GPU time that the owner's own work takes", default=0.8)
    revenue_year: Money | None = said("{currency}", "the owner's revenue of a year, without leasing", default=None)
    income_year: SignedMoney | None = said("{currency}", "the owner's operating income of that year", default=None)
    staff_year: Money = said("{currency}", "people who run the fleet, leased or not", default=0)

    @model_validator(mode="after")
    def _both_or_none(self) -> "OwnerPart":
        if (self.revenue_year is None) != (self.income_year is None):
            raise ValueError("revenue_year and income_year belong together: give both, or neither")
        if self.revenue_year == 0:
            raise ValueError("revenue_year is 0: a margin needs a revenue; leave both away")
        return self


class LeasablePart(Part):
    """`[leasable]`: what of the fleet's time can be leased in pieces of so many hours, and how much of it is."""

    hours: Mapping[Annotated[int, Field(ge=1, le=8_760)], Share] = said(
        "of the fleet", "leasable share by length of a lease in hours; falls as the length grows", default_factory=dict
    )
    captured: Share = said("of leasable", "what a policy that does not know the future gets of it", default=0.5)


class LeasingPart(Part):
    """`[leasing]`: what leasing needs beside GPUs."""

    selling: Share = said("of revenue", "sales, payment, bad debts", default=0.03)
    programme_year: Money = said("{currency}", "people and software that lease", default=0)
    setup: Money = said("{currency}", "once, in the first month", default=0)
    ramp_months: Annotated[int, Field(ge=0, le=60)] = said("months", "until all is leased that can be", default=0)
    payment_months: Annotated[int, Field(ge=0, le=12)] = said("months", "tenants pay so late", default=1)
    keeps_floor: bool = said("", "a class is not leased in months in which it does not bring its costs", default=True)


class JumpsPart(Part):
    """`[price.jumps]`: sudden changes that stay."""

    a_year: Annotated[float, *bounded(0, 12, "jumps a year")] = said("1/year", "how often", default=0.0)
    mean: Annotated[float, *bounded(-3, 3, "a logarithm, so write -0.2 for about 20 % less")] = said(
        "log", "mean size", default=0.0
    )
    spread: Spread = said("log", "its standard deviation", default=0.0)


class RegimePart(Part):
    """`[[price.regimes]]`: states of the market; the first is where it starts."""

    factor: Factor = said("", "price against the first regime's")
    months: Annotated[float, *bounded(1, 1_200, "months, on average")] = said("months", "how long it lasts, on average")


class StepPart(Part):
    """`[[price.steps]]`: dated changes that stay."""

    at: Month = said("month", "when")
    factor: Factor = said("", "price against what it was")
    chance: Share = said("", "probability; from 0.5 it is in the base case", default=1.0)


class HistoryPart(Part):
    """`[price.history]`: monthly changes are drawn from a recorded price, in blocks."""

    table: Text | None = said("", "CSV or Parquet file of prices, beside the scenario or shipped", default=None)
    monthly: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = said(
        "any", "the prices themselves, one a month, in place of a table", default=()
    )
    date: Text = said("", "column of dates", default="snapshot_date")
    price: Text = said("", "column of prices", default="usd_h_ondemand")
    gpus: Text | None = said("", "column to divide the price by; none: a price is of one GPU", default=None)
    where: Mapping[Text, Text] = said("", "rows that count: column = value", default_factory=dict)
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = said(
        "", "of the table, where it does not say; only its changes are used", default=None
    )
    block_months: Annotated[int, Field(ge=1, le=36)] = said("months", "changes stay together in blocks", default=3)
    centred: bool = said("", "take the recorded trend out, so that `trend_year` is the trend", default=True)


class PricePart(Part):
    """`[price]`: the list price of a GPU-hour and how it may move."""

    start: HourPrice = said("{currency}/GPU-h", "list price in the first month")
    trend_year: Annotated[float, *_SLOPE] = said("of 1", "change a year: -0.1 for 10 % less", default=0.0)
    volatility_year: Spread = said("log", "of reverting noise", default=0.0)
    half_life_months: Annotated[float, *bounded(0.1, 120, "months")] = said(
        "months", "in which the noise goes back half of its way", default=6.0
    )
    lowest: HourPrice = said("{currency}/GPU-h", "no path goes below", default=0)
    highest: HourPrice | None = said("{currency}/GPU-h", "no path goes above; none: ten times the start", default=None)
    jumps: JumpsPart = JumpsPart()
    regimes: Annotated[tuple[RegimePart, ...], Field(max_length=6)] = ()
    steps: Annotated[tuple[StepPart, ...], Field(max_length=20)] = ()
    history: HistoryPart | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "PricePart":
        if self.trend_year <= -1:
            raise ValueError("trend_year is -1 or less: a price cannot lose more than all of itself; write -0.15 for 15 %")
        if self.start == 0:
            raise ValueError("start is 0: a price path needs a price")
        highest = 10 * self.start if self.highest is None else self.highest
        if not self.lowest <= self.start <= highest:
            raise ValueError("start must lie between lowest and highest")
        return self


class ClassPart(Part):
    """`[[classes]]`: what is sold as which class."""

    name: Name | None = said("", "what the report calls it", default=None)
    lease_class: Literal["spot", "guarded", "block", "dedicated"] = said("", "class of the lease", alias="class")
    hours: Annotated[int, Field(ge=1, le=8_760)] = said("h", "length of a lease", default=1)
    captured: Share | None = said("of leasable", "its own; none: `leasable.captured`", default=None)
    price_factor: Factor = said("", "of the list price: 0.7 for 30 % off", default=1.0)
    risk_price: bool = said("", "add the risk price of the guarantee, as live offers do", default=False)
    reclaimed: Share = said("of leases", "that the owner takes back before their end", default=0.0)
    refunds: bool | None = said("", "a reclaim gives back what was billed; none: the class's terms", default=None)
    credit_multiple: Annotated[int, Field(ge=0, le=100)] | None = said(
        "of the lease's price", "owed on a reclaim; none: the class's terms", default=None
    )


class ChancePart(Part):
    """`[chance]`: how far the other assumptions may be off."""

    leased: Spread = said("log", "leased share over the whole time", default=0.0)
    leased_month: Spread = said("log", "leased share from month to month", default=0.0)
    persistence: Annotated[float, *bounded(0, 0.999, "of 1")] = said(
        "of 1", "of a month's deviation that is there in the next", default=0.7
    )
    reclaims: Spread = said("log", "refunds and credits over the whole time", default=0.0)
    costs: Spread = said("log", "energy, wear and operations over the whole time", default=0.0)
    spikes_year: Annotated[float, *bounded(0, 12, "times a year")] = said(
        "1/year", "the owner needs leased GPUs back at once", default=0.0
    )
    spike_months: Annotated[int, Field(ge=1, le=24)] = said("months", "that lasts", default=2)
    spike_left: Share = said("of leased", "what stays leased meanwhile", default=0.0)


class TurnPart(Part):
    """`[[turn]]`: one assumption at two other values; without any, usual ones are turned."""

    what: Text = said("", "which; the names stand below")
    low: Annotated[float, Field(ge=0, le=1e12)] = said("as the field", "the lower value")
    high: Annotated[float, Field(ge=0, le=1e12)] = said("as the field", "the higher value")


class ScenarioFile(Part):
    """All of it."""

    title: Name = said("", "what the report is called")
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = said("", "three letters; all money is in it", default="USD")
    starts: Month = said("month", "first month of the accounts")
    months: Annotated[int, Field(ge=12, le=MONTHS_MAX)] = said("months", "how many", default=60)
    paths: Annotated[int, Field(ge=0, le=PATHS_MAX)] = said("", "Monte-Carlo paths; 0: none", default=100_000)
    seed: Annotated[int, Field(ge=0, le=2**31)] = said("", "draws them", default=0)
    leasable_from: Text | None = said(
        "", "`study.json` of a study: idle, leasable and captured shares come from it", default=None
    )
    fleet: Annotated[tuple[GenerationPart, ...], Field(min_length=1, max_length=GENERATIONS_MAX)]
    owner: OwnerPart = OwnerPart()
    leasable: LeasablePart = LeasablePart()
    leasing: LeasingPart = LeasingPart()
    price: PricePart
    classes: Annotated[tuple[ClassPart, ...], Field(min_length=1, max_length=CLASSES_MAX)]
    chance: ChancePart = ChancePart()
    turn: Annotated[tuple[TurnPart, ...], Field(max_length=20)] = ()
    sources: Mapping[Text, Text] = said(
        "", 'where a number comes from, by its key: `"price.start" = "..."`', default_factory=dict
    )
    claims: Claims | None = None

    def refuse_files(self) -> None:
        """Raise `Invalid` where the scenario names a file: whoever asks over the API has none here."""
        for field, found in (
            ("leasable_from", self.leasable_from),
            ("price.history.table", self.price.history and self.price.history.table),
        ):
            if found:
                hint = "write the numbers themselves: leasable.hours, price.history.monthly"
                raise Invalid(f"{field} names a file, and a request cannot bring one", field=field, hint=hint)
