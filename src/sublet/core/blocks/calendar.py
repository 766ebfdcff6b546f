"""What of a pool may be sold as blocks, delivery window by delivery window.

A node counts for a window if it is fit, large enough, and no lease that the owner does not end by mere notice lasts into it. Of
these the owner keeps what the forecast says he may need (as far as it looks ahead), what his hand-back promise asks for, and
whatever is beyond the limit that he set.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sublet.core.ids import LeaseId
from sublet.core.lease import Lease, LeaseClass
from sublet.core.pricing.floor import acceptable_risk
from sublet.core.promise import promised
from sublet.core.standing import Standing
from sublet.core.supply import peak_at_risk, published_floor
from sublet.core.tables import CLASSES, NEVER
from sublet.core.terms import Breaking, ClassTerms, is_unbreakable
from sublet.core.view import PoolView

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Calendar:
    """One pool; arrays have one element a delivery window, the first of which begins at `from_us`."""

    from_us: int
    window_us: int
    node_gpus: int  # GPUs of each node that counts
    limit: Ints  # int64[w], whole nodes that may be blocks
    sold: Ints  # int64[w], whole nodes that are

    @property
    def left(self) -> Ints:
        """int64[w]: whole nodes that may still be sold; below 0 where less is there than was sold."""
        return self.limit - self.sold

    def span(self, start_us: int, end_us: int) -> tuple[int, int]:
        """(first, last + 1): the windows that this time touches, within the calendar."""
        first = (start_us - self.from_us) // self.window_us
        last = -(-(end_us - self.from_us) // self.window_us)
        return min(max(first, 0), len(self.limit)), min(max(last, 0), len(self.limit))

    def window_start_us(self, window: int) -> int:
        """When a window begins."""
        return self.from_us + window * self.window_us


def node_size(standing: Standing) -> int:
    """GPUs of a node that may be a block: those of the pool's largest nodes."""
    return int(np.bitwise_count(standing.slots).max(initial=0))


def bought(standing: Standing) -> list[Lease]:
    """Every block that was bought and is not over, whether it waits for its start or runs."""
    return [*standing.blocks.values(), *(lease for lease in kept_leases(standing) if lease.is_bought)]


def kept_leases(standing: Standing) -> list[Lease]:
    """The leases that hold GPUs and that the owner does not end by mere notice; most of a pool's are not among them."""
    rows = standing.held.rows
    kept = np.array([is_kept(standing.pool.terms.get(name)) for name in CLASSES], np.bool_)
    which = np.flatnonzero(rows["used"] & kept[rows["lease_class"]])
    return [standing.leases[LeaseId(standing.held.keys[row])] for row in which.tolist()]


def kept_until(standing: Standing, lease: Lease, *, now_us: int) -> int:
    """Until when a lease that the owner does not end by mere notice may hold its GPUs (µs); NEVER for one without an end."""
    pool, end = standing.pool, lease.ends_us
    if lease.deadline_us is not None:
        end = lease.deadline_us
    elif end is None and lease.term_us is not None:
        end = max(now_us, (lease.granted_us or now_us) + pool.start_us) + lease.term_us
    return NEVER if end is None else end + pool.turnround_us


def is_kept(terms: ClassTerms | None) -> bool:
    """Whether a class promises more than a notice."""
    return terms is None or terms.breaking is not Breaking.FREE


def calendar_of(view: PoolView, standing: Standing, *, now_us: int) -> Calendar:
    """The pool's calendar, as far as a block that is ordered now may last."""
    sale = view.pool.blocks
    from_us = now_us - now_us % sale.window_us
    windows = -(-(sale.ahead_us + sale.length_max_us) // sale.window_us) + 1
    empty = Calendar(from_us, sale.window_us, node_size(standing), np.zeros(windows, np.int64), np.zeros(windows, np.int64))
    for lease in bought(standing):
        first, last = empty.span(max(lease.not_before_us, now_us), lease.ends_us or now_us)
        empty.sold[first:last] += lease.nodes
    limit = np.full(windows, sale.limit or 0, np.int64)
    for bound in (_nodes_without_others, _nodes_the_promise_leaves, _nodes_the_owner_leaves):
        np.minimum(limit, bound(view, standing, empty, now_us), out=limit)
    return Calendar(empty.from_us, empty.window_us, empty.node_gpus, np.maximum(limit, 0), empty.sold)


def _kept_others(standing: Standing) -> list[Lease]:
    """Leases with a guarantee that hold GPUs and are no bought blocks."""
    return [lease for lease in kept_leases(standing) if not lease.is_bought]


def _nodes_without_others(view: PoolView, standing: Standing, calendar: Calendar, now_us: int) -> Ints:
    """int64[w]: fit nodes of the right size on which nobody else's guarantee lasts into the window."""
    del view
    until = np.zeros(len(standing.nodes), np.int64)
    for lease in _kept_others(standing):
        end = kept_until(standing, lease, now_us=now_us)
        for node, _ in lease.placement:
            row = standing.row_of[node]
            until[row] = max(until[row], end)
    ends = np.sort(until[whole(standing)])
    starts = calendar.from_us + calendar.window_us * np.arange(len(calendar.limit))
    return np.searchsorted(ends, starts, side="right").astype(np.int64)


def whole(standing: Standing) -> npt.NDArray[np.bool_]:
    """bool[n]: nodes that may be a block: as large as the largest, and fit altogether."""
    large = np.bitwise_count(standing.slots) == node_size(standing)
    fit: npt.NDArray[np.bool_] = large & (standing.fit == standing.slots)
    return fit


def _nodes_the_promise_leaves(view: PoolView, standing: Standing, calendar: Calendar, now_us: int) -> Ints:
    """int64[w]: nodes that may be out of the owner's reach, by the hand-back promise."""
    pool = view.pool
    spare = standing.capacity - promised(pool, standing.capacity)
    taken = np.zeros(len(calendar.limit), np.int64)
    for lease in _kept_others(standing):
        terms = pool.terms.get(lease.lease_class)
        if terms is None or is_unbreakable(terms) or standing.locks(lease):
            first, last = calendar.span(calendar.from_us, kept_until(standing, lease, now_us=now_us))
            taken[first:last] += lease.gpus
    left: Ints = (spare - taken) // max(1, calendar.node_gpus)
    return left


def _nodes_the_owner_leaves(view: PoolView, standing: Standing, calendar: Calendar, now_us: int) -> Ints:
    """int64[w]: nodes that the owner's demand leaves in the windows that the forecast reaches; beyond, nothing is known.

    The demand that counts is the peak from now to the window's end at the risk that a block's credit makes acceptable.
    """
    size, windows = max(1, calendar.node_gpus), len(calendar.limit)
    out = np.full(windows, len(standing.nodes), np.int64)
    floor = published_floor(view).total_micro
    risk = acceptable_risk(view.price_micro, floor, view.pool.terms[LeaseClass.BLOCK], calendar.window_us)
    at = 0
    for horizon in sorted(view.forecasts):
        first, last = at, max(at, (now_us + horizon - calendar.from_us) // calendar.window_us)
        if last > first:
            peak = peak_at_risk(view, horizon, risk, capacity=standing.capacity)
            out[first:last] = 0 if peak is None else max(0, standing.capacity - peak) // size
            at = last
    return out
