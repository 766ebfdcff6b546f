"""Public numbers that an industry's claims are checked against: `[claims]` of a scenario. Each with its source and date."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sublet.advice.finance.units import Share, said
from sublet.app.quantities import Text

Positive = Annotated[float, Field(ge=1e-6, le=1e15)]
Part = Annotated[float, Field(ge=1e-6, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Range(_Part):
    @model_validator(mode="after")
    def _in_order(self) -> "_Range":
        low, high = getattr(self, "low", 0), getattr(self, "high", 0)
        if low > high:
            raise ValueError(f"low {low:g} is above high {high:g}: swap them")
        return self


class Capex(_Range):
    """Capex of a year, or a guidance for it."""

    year: Annotated[int, Field(ge=2000, le=2100)] = said("", "calendar year")
    low: Positive = said("{currency}", "what was spent, or the guidance's lower end")
    high: Positive = said("{currency}", "the same, or its upper end")


class Priced(_Part):
    """A price of a GPU-hour with its date."""

    name: Text = said("", "what and when")
    price: Positive = said("{currency}/GPU-h", "of one GPU-hour")


class Measured(_Range):
    """A share of a fleet that somebody measured or published."""

    name: Text = said("", "whose")
    low: Share = said("of the fleet", "lower end")
    high: Share = said("of the fleet", "upper end")


class Claims(_Part):
    """What the claims say, and the public numbers that they are checked with. Money in whole units of the currency."""

    capex_claimed: Positive = said("{currency}", "C1: cumulative capex")
    capex: Annotated[tuple[Capex, ...], Field(min_length=1, max_length=50)] = said("", "C1: what was spent and guided")
    revenue_claimed: Positive = said("{currency}/year", "C2: revenue of leasing")
    share_claimed: Part = said("of the fleet", "C2: share that is leased for it")
    prices: Annotated[tuple[Priced, ...], Field(min_length=1, max_length=50)] = said("", "C2: prices to check it at")
    per_mw_year: tuple[Positive, Positive] = said("{currency}/MW-year", "C2: what a neocloud earns on a MW, low and high")
    bps_claimed: tuple[Positive, Positive] = said("bps", "C3: lift of the operating margin, low and high")
    margin_assumed: Part = said("of revenue", "C3: margin that others use for surplus")
    gpus_claimed: Positive = said("GPUs", "C4: H100 equivalents")
    gpus_announced: Positive = said("GPUs", "C4: what the owner announced")
    footprint_gw: Positive = said("GW", "C4: projected footprint of the owner")
    watts: tuple[Positive, Positive] = said("W", "C4: of one GPU with its share of the node, low and high")
    idle_claimed: tuple[Share, Share] = said("of the fleet", "C5: idle between major runs, low and high")
    idle: Annotated[tuple[Measured, ...], Field(min_length=1, max_length=50)] = said("", "C5: what was measured elsewhere")
    faster_claimed: tuple[Share, Share] = said("of 1", "C6: by serving where a model was tuned, low and high")
    neocloud_margin: tuple[Share, Share] = said("of revenue", "C6: operating margin that integration could save, low and high")
    cluster: Positive = said("{currency}", "C7: price of the cluster")
    link_claimed_gbps: Positive = said("Gb/s", "C9: between nodes")
    link_sustained_gbps: Positive = said("Gb/s", "C9: the same link in each direction at once")
    fabric_gbps: Positive = said("Gb/s", "C9: of a GPU in a usual cluster, between nodes")
    host_hours: Positive = said("h", "C9: shortest lease of a dedicated host")
    sources: Mapping[Text, Text] = said("", "by claim: where the numbers are from, and when", default_factory=dict)
