"""A scenario as arrays: what every month holds before a price is known.

The accounts of one path and of a hundred thousand are made from the same rows, so they cannot differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sublet.core.finance.amounts import MONTH_H, rounded, share_of
from sublet.core.finance.scenario import Generation, Scenario

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Months:
    """int64 arrays; T months, C classes. Money in micro-units, time in whole GPU-hours.

    `list_h` counts GPU-hours of each class at the list price: a generation that brings half of it counts half.
    `fixed_share` is the part of the fleet's fixed costs that falls to the leased hours, generation by generation.
    """

    gpus: Ints  # [T] in service
    capacity_h: Ints  # [T]
    leased_h: Ints  # [T, C]
    list_h: Ints  # [T, C]
    energy: Ints  # [T, C]
    wear: Ints  # [T, C]
    operations: Ints  # [T, C]
    depreciation: Ints  # [T] of the whole fleet
    leased_depreciation: Ints  # [T] of the leased hours
    standing: Ints  # [T] idle energy, upkeep and staff of the whole fleet
    leased_standing: Ints  # [T] the part of the leased hours
    programme: Ints  # [T] what leasing costs beside
    capex: Ints  # [T]
    disposal: Ints  # [T]
    assets: Ints  # [T] book value at the end
    terms: Ints  # [C, 4] millionths: price, refund, credit, spike
    opening: int
    selling_ppm: int
    payment_months: int
    keeps_floor: bool

    @property
    def variable(self) -> Ints:
        """What leasing adds, [T, C]."""
        return self.energy + self.wear + self.operations


def months_of(scenario: Scenario) -> Months:
    """The rows of a scenario."""
    count, kinds = scenario.months, len(scenario.classes)
    flat = {name: [0] * count for name in ("depreciation", "leased_depreciation", "standing", "leased_standing")}
    by_class = {name: np.zeros((count, kinds), np.int64) for name in ("leased_h", "list_h", "energy", "wear", "operations")}
    for month in range(count):
        staff = scenario.staff_micro
        capacity = scenario.gpus(month) * MONTH_H
        leased = 0
        for generation in scenario.fleet:
            mine = _fill(by_class, scenario, generation, month)
            leased += mine
            _charge(flat, generation, month, mine)
        flat["standing"][month] += staff
        flat["leased_standing"][month] += rounded(Fraction(staff * leased, capacity)) if capacity else 0
    programme = [scenario.leasing.programme_micro] * count
    programme[0] += scenario.leasing.setup_micro
    fleet = scenario.fleet
    return Months(
        gpus=_whole(scenario.gpus(month) for month in range(count)),
        capacity_h=_whole(scenario.gpus(month) * MONTH_H for month in range(count)),
        **by_class,
        **{name: _whole(values) for name, values in flat.items()},
        programme=_whole(programme),
        capex=_whole(sum(one.bought_micro for one in fleet if one.in_service == month) for month in range(count)),
        disposal=_whole(
            sum(one.residual_micro for one in fleet if one.in_service + one.lasts - 1 == month) for month in range(count)
        ),
        assets=_whole(sum(one.assets_micro(month) for one in fleet) for month in range(count)),
        terms=np.array(
            [(one.price_ppm, one.refund_ppm, one.credit_ppm, one.spike_ppm) for one in scenario.classes], np.int64
        ).reshape(kinds, 4),
        opening=scenario.opening_micro,
        selling_ppm=scenario.leasing.selling_ppm,
        payment_months=scenario.leasing.payment_months,
        keeps_floor=scenario.leasing.keeps_floor,
    )


def _fill(rows: dict[str, Ints], scenario: Scenario, generation: Generation, month: int) -> int:
    """Enter a generation's leased hours and what they add; returns the hours."""
    total = 0
    for i, sold in enumerate(scenario.classes):
        hours = scenario.hours(generation, sold, month)
        rows["leased_h"][month, i] += hours
        rows["list_h"][month, i] += share_of(hours, generation.price_ppm)
        rows["energy"][month, i] += hours * generation.energy_micro
        rows["wear"][month, i] += hours * generation.cost.wear_micro
        rows["operations"][month, i] += hours * generation.cost.operations_micro
        total += hours
    return total


def _charge(rows: dict[str, list[int]], generation: Generation, month: int, leased: int) -> None:
    """Enter what a generation costs either way, and the part of it that falls to its leased hours."""
    if not generation.is_in_service(month):
        return
    capacity = generation.gpus * MONTH_H
    depreciation = generation.depreciation_micro(month)
    standing = capacity * generation.idle_energy_micro + generation.upkeep_micro()
    part = Fraction(leased, capacity)
    rows["depreciation"][month] += depreciation
    rows["leased_depreciation"][month] += rounded(depreciation * part)
    rows["standing"][month] += standing
    rows["leased_standing"][month] += rounded(standing * part)


def _whole(values: Iterable[int]) -> Ints:
    """int64[T]."""
    return np.array(list(values), np.int64)
