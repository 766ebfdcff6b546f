"""Models of the forecasts that have to learn: made in the background, renewed when they are due, and never waited for.

With the first model come those that the method would have had over the trailing weeks: calibration is made with them, as the
back-test does.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from sublet.core.errors import SubletError
from sublet.core.forecast import FORECASTS, Model
from sublet.core.forecast.hourly_calibration import hours_until
from sublet.core.forecast.method import Past, begin_us
from sublet.core.forecast.rolling import Succession, successive
from sublet.core.units import HOUR_US

log = structlog.get_logger(__name__)

FALLBACK = "window_max_quantile"
"""Answers until the first model is there: it has nothing to learn."""
RETRY_US = HOUR_US
"""After learning has failed, it is tried again so much later."""

Job = Callable[[], None]


def in_background(job: Job) -> None:
    """In a thread of its own, which ends with the process."""
    threading.Thread(target=job, name="forecast", daemon=True).start()


@dataclass(frozen=True, slots=True)
class _Learnt:
    """A model, and when it is to be made again (µs)."""

    model: Model
    due_us: int


class Models:
    """One model for each method and horizon in use, shared by all pools of the fleet."""

    def __init__(self, run: Callable[[Job], None] = in_background) -> None:
        """`run` does a job at once or later; one at a time is given to it."""
        self._run = run
        self._learnt: dict[tuple[str, int], _Learnt] = {}
        self._retry_us: dict[tuple[str, int], int] = {}
        self._looked_back: dict[tuple[str, int], Succession] = {}
        self._busy = threading.Lock()

    def of(self, name: str, horizon_us: int, past: Past, now_us: int) -> Model:
        """The newest model, the fallback's while there is none. Begins to learn if that is due and nothing else is learnt."""
        method = FORECASTS[name]
        begin = begin_us(past)
        good_for = method.renew_us(0 if begin is None else max(0, now_us - begin))
        if good_for is None:
            return method.learn(past, horizon_us, now_us)
        key = (name, horizon_us)
        learnt = self._learnt.get(key)
        due = self._retry_us.get(key, 0) <= now_us and (learnt is None or learnt.due_us <= now_us)
        if due and self._busy.acquire(blocking=False):
            self._run(lambda: self._learn(key, past, now_us, now_us + good_for))
            learnt = self._learnt.get(key)
        return learnt.model if learnt else FORECASTS[FALLBACK].learn(past, horizon_us, now_us)

    def looked_back(self, name: str, horizon_us: int) -> Succession | None:
        """The models of the trailing weeks, up to the newest one by then; None until they are there."""
        return self._looked_back.get((name, horizon_us))

    def _learn(self, key: tuple[str, int], past: Past, now_us: int, due_us: int) -> None:
        name, horizon_us = key
        try:
            model = FORECASTS[name].learn(past, horizon_us, now_us)
            self._learnt[key] = _Learnt(model, due_us)
            if key not in self._looked_back:
                before = successive(past, FORECASTS[name], hours_until(past, now_us), horizon_us)
                self._looked_back[key] = before.followed_by(model, now_us)
        except SubletError as error:
            self._retry_us[key] = now_us + RETRY_US
            log.error("forecast_not_learnt", forecast=name, horizon_us=horizon_us, reason=error.message, hint=error.hint)  # noqa: TRY400
        except Exception:
            self._retry_us[key] = now_us + RETRY_US
            log.exception("forecast_not_learnt", forecast=name, horizon_us=horizon_us, instead=FALLBACK)
        finally:
            self._busy.release()
