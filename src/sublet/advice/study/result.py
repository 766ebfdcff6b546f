"""What a study found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sublet.advice.study.idle import LENGTHS_US, PoolIdle
from sublet.advice.study.question import Question
from sublet.advice.study.variants import Variant
from sublet.core.backtest import Judgement
from sublet.core.ids import PoolId
from sublet.core.terms import Pool
from sublet.core.units import HOUR_US
from sublet.sim.figures import Figures
from sublet.sim.outcome import Outcome
from sublet.sim.outlook import Foreseen
from sublet.sim.policies import POLICIES


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a study is made."""

    policies: tuple[str, ...] = tuple(POLICIES)
    forecast: str = "window_max_quantile"  # of the policies that have no forecast of their own
    judged: tuple[str, ...] = ("last_week_peak", "seasonal_naive", "window_max_quantile", "hourly_marginals")
    sensitivity: bool = True
    seed: int = 0
    workers: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Everything that was found. Pools are in the order of the question's layouts."""

    question: Question
    wanted: Wanted
    pools: tuple[Pool, ...]  # their settings under our policy
    idle: tuple[PoolIdle, ...]
    judgement: Judgement | None  # None: the trace is too short to judge forecasts
    fleet: Mapping[str, Figures]  # by policy
    by_pool: Mapping[str, Mapping[str, Figures]]  # by policy, by pool
    turned: tuple[tuple[Variant, Figures], ...]  # one assumption turned, under our policy
    outcomes: Mapping[str, tuple[Outcome, ...]]  # by policy
    outlook: Mapping[PoolId, Foreseen]  # what our policy was told

    @property
    def bounds_us(self) -> dict[int, int]:
        """What could have been leased by length in hours, GPU-µs over all pools; under 0 all that was idle."""
        return bounds_of(self.idle)

    @property
    def known_us(self) -> int:
        """Capacity x known time of all pools, in GPU-µs."""
        return sum(one.known_us for one in self.idle)


def bounds_of(idle: Sequence[PoolIdle]) -> dict[int, int]:
    """The same of some pools."""
    found = {0: sum(one.idle_us for one in idle)}
    return found | {length // HOUR_US: sum(one.leasable_us[length] for one in idle) for length in LENGTHS_US}
