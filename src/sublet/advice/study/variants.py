"""What the sensitivity of a study turns: one assumption at a time, a few values each, one row an assumption."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sublet.core.lease import LeaseClass
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US, said
from sublet.sim.outlook import Known, Outlook
from sublet.sim.scene import Scene

Change = Callable[[Scene], Scene]


@dataclass(frozen=True, slots=True)
class Variant:
    """One value of one assumption."""

    assumption: str
    value: str
    change: Change


@dataclass(frozen=True, slots=True, eq=False)
class Unreserved:
    """An outlook that says nothing of the next rise: the reserve is then what the pool's settings say, and no more."""

    outlook: Outlook
    lead_us: int

    def at(self, now_us: int, demand: int) -> Known:
        """What is known at an instant, all but that."""
        known = self.outlook.at(now_us, demand)
        forecasts = {horizon: ahead for horizon, ahead in known.forecasts.items() if horizon != self.lead_us}
        return Known(forecasts, known.shifts)


def _price(share: float) -> Change:
    def change(scene: Scene) -> Scene:
        return replace(scene, pool=replace(scene.pool, price_micro=round(scene.pool.price_micro * share)))

    return change


def _notice(notice_us: int) -> Change:
    def change(scene: Scene) -> Scene:
        terms = dict(scene.pool.terms)
        for name in (LeaseClass.SPOT, LeaseClass.GUARDED):
            terms[name] = replace(terms[name], grace_us=notice_us)
        return replace(scene, pool=replace(scene.pool, terms=terms))

    return change


def _checkpoint(every_us: int | None, *, heed: bool) -> Change:
    def change(scene: Scene) -> Scene:
        return replace(scene, habits=replace(scene.habits, checkpoint_us=every_us, heed=heed))

    return change


def _reserve(share: float) -> Change:
    """Of the capacity, instead of what the forecast says."""

    def change(scene: Scene) -> Scene:
        return replace(scene, pool=replace(scene.pool, reserve_quantile=0.0, reserve_min=round(scene.capacity * share)))

    return change


ASSUMPTIONS: Mapping[str, Sequence[tuple[str, Change]]] = {
    "price": tuple((f"{share:g} x", _price(share)) for share in (0.5, 0.75, 1.5)),
    "notice": tuple((said(us), _notice(us)) for us in (30 * SECOND_US, 10 * MINUTE_US)),
    "notice ignored": (
        ("checkpoint 10 min", _checkpoint(10 * MINUTE_US, heed=False)),
        ("checkpoint 1 h", _checkpoint(HOUR_US, heed=False)),
        ("checkpoint 4 h", _checkpoint(4 * HOUR_US, heed=False)),
        ("no checkpoint", _checkpoint(None, heed=False)),
    ),
    "reserve": tuple((f"{share:.0%} of the pool", _reserve(share)) for share in (0.0, 0.05, 0.2)),
}
"""An assumption and the values beside the study's own."""


def variants() -> tuple[Variant, ...]:
    """All of them."""
    return tuple(Variant(name, value, change) for name, values in ASSUMPTIONS.items() for value, change in values)
