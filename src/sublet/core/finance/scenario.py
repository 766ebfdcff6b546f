"""What the accounts are made from: the fleet by generation, what is sold as which class, the owner's own year, and chance.

Months count from the first of the accounts, which is 0. Money in micro-units, shares in millionths (`*_ppm`), powers and
tariffs as `CostSheet` has them. A GPU here is one with its share of the node.
"""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from sublet.core.finance.amounts import MONEY_MICRO_MAX, MONTH_H, PPM, YEAR_MONTHS, rounded, share_of
from sublet.core.lease import LeaseClass
from sublet.core.pricing.floor import floor
from sublet.core.terms import CostSheet


@dataclass(frozen=True, slots=True)
class Generation:
    """GPUs bought together. `in_service` is the month in which they start, before 0 for what is there already.

    `price_ppm` is what a GPU-hour of theirs brings against the list price; `upkeep_ppm` the yearly upkeep against the capex.
    Depreciation ends after `life_months`; after `service_months`, which are no fewer, they are sold for the residual and leave.
    """

    name: str
    gpus: int
    capex_micro: int  # of one GPU, all in
    in_service: int
    life_months: int
    residual_ppm: int
    cost: CostSheet
    upkeep_ppm: int = 0
    price_ppm: int = PPM
    service_months: int = 0  # 0: its life

    @property
    def lasts(self) -> int:
        """Months in service."""
        return max(self.service_months, self.life_months)

    @property
    def bought_micro(self) -> int:
        """Capex of all of them."""
        return self.gpus * self.capex_micro

    @property
    def residual_micro(self) -> int:
        """What all of them are sold for in the end."""
        return share_of(self.bought_micro, self.residual_ppm)

    def is_in_service(self, month: int) -> bool:
        """Whether they are there in a month."""
        return self.in_service <= month < self.in_service + self.lasts

    def depreciated_micro(self, month: int) -> int:
        """Straight-line depreciation up to the end of a month; over the whole life exactly capex less residual."""
        used = min(max(0, month + 1 - self.in_service), self.life_months)
        return (self.bought_micro - self.residual_micro) * used // self.life_months

    def depreciation_micro(self, month: int) -> int:
        """What a month takes off their value."""
        return self.depreciated_micro(month) - self.depreciated_micro(month - 1)

    def assets_micro(self, month: int) -> int:
        """Book value at the end of a month: nothing before they are bought and after they are sold."""
        return self.bought_micro - self.depreciated_micro(month) if self.is_kept(month) else 0

    def is_kept(self, month: int) -> bool:
        """Whether they stand in the books at the end of a month; in the last month of service they are sold."""
        return self.in_service <= month < self.in_service + self.lasts - 1

    @property
    def idle_energy_micro(self) -> int:
        """Energy of an idling GPU-hour, paid whether it is leased or not."""
        return self.cost.idle_w * self.cost.pue_permille * self.cost.tariff_micro_kwh // (1_000 * 1_000)

    @property
    def energy_micro(self) -> int:
        """Energy that a leased GPU-hour adds to an idle one."""
        return floor(self.cost).energy_micro

    @property
    def variable_micro(self) -> int:
        """What a leased GPU-hour adds: the published floor without reclaims."""
        return floor(self.cost).total_micro

    def upkeep_micro(self) -> int:
        """Upkeep of a month."""
        return rounded(Fraction(share_of(self.bought_micro, self.upkeep_ppm), YEAR_MONTHS))


@dataclass(frozen=True, slots=True)
class SoldClass:
    """What is leased as one class. `leased_ppm` of the fleet's time; `price_ppm` of the list price, its risk price included.

    `refund_ppm` and `credit_ppm` are what usual reclaims give back, of the revenue; `spike_ppm` is what is owed, of a month's
    revenue, when the owner takes all of its GPUs at once.
    """

    name: str
    lease_class: LeaseClass
    hours: int  # a lease lasts so long
    leased_ppm: int
    price_ppm: int
    refund_ppm: int = 0
    credit_ppm: int = 0
    spike_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner's own year without leasing, which leasing is set against."""

    revenue_micro: int
    income_micro: int


@dataclass(frozen=True, slots=True)
class Leasing:
    """What leasing needs beside GPUs."""

    selling_ppm: int = 0  # of the revenue: sales, payment, bad debts
    programme_micro: int = 0  # a month: people and software
    setup_micro: int = 0  # once, in the first month
    ramp_months: int = 0  # until all that can be leased is leased
    payment_months: int = 1  # tenants pay so late
    keeps_floor: bool = True  # a class that does not bring its costs in a month is not leased in it


@dataclass(frozen=True, slots=True)
class Regime:
    """A state of the market: prices at `factor` of the start's, for `months` on average."""

    factor: float
    months: float


