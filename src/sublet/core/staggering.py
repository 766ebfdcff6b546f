"""A reclaim that is more than a site bears at once becomes a schedule: each lease gets its own notice and deadline.

What the site bears wins over the promise: a tripped breaker takes every job with it, the owner's first. So the promise has to
be kept the other way round: no more is lent than the site can give back within the promised time (`ramp_limit`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sublet.core.draft import Draft, Ground
from sublet.core.kernels import ramp
from sublet.core.plan import Alarm, Reclaim
from sublet.core.promise import promised
from sublet.core.site import Site, shed_w
from sublet.core.standing import Standing
from sublet.core.terms import Pool
from sublet.core.units import MINUTE_US
from sublet.core.values import changed
from sublet.core.view import AnyView

Ints = npt.NDArray[np.int64]


def stagger_reclaims(view: AnyView, grounds: Iterable[Ground], draft: Draft) -> None:
    """Date the reclaims of this round, site by site, those first whose GPUs are due first."""
    if not draft.reclaims:
        return
    known = {here.view.pool.id: here for here in grounds if here.view.site is not None}
    sites = {here.view.site for here in known.values() if here.view.site is not None and here.view.site.bounds}
    for site in sorted(sites, key=lambda site: site.id):
        places = [i for i, one in enumerate(draft.reclaims) if one.pool in known and known[one.pool].view.site == site]
        places.sort(key=lambda i: draft.reclaims[i].due_us)
        standings = [here.standing for here in known.values()] + list(view.beside)
        ending = _ending(site, [standing for standing in standings if standing.pool.site == site.id], draft.now_us)
        dated = _dated(site, [(draft.reclaims[i], known[draft.reclaims[i].pool]) for i in places], ending, draft)
        for i, one in zip(places, dated, strict=True):
            draft.reclaims[i] = one


def _dated(site: Site, asked: Sequence[tuple[Reclaim, Ground]], ending: tuple[Ints, Ints], draft: Draft) -> list[Reclaim]:
    """The reclaims with the site's schedule, in their order, beside what ends already."""
    if not asked:
        return []
    now, (saving, falling) = draft.now_us, ending
    columns = [_columns(site, one, here, now) for one, here in asked]
    orders = [np.argsort(one[0], kind="stable") for one in columns]
    most = (-1 if site.save_mb_s is None else site.save_mb_s, -1 if site.ramp_w is None else site.ramp_w)
    earliest, grace, saves, sheds = (
        np.concatenate([one[part][order] for one, order in zip(columns, orders, strict=True)]) for part in range(4)
    )
    notices, deadlines = ramp.stagger(earliest, grace, saves, sheds, most, saving, falling)
    ends = np.cumsum([0, *(len(order) for order in orders)]).tolist()
    found = []
    for (one, here), order, (first, last) in zip(asked, orders, pairwise(ends), strict=True):
        notice, deadline = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
        notice[order], deadline[order] = now + notices[first:last], now + deadlines[first:last]
        found.append(_with_dates(one, here, notice, deadline))
        _warn(site, one, found[-1], draft)
    return found


