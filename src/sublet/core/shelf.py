"""What a round has on its shelf: how much of each (class, term) may still be lent, and what its guarantee adds to the price.

And of each tenant what limits it. Columns by the numbers that a standing gives to products and tenants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.ids import TenantId
from sublet.core.standing import Product, Standing
from sublet.core.supply import risk_bound, risk_share_of
from sublet.core.tables import CLASS_CODE, NEVER
from sublet.core.view import PoolView, TenantView

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TenantColumns:
    """Tenants by number: bool[n], and int64[n] each in GPUs; a quota of -1 is none. `holding` grows with the round's grants."""

    suspended: npt.NDArray[np.bool_]
    quota: Ints
    holding: Ints
    headroom: Ints  # micro-units that may still be spent; NEVER: no limit
    spent: Ints  # of that, in this plan

    @property
    def limits(self) -> tuple[npt.NDArray[np.bool_], Ints, Ints]:
        """As `kernels.queue.screen` takes them."""
        return self.suspended, self.quota, self.holding


def tenant_columns(
    standing: Standing, tenants: Mapping[TenantId, TenantView], holding: Ints, spent: Mapping[TenantId, int]
) -> TenantColumns:
    """The columns of a standing's tenants; one that is not known here has nothing in this round."""
    known = [tenants.get(name) for name in standing.tenants]
    limits = [None if one is None else one.quota(standing.pool.id).limit for one in known]
    return TenantColumns(
        np.array([one is not None and one.suspended for one in known], np.bool_),
        np.array([-1 if limit is None else limit for limit in limits], np.int64),
        holding,
        np.array([NEVER if one is None or one.headroom_micro is None else one.headroom_micro for one in known], np.int64),
        np.array([spent.get(name, 0) for name in standing.tenants], np.int64),
    )


@dataclass(frozen=True, slots=True)
class Shelf:
    """Products by number. `spare`: int64[products], GPUs of each that may still be lent; it shrinks with the round's grants.

    `shares`: what each adds to the clearing price, as a share of it.
    """

    products: list[Product]
    spare: Ints
    shares: list[Fraction]
    over: Ints  # a product pays `whole` / `over` of the clearing price, int64[products] each
    whole: Ints
    class_of: Ints  # int64[products], the code of its class

    def bare_bids(self, rows: npt.NDArray[Any]) -> Ints:
        """int64[n]: the bids of these queue rows with the risk price taken off, rounded down."""
        bare: Ints = rows["bid_micro"] * self.over[rows["product"]] // self.whole[rows["product"]]
        return bare

    def pays(self, product: int, price_micro: int, bid_micro: int) -> int:
        """The price of a GPU-hour at a clearing price; never above the bid."""
        share = self.shares[product]
        return min(price_micro * (share.numerator + share.denominator) // share.denominator, bid_micro)


def shelf_of(view: PoolView, products: list[Product], lent_by_class: Ints, capacity: int) -> Shelf:
    """The shelf at the beginning of a round; `lent_by_class`: int64[classes], GPUs by class code."""
    spare = np.empty(len(products), np.int64)
    shares: list[Fraction] = []
    for number, (lease_class, term_us) in enumerate(products):
        terms = view.pool.terms[lease_class]
        lent = int(lent_by_class[CLASS_CODE[lease_class]])
        bound = risk_bound(view, terms, term_us, price_micro=view.price_micro, capacity=capacity)
        spare[number] = bound - lent
        shares.append(risk_share_of(view, terms, term_us, lent_of_class=lent, capacity=capacity))
    over = np.array([share.denominator for share in shares], np.int64)
    whole = np.array([share.numerator + share.denominator for share in shares], np.int64)
    class_of = np.array([CLASS_CODE[lease_class] for lease_class, _ in products], np.int64)
    return Shelf(products, spare, shares, over, whole, class_of)
