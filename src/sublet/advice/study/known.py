"""Figures of what is known: inside a gap of the log nobody knows whether GPUs were idle, so what is leased there is no result.

The replay itself runs through a gap as if nothing had been submitted. Afterwards the GPU time in it is taken away from the six
states; revenue and cost shrink with the leased time of the pool, and offers that reach into a gap are not judged. Leases,
reclaims and what is owed for them are counted as they came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sublet.core.occupancy import STATES
from sublet.core.units import HOUR_US
from sublet.sim.figures import Figures, figures_of
from sublet.sim.outcome import Outcome
from sublet.sim.tally import ClassTally
from sublet.traces import Gap


def known_figures(
    outcomes: Sequence[Outcome],
    gaps: Sequence[Gap],
    *,
    bounds_us: Mapping[int, int],
    rng: np.random.Generator,
    alone: Sequence[Outcome],
) -> Figures:
    """The figures of one policy over these pools (as `sim.figures.figures_of`), without the gaps of the log."""
    inside = [_inside(one, gaps) for one in outcomes]
    if not any(inside):
        return figures_of(outcomes, bounds_us=bounds_us, rng=rng, alone=alone)
    known = [_known(one, unknown) for one, unknown in zip(outcomes, inside, strict=True)]
    made = figures_of(known, bounds_us=bounds_us, rng=rng, alone=alone)
    fleet_gpu_h = sum(sum(one.states_us.values()) for one in known) / HOUR_US
    return replace(made, fleet_gpu_h=fleet_gpu_h, net_per_gpu_h=made.net / fleet_gpu_h if fleet_gpu_h else 0.0)


def _inside(outcome: Outcome, gaps: Sequence[Gap]) -> list[tuple[int, int]]:
    """The parts of the gaps that lie in the studied period, in µs."""
    parts = [(max(gap.from_us, outcome.from_us), min(gap.to_us, outcome.until_us)) for gap in gaps]
    return [(begin, end) for begin, end in parts if end > begin]


def _known(outcome: Outcome, unknown: Sequence[tuple[int, int]]) -> Outcome:
    """The outcome without what happened in these stretches."""
    at, sums = outcome.curve_us[:, 0], outcome.curve_us[:, 1:]
    edges = np.array(unknown, np.int64)
    states = dict(outcome.states_us)
    for i, state in enumerate(STATES):
        spent = np.interp(edges, at, sums[:, i])
        states[state] -= round(float((spent[:, 1] - spent[:, 0]).sum()))
    was = outcome.states_us["leased"]
    left = states["leased"] / was if was else 1.0
    return replace(
        outcome,
        states_us=states,
        by_class={name: _shrunk(tally, left) for name, tally in outcome.by_class.items()},
        cost_micro=round(outcome.cost_micro * left),
        offers=outcome.offers[~_reaches(outcome, unknown)],
    )


def _shrunk(tally: ClassTally, share: float) -> ClassTally:
    """A class's count with its revenue at this share: the price is the same at all times."""
    return replace(tally, revenue_micro=round(tally.revenue_micro * share))


def _reaches(outcome: Outcome, unknown: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """bool[offers]: whether the offered window has a part of a gap in it."""
    begin, end = outcome.offers[:, 0], outcome.offers[:, 0] + outcome.offers[:, 1]
    found = np.zeros(len(begin), np.bool_)
    for gap_begin, gap_end in unknown:
        found |= (begin < gap_end) & (end > gap_begin)
    return found
