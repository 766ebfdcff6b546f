"""Lending policies that a study sets side by side, one row each.

A policy is a way to run the core: settings of the pool, and what it is told of the future. None has code of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sublet.core.terms import Pool

OURS = "ours"
FORECAST_RISK = 0.1
"""The nominal reclaim probability of the policies that bound all lending by a forecast: GFS's own."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy. `settings` makes the pool's settings; `forecast` is a key of FORECASTS, "" for the study's, None for none."""

    title: str
    what: str
    settings: Callable[[Pool, int], Pool]  # (pool, capacity in GPUs) -> pool
    forecast: str | None = ""
    calibrated: bool = False  # the level of the forecast is moved by what became of offered windows
    feedback: bool = False  # GFS's factor on the quota, moved by how leases ended


def _nothing(pool: Pool, capacity: int) -> Pool:
    del capacity
    return replace(pool, lending_limit=0)


def _static(pool: Pool, capacity: int) -> Pool:
    return replace(pool, reserve_min=max(1, capacity // 10))


def _by_forecast(pool: Pool, capacity: int) -> Pool:
    del capacity
    return replace(pool, lending_risk=FORECAST_RISK)


def _as_it_is(pool: Pool, capacity: int) -> Pool:
    del capacity
    return pool


def _victims(order: str) -> Callable[[Pool, int], Pool]:
    def settings(pool: Pool, capacity: int) -> Pool:
        del capacity
        return replace(pool, victim_order=order)

    return settings


POLICIES: Mapping[str, Policy] = {
    "nothing_leased": Policy("nothing leased", "the fleet as it is today", _nothing, forecast=None),
    "static_reserve": Policy("static reserve", "a tenth of the pool is never lent, all else is", _static, forecast=None),
    "last_week_peak": Policy(
        "last week's peak", "lend what the same hours of last week left over", _by_forecast, forecast="last_week_peak"
    ),
    "gfs": Policy(
        "GFS form",
        "a quota from each hour's quantile, with the feedback of GFS (corrected)",
        _by_forecast,
        forecast="hourly_marginals",
        feedback=True,
    ),
    "lyra": Policy("Lyra victims", "as ours, but as few leases as possible end", _victims("fewest_jobs"), calibrated=True),
    "fifo": Policy(
        "first in, first out", "as ours, but the oldest leases end first", _victims("first_in_first_out"), calibrated=True
    ),
    OURS: Policy("ours", "calibrated forecast, hot reserve, least loss", _as_it_is, calibrated=True),
}
