"""Rolling origin: what a method says at each of many instants, and what would be lent on it, with nothing known too early.

A method learns again whenever it would have, and calibration learns from an offered window as soon as that is over.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sublet.core.forecast.calibration import level, moved, part
from sublet.core.forecast.kernels import NO_DEMAND
from sublet.core.forecast.method import Method, Model, Past, begin_us
from sublet.core.forecast.series import Series
from sublet.core.forecast.window import SAMPLES, Ahead, Bools, Floats, Ints, nothing_known

Progress = Callable[[float], None]


def _silent(_share: float) -> None:
    """Whoever does not ask is told nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """M(t, H) of several pools at many instants: samples int64[pools, instants, SAMPLES], and which are known."""

    samples: Ints
    known: Bools  # bool[pools, instants]


@dataclass(frozen=True, slots=True, eq=False)
class Succession:
    """Models of one method and horizon, each of which speaks from the instant on that it was learnt at, until the next one."""

    from_us: tuple[int, ...]  # rising
    models: tuple[Model, ...]

    def at(self, series: Series, instants: Ints) -> Ahead:
        """What was said at each instant (µs, rising); nothing before the first model."""
        ahead = nothing_known(instants)
        edges = [*np.searchsorted(instants, np.array(self.from_us, np.int64)).tolist(), len(instants)]
        for model, first, last in zip(self.models, edges, edges[1:], strict=False):
            if first < last:
                said = model.at(series, instants[first:last])
                ahead.samples[first:last], ahead.known[first:last] = said.samples, said.known
        return ahead

    def followed_by(self, model: Model, from_us: int) -> "Succession":
        """With one more model, which was learnt last."""
        return Succession((*self.from_us, from_us), (*self.models, model))


def successive(past: Past, method: Method, instants: Ints, horizon_us: int, progress: Progress = _silent) -> Succession:
    """The models that the method would have had at the instants (µs, rising); `progress` is told the share that is learnt."""
    found = Succession((), ())
    for first, last in _spells(method, instants, begin_us(past)):
        at_us = int(instants[first])
        found = found.followed_by(method.learn(past, horizon_us, at_us), at_us)
        progress(last / len(instants))
    return found


def looked_ahead(past: Past, method: Method, instants: Ints, horizon_us: int, progress: Progress = _silent) -> Forecasts:
    """What the method says at every instant (µs, rising), each time from the model that it would have had."""
    models = successive(past, method, instants, horizon_us, progress)
    said = [models.at(series, instants) for series in past.values()]
    if not said:
        return Forecasts(np.zeros((0, len(instants), SAMPLES), np.int64), np.zeros((0, len(instants)), np.bool_))
    return Forecasts(np.stack([ahead.samples for ahead in said]), np.stack([ahead.known for ahead in said]))


def _spells(method: Method, instants: Ints, begin: int | None) -> Iterator[tuple[int, int]]:
    """[first, last) of the instants that share one model."""
    first = 0
    while first < len(instants):
        good_for = method.renew_us(0 if begin is None else max(0, int(instants[first]) - begin))
        due = None if good_for is None else instants[first] + max(good_for, 1)
        last = len(instants) if due is None else int(np.searchsorted(instants, due))
        yield first, last
        first = last


def lent(forecasts: Forecasts, capacity: Ints, instant: int, levels: Floats, parts: Floats) -> Ints:
    """int64[n, pools]: parts of the capacity less the quantile at levels (both float64[n, pools]); 0 where nothing is known."""
    pools, _, size = forecasts.samples.shape
    rank = np.clip(np.ceil(levels * size).astype(np.int64) - 1, 0, size - 1)
    room = np.maximum(capacity - forecasts.samples[np.arange(pools), instant, rank], 0)
    return np.where(forecasts.known[:, instant], (room * parts).astype(np.int64), 0)


def plain(forecasts: Forecasts, capacity: Ints, risks: Floats) -> Ints:
    """int64[n, instants, pools]: offers at each of float64[n, pools] risks, as the forecast says."""
    instants = range(forecasts.samples.shape[1])
    return np.stack([lent(forecasts, capacity, i, 1.0 - risks, np.ones_like(risks)) for i in instants], axis=1)


def rolled(  # noqa: PLR0917 - arrays that belong together, and two lengths
    forecasts: Forecasts, capacity: Ints, peaks: Ints, risks: Floats, horizon_us: int, step_us: int
) -> tuple[Ints, Floats]:
    """The same with calibration, and the shifts that it took: int64[n, instants, pools], float64[n, instants].

    `peaks` int64[instants, pools] is what came, NO_DEMAND where nobody knows; instants are `step_us` apart.
    """
    count, late = len(peaks), -(-horizon_us // step_us)
    gpus = np.zeros((len(risks), count, len(capacity)), np.int64)
    shifts = np.zeros((len(risks), count))
    shift = np.zeros(len(risks))
    for i in range(count):
        if i >= late:
            came = peaks[i - late]
            made = np.where(came == NO_DEMAND, 0, gpus[:, i - late])
            shift = moved(shift, made, came > capacity - made, risks, horizon_us)
        each = shift[:, np.newaxis]
        gpus[:, i] = lent(forecasts, capacity, i, level(risks, each), part(each))
        shifts[:, i] = shift
    return gpus, shifts
