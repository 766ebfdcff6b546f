"""What a replay came to: everything that figures are made of, as integers and arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.lease import LeaseClass
from sublet.core.occupancy import STATES
from sublet.core.pricing.floor import floor
from sublet.core.units import HOUR_US
from sublet.sim.opening import Opening
from sublet.sim.replay import Replay
from sublet.sim.tally import ClassTally

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One policy on one pool, from the opening of the market to the end of the trace. GPU time in GPU-µs."""

    policy: str
    pool: str
    capacity: int
    from_us: int
    until_us: int
    states_us: dict[str, int]
    conserved: bool
    by_class: dict[LeaseClass, ClassTally]
    starts_us: Ints  # of each owner job, in the order of the scene's; -1: it has not started
    delays_us: Ints  # of the owner's jobs that started or could have, each from its entitlement
    promise_us: int
    unstarted: int  # owner jobs that still waited for the owner's own work at the end
    alarms: dict[str, int]
    cost_micro: int  # energy, wear and operations of the leased time
    curve_us: Ints  # int64[hours, 7]: instant, and the sums of the six states up to it
    offers: Ints  # int64[n, 3]: instant, horizon, GPUs that were offered under a guarantee
    demand: Ints  # int64[n, 2]: instant, the owner's demand from there on
    rounds: int
    opening: Opening | None  # how the pool stood when the market opened

    @property
    def lasted_us(self) -> int:
        """How long the market was open."""
        return self.until_us - self.from_us


def outcome_of(policy: str, replay: Replay) -> Outcome:
    """The outcome of a replay that has run."""
    scene, account, tally = replay.scene, replay.estate.account, replay.tally
    waiting = replay.estate.standing.waiting.values()
    return Outcome(
        policy=policy,
        pool=scene.pool.id,
        capacity=scene.capacity,
        from_us=account.since_us,
        until_us=account.now_us,
        states_us=dict(account.total),
        conserved=account.conserved,
        by_class={name: one for name, one in tally.by_class.items() if one.granted},
        starts_us=np.array(tally.starts_us, np.int64),
        delays_us=np.array(tally.delays_us, np.int64),
        promise_us=scene.pool.promise.within_us,
        unstarted=sum(job.entitled_us is None for job in waiting),
        alarms=dict(tally.alarms),
        cost_micro=account.total["leased"] * floor(scene.pool.cost).total_micro // HOUR_US,
        curve_us=np.array(account.hours, np.int64).reshape(-1, 1 + len(STATES)),
        offers=np.array(tally.offers, np.int64).reshape(-1, 3),
        demand=np.array(tally.demand, np.int64).reshape(-1, 2),
        rounds=tally.rounds,
        opening=replay.opening,
    )
