"""Paths of a scenario on all cores, and what they say: bands, probabilities, and which unknown the band is made of.

The kernel lets go of the interpreter, so threads are enough. Batches have a generator each, spawned from the seed: the same
seed gives the same paths on any number of threads.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sublet.core.finance import paths as core
from sublet.core.finance.paths import BATCH, COLUMNS
from sublet.core.finance.scenario import Chances, Scenario
from sublet.core.finance.tables import Months, months_of

Ints = npt.NDArray[np.int64]
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of all bands."""
ALONE_PATHS = 10_000
"""So many paths say how wide the band of one unknown alone is."""


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """P paths of T months: what each says at its end, and month by month. Micro-units."""

    totals: Ints  # [P, 12] in the order of COLUMNS
    reached: Ints  # [P, K]
    contributions: Ints  # [P, T]
    price: Ints  # [P, T]

    def of(self, column: str) -> Ints:
        """One column of the totals."""
        found: Ints = self.totals[:, COLUMNS.index(column)]
        return found


@dataclass(frozen=True, slots=True)
class Band:
    """Quantiles of something in each month (micro-units), in the order of LEVELS."""

    name: str
    levels: tuple[tuple[int, ...], ...]  # [T][5]


@dataclass(frozen=True, slots=True)
class Alone:
    """The yearly contribution's 5 % and 95 % quantiles with one unknown alone (micro-units)."""

    name: str
    low_micro: int
    high_micro: int

    @property
    def width_micro(self) -> int:
        """How far apart they are."""
        return self.high_micro - self.low_micro


@dataclass(frozen=True, slots=True)
class Chance:
    """What the paths say. Amounts are of a year on average (micro-units) at LEVELS; probabilities of 1."""

    paths: int
    seed: int
    contribution_micro: tuple[int, ...]
    net_revenue_micro: tuple[int, ...]
    result_micro: tuple[int, ...]
    cash_micro: tuple[int, ...]  # at the end
    lowest_cash_micro: tuple[int, ...]
    below_zero: float  # probability that leasing costs more than it brings
    setup_paid_back: float
    setup_months: int | None  # median month of those that do
    fleet_paid_back: float
    bands: tuple[Band, ...]
    alone: tuple[Alone, ...]
    tie_out: bool  # in every path

    def alone_widest(self) -> Alone:
        """The unknown that the band is mostly made of."""
        return max(self.alone, key=lambda one: one.width_micro)


PARTS: dict[str, Callable[[Scenario], Scenario]] = {
    "price": lambda one: replace(one, chances=Chances()),
    "leased share": lambda one: replace(
        _still(one),
        chances=Chances(
            leased_spread=one.chances.leased_spread,
            month_spread=one.chances.month_spread,
            persistence=one.chances.persistence,
        ),
    ),
    "contention (spikes)": lambda one: replace(
        _still(one),
        chances=Chances(
            spikes=one.chances.spikes, spike_months=one.chances.spike_months, spike_left_ppm=one.chances.spike_left_ppm
        ),
    ),
    "refunds and credits": lambda one: replace(_still(one), chances=Chances(reclaim_spread=one.chances.reclaim_spread)),
    "energy and operations": lambda one: replace(_still(one), chances=Chances(cost_spread=one.chances.cost_spread)),
}
"""A scenario in which one thing alone is left to chance."""


def _still(scenario: Scenario) -> Scenario:
    """The same with the price of the base case."""
    price = scenario.price
    steps = tuple(replace(one, chance=1.0) for one in price.steps if one.chance >= 0.5)
    return replace(scenario, price=replace(price, volatility=0.0, jumps=0.0, regimes=(), steps=steps, history=()))


def paths_of(scenario: Scenario, months: Months, count: int, seed: int, workers: int | None = None) -> Paths:
    """`count` paths.

    Targets: 0, for contributions are after the setup, and the fleet's book value with what is bought later.
    """
    targets = np.array([0, months.opening + int(months.capex.sum())], np.int64)
    sizes = [min(BATCH, count - first) for first in range(0, count, BATCH)]
    rngs = np.random.default_rng(seed).spawn(len(sizes))
    made = Paths(
        np.empty((count, len(COLUMNS)), np.int64),
        np.empty((count, 2), np.int64),
        np.empty((count, scenario.months), np.int64),
        np.empty((count, scenario.months), np.int64),
    )

    def batch(number: int) -> None:
        drawn = core.draw(rngs[number], scenario, sizes[number])
        market = core.markets(scenario, drawn)
        found = core.books(months, market, targets)
        rows = slice(number * BATCH, number * BATCH + sizes[number])
        made.totals[rows], made.reached[rows] = found.totals, found.reached
        made.contributions[rows], made.price[rows] = found.contributions, market.price

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        list(pool.map(batch, range(len(sizes))))
    return made


def chance_of(
    scenario: Scenario, count: int, seed: int, tell: Callable[[str, float], None], workers: int | None = None
) -> Chance:
    """What `count` paths of a scenario say."""
    months = months_of(scenario)
    tell("drawing paths", 0.0)
    found = paths_of(scenario, months, count, seed, workers)
    tell("bands", 0.0)
    return Chance(
        paths=count,
        seed=seed,
        contribution_micro=_yearly(found.of("contribution"), scenario.months),
        net_revenue_micro=_yearly(found.of("revenue") - found.of("refund") - found.of("credit"), scenario.months),
        result_micro=_yearly(found.of("result"), scenario.months),
        cash_micro=_quantiles(found.of("cash")),
        lowest_cash_micro=_quantiles(found.of("lowest_cash")),
        below_zero=float((found.of("contribution") < 0).mean()),
        setup_paid_back=float((found.reached[:, 0] >= 0).mean()),
        setup_months=_median_month(found.reached[:, 0]) if scenario.leasing.setup_micro else None,
        fleet_paid_back=float((found.reached[:, 1] >= 0).mean()),
        bands=tuple(_bands(found)),
        alone=tuple(_alone(scenario, min(count, ALONE_PATHS), seed, tell, workers)),
        tie_out=not found.of("imbalance").any(),
    )


def _alone(
    scenario: Scenario, count: int, seed: int, tell: Callable[[str, float], None], workers: int | None
) -> Iterator[Alone]:
    for done, (name, only) in enumerate(PARTS.items()):
        tell("one unknown at a time", done / len(PARTS))
        chosen = only(scenario)
        found = paths_of(chosen, months_of(chosen), count, seed, workers)
        low, *_, high = _yearly(found.of("contribution"), scenario.months)
        yield Alone(name, low, high)


def _bands(found: Paths) -> Iterator[Band]:
    yield Band("price", _by_month(found.price))
    yield Band("contribution", _by_month(found.contributions))
    np.cumsum(found.contributions, axis=1, out=found.contributions)
    yield Band("so_far", _by_month(found.contributions))


def _by_month(values: Ints) -> tuple[tuple[int, ...], ...]:
    columns = np.ascontiguousarray(values.T)
    return tuple(_quantiles(column) for column in columns)


def _quantiles(values: Ints) -> tuple[int, ...]:
    """Whole values of paths, none between them."""
    at = [min(len(values) - 1, round(level * (len(values) - 1))) for level in LEVELS]
    ordered = np.partition(values, at)
    return tuple(int(ordered[i]) for i in at)


def _yearly(values: Ints, months: int) -> tuple[int, ...]:
    return tuple(value * 12 // months for value in _quantiles(values))


def _median_month(reached: Ints) -> int | None:
    """Months it takes, counted from 1; of the paths in which it happens."""
    those = reached[reached >= 0]
    return int(np.median(those)) + 1 if len(those) else None
