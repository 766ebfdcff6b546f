"""How much of a pool may be lent: surplus less reserve, for each class by its own risk."""

from dataclasses import dataclass
from fractions import Fraction

from sublet.core.forecast.calibration import calibrated_quantile
from sublet.core.pricing.floor import Floor, acceptable_risk, floor, risk_share
from sublet.core.terms import ClassTerms
from sublet.core.view import PoolView


@dataclass(frozen=True, slots=True)
class Supply:
    """What one pool may lend now."""

    capacity: int  # GPUs fit for use
    demand: int  # the owner's, held and waiting
    lent: int
    free: int  # free GPUs that no waiting job of the owner needs
    reserve: int
    lendable: int  # free - reserve, within the lending limit and what the site can give back in time


def reserve_for(view: PoolView, demand: int) -> int:
    """The hot buffer: a quantile of the owner's rise within the time that a reclaim takes, so that he normally waits zero."""
    pool = view.pool
    ahead = view.forecasts.get(view.lead_us)
    high = None if ahead is None else ahead.quantile(pool.reserve_quantile)
    return pool.reserve_min if high is None else max(pool.reserve_min, high - demand)


def supply(view: PoolView, *, capacity: int, demand: int, lent: int, free: int, reserve: int) -> Supply:
    """The pool's supply; GPUs counted by the caller from the fleet arrays."""
    room = max(0, free - reserve)
    for limit in (view.pool.lending_limit, risk_limit(view, capacity=capacity), view.ramp_limit):
        if limit is not None:
            room = min(room, max(0, limit - lent))
    return Supply(capacity, demand, lent, free, reserve, room)


def risk_limit(view: PoolView, *, capacity: int) -> int | None:
    """GPUs lent at once at most, whatever their class, where the owner bounds the risk of lending; None: he does not."""
    risk = view.pool.lending_risk
    if risk is None:
        return None
    peak = peak_at_risk(view, view.pool.lending_horizon_us, risk, capacity=capacity)
    return 0 if peak is None else int(view.feedback * max(0, capacity - peak))


def risk_bound(view: PoolView, terms: ClassTerms, term_us: int, *, price_micro: int, capacity: int) -> int:
    """GPUs of this class that may be lent for `term_us` at all: the largest k with P(M > capacity - k) <= p*.

    A class that owes nothing on a reclaim may lend everything idle; one that owes waits until the forecast knows something.
    """
    p_star = acceptable_risk(price_micro, floor(view.pool.cost).total_micro, terms, term_us)
    if p_star >= 1.0:
        return capacity
    peak = peak_at_risk(view, term_us, p_star, capacity=capacity)
    return 0 if peak is None else max(0, capacity - peak)


def peak_at_risk(view: PoolView, horizon_us: int, risk: float, *, capacity: int) -> int | None:
    """The demand that is passed within the horizon with at most this risk, by the calibrated forecast; None when unknown."""
    ahead = view.forecasts.get(horizon_us)
    return None if ahead is None else calibrated_quantile(ahead, risk, view.shifts.get(horizon_us, 0.0), capacity)


def published_floor(view: PoolView) -> Floor:
    """The pool's floor with the expected cost of reclaims, from the cost sheet."""
    expected = int(view.recalled * view.pool.cost.operations_micro)
    return floor(view.pool.cost, reclaim_micro=expected)


def risk_share_of(view: PoolView, terms: ClassTerms, term_us: int, *, lent_of_class: int, capacity: int) -> Fraction:
    """The risk price of a guaranteed class as a share of the clearing price, from the forecast's reclaim probability.

    The probability is that of the last GPU which may be lent: everybody of the class pays the same.
    """
    ahead = view.forecasts.get(term_us)
    if ahead is None or not len(ahead.samples):
        return Fraction(0)  # unknown: nothing of the class is lent, so there is no price to put on it
    return risk_share(terms, ahead.exceeds(capacity - lent_of_class - 1))
