"""Which nodes leases with a guarantee must keep clear of, because a block that was bought starts there before they end.

Every waiting block gets nodes of its own, on paper: those that are clear of guarantees in time, the ones that the owner uses
least. Who is promised time beyond a block's start is not placed on its nodes; who ends by mere notice may be.
"""

import numpy as np

from sublet.core.blocks.calendar import Ints, is_kept, kept_leases, kept_until, whole
from sublet.core.fleet import Masks
from sublet.core.standing import Product, Standing
from sublet.core.tables import NEVER

_NO_ROWS = 0


def first_starts(standing: Standing, *, now_us: int) -> Ints:
    """int64[nodes]: when the first block starts that is to have the node, on paper; NEVER for one that no block needs."""
    first = np.full(len(standing.nodes), NEVER, np.int64)
    clear = np.zeros(len(standing.nodes), np.int64)  # from when on nobody's guarantee holds the node
    for lease in kept_leases(standing):
        until = kept_until(standing, lease, now_us=now_us)
        for node, _ in lease.placement:
            clear[standing.row_of[node]] = max(clear[standing.row_of[node]], until)
    suits, owned = whole(standing), np.bitwise_count(standing.owner)
    for block in sorted(standing.blocks.values(), key=lambda one: (one.not_before_us, standing.order_of(one.id))):
        in_time = np.flatnonzero(suits & (clear <= block.not_before_us))
        fresh = first[in_time] == NEVER  # nodes that an earlier block leaves are used again
        chosen = in_time[np.lexsort((-clear[in_time], owned[in_time], fresh))][: block.nodes]
        first[chosen] = np.minimum(first[chosen], block.not_before_us)
        clear[chosen] = kept_until(standing, block, now_us=now_us)
    return first


def barred(standing: Standing, *, now_us: int) -> Masks:
    """uint64[products, nodes]: GPUs on which a lease of each product must not be placed; no rows where nothing is barred.

    Products by the numbers that the standing gives them.
    """
    if not standing.blocks:
        return np.zeros((_NO_ROWS, len(standing.nodes)), np.uint64)
    first = first_starts(standing, now_us=now_us)
    return np.array([barred_to(standing, first, product, now_us=now_us) for product in standing.products], np.uint64).reshape(
        len(standing.products), len(standing.nodes)
    )


def barred_to(standing: Standing, first: Ints, product: Product, *, now_us: int) -> Masks:
    """uint64[nodes]: the GPUs on which a lease of one product must not be placed, given `first_starts`."""
    return np.where(first < _over_us(standing, product, now_us), standing.slots, np.uint64(0))


def _over_us(standing: Standing, product: Product, now_us: int) -> int:
    """Until when a lease of this product that is granted now may hold its GPUs; 0 for one that ends by mere notice."""
    lease_class, term_us = product
    pool, terms = standing.pool, standing.pool.terms[lease_class]
    if not is_kept(terms):
        return 0
    return NEVER if not terms.terms_us else now_us + pool.start_us + term_us + pool.turnround_us


def blocks_ahead(standing: Standing, *, now_us: int) -> int:
    """GPUs that waiting blocks will hold at once at most: they are out of the owner's reach once they start."""
    steps = sorted(
        (at, gpus)
        for block in standing.blocks.values()
        for at, gpus in ((max(now_us, block.not_before_us), block.gpus), (block.ends_us or now_us, -block.gpus))
    )
    held = most = 0
    for _, gpus in steps:
        held += gpus
        most = max(most, held)
    return most
