"""The published floor of a pool, and the price of a guarantee. Both are formulas that anybody may check."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sublet.core.terms import ClassTerms, CostSheet
from sublet.core.units import HOUR_US


@dataclass(frozen=True, slots=True)
class Floor:
    """The parts of a floor, micro-units a GPU-hour."""

    energy_micro: int
    wear_micro: int
    operations_micro: int
    reclaim_micro: int

    @property
    def total_micro(self) -> int:
        """What a GPU-hour must bring at least."""
        return self.energy_micro + self.wear_micro + self.operations_micro + self.reclaim_micro


def floor(cost: CostSheet, *, reclaim_micro: int = 0) -> Floor:
    """The floor: marginal energy + wear + operations + the expected cost of reclaims.

    Energy counts only what the GPU draws beyond idling, times PUE, times the tariff: the idle draw is paid either way.
    """
    marginal_w = max(0, cost.busy_w - cost.idle_w)
    energy = marginal_w * cost.pue_permille * cost.tariff_micro_kwh // (1_000 * 1_000)
    return Floor(energy, cost.wear_micro, cost.operations_micro, reclaim_micro)


def owed_micro(price_micro: int, terms: ClassTerms, term_us: int) -> int:
    """K: what a reclaim costs the owner for each GPU in credits, in micro-units."""
    return terms.credit_multiple * price_micro * term_us // HOUR_US


def risk_share(terms: ClassTerms, reclaim_probability: float) -> Fraction:
    """What a guarantee adds to the price, as a share of it: p*K / (H*(1 - p*(1 - phi))) with K a multiple of price x H.

    `phi` is the part of the bill kept on a reclaim: none where the class refunds. The share does not depend on the price, so
    a bid for a guaranteed lease competes with bare ones as bid / (1 + share). DESIGN section 6, ALGORITHMS section 3.5.
    """
    if not terms.credit_multiple or reclaim_probability <= 0:
        return Fraction(0)
    return _risk_share(terms.credit_multiple, terms.refunds, min(reclaim_probability, 0.99))


@lru_cache(maxsize=4096)
def _risk_share(multiple: int, refunds: bool, reclaim_probability: float) -> Fraction:  # noqa: FBT001
    """The formula; fractions are slow, and rounds ask for the same few again and again."""
    p = Fraction(reclaim_probability).limit_denominator(10_000)
    kept = 0 if refunds else 1
    return p * multiple / (1 - p * (1 - kept))


def acceptable_risk(price_micro: int, floor_micro: int, terms: ClassTerms, term_us: int) -> float:
    """p*: how likely a reclaim within the term may be before a lease is worth less than leaving the GPU idle.

    The newsvendor ratio m / ((1 - phi)*m + K), at most 1; m is the margin of the term. Spot, which owes nothing, has p* = 1.
    """
    margin = max(0, price_micro - floor_micro) * term_us / HOUR_US
    kept = 0.0 if terms.refunds else 1.0
    cost = (1 - kept) * margin + owed_micro(price_micro, terms, term_us)
    if cost <= 0:
        return 1.0
    return min(1.0, margin / cost)