@dataclass(frozen=True, slots=True)
class Step:
    """A dated change that stays, with a probability: a new generation comes, a contract ends."""

    month: int
    factor: float
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class PricePath:
    """How the list price moves. Its logarithm is a sum: trend + reverting noise + history + jumps + regime + steps.

    The first month's price is the start's, a dated step apart. All parts but the trend are off by default. `history` holds
    monthly changes of a recorded price (logarithms); blocks of `block_months` of it are drawn with replacement. Volatility and
    rates are of a year.
    """

    start_micro: int
    trend: float = 0.0  # log change of a year
    volatility: float = 0.0
    half_life_months: float = 6.0
    jumps: float = 0.0  # expected number a year
    jump_mean: float = 0.0
    jump_spread: float = 0.0
    regimes: tuple[Regime, ...] = ()
    steps: tuple[Step, ...] = ()
    history: tuple[float, ...] = ()
    block_months: int = 3
    lowest_micro: int = 0
    highest_micro: int = 0  # 0: ten times the start

    @property
    def ceiling_micro(self) -> int:
        """No path goes above it."""
        return self.highest_micro or 10 * self.start_micro


@dataclass(frozen=True, slots=True)
class Chances:
    """What else is left to chance. Spreads are standard deviations of logarithms; the base case is the median."""

    leased_spread: float = 0.0  # of the leased share over the whole time: how well it was guessed
    month_spread: float = 0.0  # of the leased share from month to month
    persistence: float = 0.7  # how much of a month's deviation is there in the next
    reclaim_spread: float = 0.0  # of refunds and credits over the whole time
    cost_spread: float = 0.0  # of energy, wear and operations over the whole time
    spikes: float = 0.0  # times a year that the owner needs the leased GPUs back
    spike_months: int = 2
    spike_left_ppm: int = 0  # what stays leased meanwhile


def _most(spread: float) -> int:
    """How many times the base case a path's scale can be; the kernel stops at 20."""
    return min(20, math.ceil(math.exp(6 * spread)))


@dataclass(frozen=True, slots=True)
class Scenario:
    """All of it."""

    months: int
    fleet: tuple[Generation, ...]
    classes: tuple[SoldClass, ...]
    price: PricePath
    owner: Owner | None = None
    leasing: Leasing = field(default_factory=Leasing)
    chances: Chances = field(default_factory=Chances)
    staff_micro: int = 0  # a month, for the whole fleet, leased or not
    idle_ppm: int = PPM  # of the fleet's time: no more is ever leased

    @property
    def leased_ppm(self) -> int:
        """Of the fleet's time, all classes."""
        return sum(one.leased_ppm for one in self.classes)

    def gpus(self, month: int) -> int:
        """In service."""
        return sum(one.gpus for one in self.fleet if one.is_in_service(month))

    def ramp_ppm(self, month: int) -> int:
        """Which part of what can be leased is leased in a month."""
        ramp = self.leasing.ramp_months
        return PPM if month >= ramp else PPM * (month + 1) // (ramp + 1)

    def hours(self, generation: Generation, sold: SoldClass, month: int) -> int:
        """GPU-hours of one generation leased as one class in a month of the base case."""
        if not generation.is_in_service(month):
            return 0
        return share_of(share_of(generation.gpus * MONTH_H, sold.leased_ppm), self.ramp_ppm(month))

    @property
    def opening_micro(self) -> int:
        """Book value before the first month."""
        return sum(one.assets_micro(-1) for one in self.fleet)

    def with_leased(self, leased_ppm: int) -> "Scenario":
        """The same with another share of the fleet leased, in the same mix of classes."""
        total = self.leased_ppm
        if not total:
            return self
        classes = tuple(replace(one, leased_ppm=one.leased_ppm * leased_ppm // total) for one in self.classes)
        return replace(self, classes=classes, idle_ppm=max(self.idle_ppm, leased_ppm))

    def fits(self) -> bool:
        """Whether every sum of every path stays within `MONEY_MICRO_MAX`.

        Counted are all hours at the highest price, all costs and all GPUs.
        """
        years = self.months // YEAR_MONTHS + 1
        hours = sum(one.gpus * max(one.price_ppm, PPM) for one in self.fleet) // PPM * MONTH_H * self.months
        back, more = (_most(spread) for spread in (self.chances.reclaim_spread, self.chances.cost_spread))
        owed = 0
        for one in self.classes:
            owed = max(owed, one.price_ppm * (PPM + back * (one.refund_ppm + one.credit_ppm) + one.spike_ppm) // PPM)
        earned = hours * self.price.ceiling_micro * max(owed, PPM) // PPM
        fleet = sum(
            one.bought_micro * 3 + share_of(one.bought_micro, one.upkeep_ppm) * years
            + one.gpus * MONTH_H * self.months * (more * one.variable_micro + one.idle_energy_micro)
            for one in self.fleet
        )  # fmt: skip
        other = self.months * (self.leasing.programme_micro + self.staff_micro) + self.leasing.setup_micro
        return earned + fleet + other <= MONEY_MICRO_MAX
