"""What finishing a workload costs at each of many offers, and when it is done: all of them at once, as arrays.

The cost is the price of all hours that are billed, lost ones, starts and idle ones counted in; or the whole term of a
commitment; and egress and storage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sublet.core.decide.models import is_one
from sublet.core.decide.offer import MODES, SPOT, Needs, Offer, Provider
from sublet.core.finishing import Expected, expected
from sublet.core.units import SECOND_US

Floats = npt.NDArray[np.float64]
MONTH_H = 730.0


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """Offers with what weighing needs of them as arrays of one length; made once for many workloads."""

    offers: tuple[Offer, ...]
    providers: tuple[Provider, ...]  # of each offer
    gpus: Floats
    price: Floats  # micro-units of an instance for an hour
    hazard_h: Floats
    term_h: Floats
    start_h: Floats
    wait_h: Floats
    least_h: Floats
    egress: Floats
    storage: Floats
    notice_s: Floats
    is_spot: npt.NDArray[np.bool_]
    whole: npt.NDArray[np.bool_]
    models: npt.NDArray[np.int64]  # of each offer, as an index of `named`
    named: tuple[str, ...]

    def of(self, which: npt.NDArray[np.int64]) -> "Shelf":
        """Some of them, by their indices."""
        arrays = {name: getattr(self, name)[which] for name in _ARRAYS}
        used, models = np.unique(self.models[which], return_inverse=True)
        return replace(
            self,
            offers=tuple(self.offers[i] for i in which),
            providers=tuple(self.providers[i] for i in which),
            **{**arrays, "models": models.astype(np.int64)},
            named=tuple(self.named[i] for i in used),
        )


_ARRAYS = (
    "gpus", "price", "hazard_h", "term_h", "start_h", "wait_h", "least_h", "egress", "storage", "notice_s", "is_spot", "whole",
    "models",
)  # fmt: skip


def shelf_of(offers: Sequence[Offer], providers: Mapping[str, Provider]) -> Shelf:
    """Offers side by side. Every one's provider must be known; a spot hazard that nobody says is `UNKNOWN_HAZARD_H`."""
    behind = tuple(providers[one.provider] for one in offers)
    named = tuple(sorted({one.gpu_model for one in offers}))
    number = {name: n for n, name in enumerate(named)}

    def of(values: Sequence[float]) -> Floats:
        return np.array(values, np.float64)

    pairs = list(zip(offers, behind, strict=True))
    return Shelf(
        offers=tuple(offers),
        providers=behind,
        gpus=of([one.gpus for one in offers]),
        price=of([one.price_micro for one in offers]),
        hazard_h=of([_hazard(one, who) for one, who in pairs]),
        term_h=of([MODES[one.mode] for one in offers]),
        start_h=of([who.start_h for who in behind]),
        wait_h=of([who.wait_h for who in behind]),
        least_h=of([who.least_h for who in behind]),
        egress=of([who.egress_micro_gb for who in behind]),
        storage=of([who.storage_micro_gb_month for who in behind]),
        notice_s=of([who.notice_s or 0.0 for who in behind]),
        is_spot=np.array([one.mode == SPOT for one in offers], np.bool_),
        whole=np.array([one.whole for one in offers], np.bool_),
        models=np.array([number[one.gpu_model] for one in offers], np.int64),
        named=named,
    )


UNKNOWN_HAZARD_H = 0.05
"""Interruptions an hour of a spot instance of which nobody says anything: one in 20 hours, on the safe side."""


def _hazard(offer: Offer, provider: Provider) -> float:
    if offer.mode != SPOT:
        return 0.0
    known = offer.hazard_h if offer.hazard_h is not None else provider.hazard_h
    return UNKNOWN_HAZARD_H if known is None else known


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """One workload at every offer of a shelf: float64[n]. Money in micro-units; infinite: never done there."""

    instances: Floats
    compute: Floats
    egress: Floats
    storage: Floats
    cost: Floats
    interruptions: Floats  # of one run
    lost_h: Floats  # of one run, hours that are run twice
    end_h: Floats  # all runs
    fits: npt.NDArray[np.bool_]  # the model is one of the wanted


def weigh(needs: Needs, shelf: Shelf, *, price: Floats | None = None, hazard: Floats | None = None) -> Weighed:
    """Weigh a workload; `price` and `hazard` stand in for the shelf's, where somebody asks what if."""
    price = shelf.price if price is None else price
    hazard = shelf.hazard_h if hazard is None else hazard
    speed = _speeds(needs, shelf)
    fits = speed > 0
    work = needs.work_h / np.where(fits, speed, 1.0)
    instances = np.ceil(needs.gpus / np.maximum(shelf.gpus, 1e-9))
    found = _expected(needs, work, hazard * np.where(shelf.whole, 1.0, instances), shelf)
    starts = 1 + found.reclaims
    move_h = (needs.in_gb + needs.out_gb) / needs.gb_per_h
    paid_h = np.maximum(found.billed_h + needs.idle_h + starts * shelf.start_h + move_h, shelf.least_h) * needs.runs
    with np.errstate(invalid="ignore", over="ignore"):
        terms = np.where(shelf.term_h > 0, np.ceil(paid_h / np.maximum(shelf.term_h, 1.0)) * shelf.term_h, paid_h)
        end = (found.end_h + shelf.wait_h + starts * shelf.start_h + needs.idle_h + move_h) * needs.runs
        compute = price * instances * terms
        egress = (shelf.egress * needs.out_gb + needs.home_egress_micro_gb * needs.in_gb) * needs.runs
        storage = shelf.storage * needs.kept_gb * end / MONTH_H
    storage = np.where(needs.kept_gb > 0, storage, 0.0)
    cost = compute + egress + storage
    return Weighed(instances, compute, egress, storage, cost, found.reclaims, found.running_h - work, end, fits)


def _speeds(needs: Needs, shelf: Shelf) -> Floats:
    """The speed of each offer's model; 0: not wanted. Of several names that fit, the longest counts."""
    by_model = np.zeros(len(shelf.named))
    for number, offered in enumerate(shelf.named):
        names = [wanted for wanted in needs.models if is_one(offered, wanted)]
        if names:
            by_model[number] = needs.models[max(names, key=len)]
    return by_model[shelf.models]


def _expected(needs: Needs, work: Floats, hazard: Floats, shelf: Shelf) -> Expected:
    """Runs that save within the notice lose nothing; others go back to their last checkpoint, or to the start."""
    habit = replace(needs.habit, turn_us=0, backoff_us=0, free_us=0)
    again = shelf.wait_h
    if not needs.saves:
        return expected(work, hazard, replace(habit, heeds=False, checkpoint_us=None), again_h=again)
    heeding = expected(work, hazard, replace(habit, heeds=True), again_h=again)
    losing = expected(work, hazard, replace(habit, heeds=False), again_h=again)
    heeds = shelf.notice_s * SECOND_US >= needs.habit.save_us
    return Expected(
        *(
            np.where(heeds, getattr(heeding, name), getattr(losing, name))
            for name in ("reclaims", "running_h", "billed_h", "end_h")
        )
    )
