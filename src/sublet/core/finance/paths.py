"""Monte-Carlo paths of a scenario: draws become markets, markets become books. The generator is an argument.

One call makes one batch. Batches have a fixed size and a generator each, so the result depends on the seed alone and not on
how many threads make it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.finance.amounts import PPM
from sublet.core.finance.scenario import PricePath, Regime, Scenario
from sublet.core.finance.tables import Months
from sublet.core.kernels import finance as kernels

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
BATCH = 4_096
"""Paths that are drawn together."""
COLUMNS = (
    "revenue", "refund", "credit", "cost", "selling", "contribution", "result", "cash", "receivable", "lowest_cash",
    "imbalance", "leased_gpu_h",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What is left to chance in P paths of T months: standard normal and uniform [0, 1) numbers, float64."""

    normal: Floats  # [P, T, 3]
    uniform: Floats  # [P, T, 4]
    steps: Floats  # [P, S]
    path: Floats  # [P, 3]


@dataclass(frozen=True, slots=True, eq=False)
class Markets:
    """Prices (micro-units), leased shares and what spikes take back (millionths of the base case), and scales of a path."""

    price: Ints  # [P, T]
    leased: Ints  # [P, T]
    taken: Ints  # [P, T]
    scale: Ints  # [P, 2]


@dataclass(frozen=True, slots=True, eq=False)
class Books:
    """`totals` [P, 12] in the order of COLUMNS, `reached` [P, K] months or -1, `contributions` [P, T] in micro-units."""

    totals: Ints
    reached: Ints
    contributions: Ints


def draw(rng: np.random.Generator, scenario: Scenario, paths: int) -> Draws:
    """The draws of a batch."""
    months = scenario.months
    return Draws(
        normal=rng.standard_normal((paths, months, 3)),
        uniform=rng.random((paths, months, 4)),
        steps=rng.random((paths, len(scenario.price.steps))),
        path=rng.standard_normal((paths, 3)),
    )


def markets(scenario: Scenario, draws: Draws) -> Markets:
    """Prices and shares of each path."""
    price, chances = scenario.price, scenario.chances
    limit = PPM * scenario.idle_ppm // scenario.leased_ppm if scenario.leased_ppm else PPM
    made = kernels.market(
        draws.normal, draws.uniform, draws.steps, draws.path,
        steady_log(price, scenario.months), noise_of(price), regimes_of(price),
        np.array([(one.month, math.log(one.factor), one.chance) for one in price.steps]).reshape(-1, 3),
        np.array(price.history),
        np.array([
            chances.leased_spread,
            chances.month_spread * math.sqrt(1 - chances.persistence**2), chances.persistence,
            chances.reclaim_spread, chances.cost_spread,
            1 - math.exp(-chances.spikes / 12), chances.spike_months, chances.spike_left_ppm / PPM,
        ]),
        np.array([price.lowest_micro, price.ceiling_micro, max(limit, PPM)], np.int64),
    )  # fmt: skip
    return Markets(*made)


def books(months: Months, found: Markets, targets: Ints) -> Books:
    """The books of each path; `targets` are sums of contributions whose months are wanted."""
    fixed = (months.programme, months.standing, months.depreciation, months.capex, months.disposal, months.assets)
    rules = np.array([months.selling_ppm, months.payment_months, int(months.keeps_floor)], np.int64)
    made = kernels.books(
        found.price, found.leased, found.taken, found.scale, months.list_h, months.leased_h, months.variable, months.terms,
        np.stack(fixed, axis=1), targets, rules, months.opening,
    )  # fmt: skip
    return Books(*made)


def steady_log(price: PricePath, months: int) -> Floats:
    """Logarithm of the price without chance, in each month."""
    return math.log(max(price.start_micro, 1)) + price.trend * np.arange(months) / 12


def noise_of(price: PricePath) -> Floats:
    """Persistence and size of reverting noise, then jumps and the block length; see the kernel.

    The noise has the yearly volatility of a random walk over one month, and its deviation halves in `half_life_months`.
    """
    kept = 0.5 ** (1 / price.half_life_months)
    size = price.volatility / math.sqrt(12)
    often = 1 - math.exp(-price.jumps / 12)
    return np.array([kept, size, often, price.jump_mean, price.jump_spread, price.block_months])


def regimes_of(price: PricePath) -> Floats:
    """Level and probability of leaving of each regime; one that nothing leaves where there are none."""
    regimes = price.regimes or (Regime(1.0, math.inf),)
    start = math.log(regimes[0].factor)
    return np.array([(math.log(one.factor) - start, min(1.0, 1 / one.months)) for one in regimes])


def base_prices(price: PricePath, months: int) -> list[int]:
    """List prices of the base case: trend and the steps that are more likely than not; no noise, no jump, the first regime."""
    steady = steady_log(price, months)
    made = []
    for month in range(months):
        stepped = sum(math.log(one.factor) for one in price.steps if one.month <= month and one.chance >= 0.5)
        value = math.floor(math.exp(steady[month] + stepped) + 0.5)
        made.append(min(max(value, price.lowest_micro), price.ceiling_micro))
    return made
