"""What every forecast method is: something that learns from the past of all pools, and then looks ahead from any instant.

The running system looks ahead from one instant, the back-test from thousands: both make the same call, so what was judged is
what runs.
"""

from collections.abc import Mapping
from typing import Protocol

from sublet.core.forecast.series import Series
from sublet.core.forecast.window import Ahead, Ints
from sublet.core.ids import PoolId
from sublet.core.units import DAY_US

Past = Mapping[PoolId, Series]
"""The demand of all pools of a fleet."""

WEEK_US = 7 * DAY_US


class Model(Protocol):
    """What a method has learnt for one horizon."""

    def at(self, series: Series, instants: Ints) -> Ahead:
        """M(t, H) at each of the instants t (µs, rising), from nothing but the demand up to t.

        Steps after t may be in the series; they must not move the answer.
        """


class Method(Protocol):
    """One way of forecasting."""

    def renew_us(self, span_us: int) -> int | None:
        """How long (µs) a model stays good that was learnt from a past of `span_us`; None: learning costs nothing."""

    def learn(self, past: Past, horizon_us: int, now_us: int) -> Model:
        """A model for one horizon (µs) from the demand of all pools up to now; later steps must not move it."""


def as_it_grows(span_us: int) -> int:
    """Learn again when the past has grown by an eighth: daily at first, weekly once two months are known."""
    return min(max(span_us // 8, DAY_US), WEEK_US)


def begin_us(past: Past) -> int | None:
    """The first instant (µs) that any pool has a record of; None without a record."""
    first = [int(series.history.at_us[0]) for series in past.values() if len(series.history.at_us)]
    return min(first, default=None)