def _columns(site: Site, one: Reclaim, here: Ground, now_us: int) -> tuple[Ints, Ints, Ints, Ints]:
    """(earliest_us, grace_us, saves_mb_s, sheds_w) of the leases that end, as `ramp.stagger` takes them."""
    held = here.standing.held
    rows = held.rows[[held.row_of(lease) for lease in one.leases]]
    earliest = np.array(one.deadlines_us, np.int64) - now_us
    gpus, grace = rows["gpus"].astype(np.int64), np.minimum(rows["grace_us"], earliest)
    saves = np.zeros(len(rows), np.int64)
    told = grace > 0
    saves[told] = -(-gpus[told] * site.state_mb * 1_000_000 // grace[told])
    return earliest, grace, saves, gpus * shed_w(here.view.pool)


def _ending(site: Site, standings: Iterable[Standing], now_us: int) -> tuple[Ints, Ints]:
    """What is being saved, and what load falls away, by leases of the site that end already: by seconds from now."""
    saving, falling = np.zeros(ramp.HORIZON, np.int64), np.zeros(ramp.HORIZON, np.int64)
    for standing in standings:
        pool = standing.pool
        ramp.count_ending(standing.held.rows, now_us, (shed_w(pool), site.state_mb), pool.stop_us, saving, falling)
    return saving, falling


def _with_dates(one: Reclaim, here: Ground, notice: Ints, deadline: Ints) -> Reclaim:
    back = _after_us(here.view.pool)
    return replace(
        one,
        notices_us=tuple(notice.tolist()),
        deadlines_us=tuple(deadline.tolist()),
        late=tuple((deadline + back > one.due_us).tolist()),
    )


def _warn(site: Site, before: Reclaim, after: Reclaim, draft: Draft) -> None:
    """Tell the owner where the schedule takes longer than he was promised."""
    if sum(after.late) > sum(before.late):
        last = max(after.deadlines_us)
        reason = (
            f"site {site.id} bears the reclaim for owner job {after.job} only in {(last - after.at_us) / 1e6:g} s: "
            f"{sum(after.late)} leases end after the promised time; lend less there, or raise what the site bears"
        )
        draft.alarms.append(Alarm("promise.at_risk", after.pool, reason))


def ramp_gpus(site: Site, pool: Pool) -> int | None:
    """GPUs of the pool that come back within its promise, if only its leases end; None: the site bounds nothing.

    Between the first deadline, after the longest notice g, and the last one that is in time, T after the notices begin, there
    are (T - g) / 60 s + 1 minutes for the load to fall, and T / g notices one after the other for checkpoints.
    """
    graces = [pool.terms[name].grace_us for name in pool.classes if pool.terms[name].grace_us <= pool.promise.within_us]
    grace, last = max(graces, default=0), pool.promise.within_us - pool.detection_us - _after_us(pool)
    if not site.bounds:
        return None
    if last < grace:
        return 0
    found = []
    if site.ramp_w is not None and (watts := shed_w(pool)):
        found.append(site.ramp_w // watts * ((last - grace) // MINUTE_US + 1))
    if site.save_mb_s is not None and site.state_mb and grace:
        found.append(site.save_mb_s * grace // (site.state_mb * 1_000_000) * (last // grace))
    return min(found, default=None)


def limit_lending(view: AnyView, grounds: Iterable[Ground], here: Ground) -> None:
    """Lend no more of a pool than its site can give back in time; what the others have granted in this round counts."""
    site = here.view.site
    if site is not None and site.bounds:
        others = [(other.standing, other.lent) for other in grounds if other is not here]
        others += [(standing, standing.lent) for standing in view.beside]
        same = [(standing, lent) for standing, lent in others if standing.pool.site == site.id]
        here.view = changed(here.view, ramp_limit=ramp_limit(site, here.standing, same))


def ramp_limit(site: Site, here: Standing, others: Iterable[tuple[Standing, int]]) -> int | None:
    """GPUs of this pool that may be lent at once so that the site can give all of its pools back in time; None: no bound.

    Pools share what the site bears: what the `others` there have lent, and have to give back, takes its part.
    """
    mine = ramp_gpus(site, here.pool)
    if mine is None:
        return None
    left = Fraction(1)
    for other, lent in others:
        theirs = ramp_gpus(site, other.pool)
        if theirs is not None and (owes := lent - _unpromised(other)) > 0:
            left -= Fraction(owes, theirs) if theirs else 1
    return _unpromised(here) + int(max(Fraction(0), left) * mine)


def _unpromised(here: Standing) -> int:
    """GPUs that the owner is not promised back."""
    return here.capacity - promised(here.pool, here.capacity)


def _after_us(pool: Pool) -> int:
    """From a deadline to GPUs in the owner's hands."""
    return pool.stop_us + pool.handover_us + pool.start_us
