"""The day itself: the owner and the tenants act at their instants, through the public API and nothing else."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from sublet.cli.client import Client
from sublet.core.errors import Unavailable
from sublet.core.units import SECOND_US
from sublet.demo.cast import Wish
from sublet.demo.schedule import OwnerPiece, Schedule
from sublet.demo.stage import Stage

REFRESH_S = 0.25
_END_S = 30.0
_FAILING_S = 4.0

Watch = Callable[[int], None]
"""Called again and again with the time into the day (µs)."""


@dataclass(slots=True)
class Played:
    """What came of the tenants' requests: the ids, in order."""

    leases: dict[str, list[str]] = field(default_factory=dict)  # by tenant


def play(stage: Stage, schedule: Schedule, wishes: tuple[Wish, ...], watch: Watch) -> Played:
    """Submit everything at its instant, and return when the day is over."""
    acts: list[OwnerPiece | Wish] = sorted([*schedule.pieces, *wishes], key=attrgetter("at_us"))
    played = Played(leases={tenant: [] for tenant in stage.tenants})
    began = time.monotonic()
    for act in acts:
        _wait_until(began, act.at_us, watch)
        if isinstance(act, OwnerPiece):
            stage.queue.submit(act)
        else:
            made = stage.tenants[act.tenant].post("/v1/leases", act.task)
            played.leases[act.tenant].append(made["id"])
    _wait_until(began, schedule.length_us, watch)
    return played


def wind_down(stage: Stage, *, length_us: int, watch: Watch) -> None:
    """The end of the day: the tenants release, the owner's last jobs end, and every GPU is handed over."""
    began = time.monotonic()
    for client in stage.tenants.values():
        for lease in _open(client, "/v1/leases"):
            client.delete(f"/v1/leases/{lease['id']}")
    stage.queue.clear()
    while time.monotonic() - began < _END_S:
        if not _open(stage.owner, "/v1/leases") and not _open(stage.owner, "/v1/jobs"):
            return
        time.sleep(0.1)
        watch(length_us)


class Guard:
    """Ends a demo whose control plane goes on failing: waiting would only hide why."""

    def __init__(self, stage: Stage, watch: Watch) -> None:
        """`watch` is called as before."""
        self._stage, self._watch = stage, watch
        self._since: float | None = None

    def __call__(self, into_us: int) -> None:
        """Look at the loops, then draw."""
        failing = self._stage.server.plane.loops.failing
        if not failing:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > _FAILING_S:
            loop, reason = next(iter(failing.items()))
            raise Unavailable(f"the control plane cannot {loop}: {reason}", hint="put that right and run the demo again")
        self._watch(into_us)


def _wait_until(began: float, at_us: int, watch: Watch) -> None:
    while True:
        into_s = time.monotonic() - began
        left_s = at_us / SECOND_US - into_s
        if left_s <= 0:
            return
        if left_s < REFRESH_S:
            time.sleep(left_s)
            continue
        watch(round(into_s * SECOND_US))
        spent_s = time.monotonic() - began - into_s
        time.sleep(max(0.0, min(left_s, REFRESH_S) - spent_s))


def _open(client: Client, path: str) -> list[Any]:
    return [one for one in client.everything(path) if one["state"] != "ended"]
