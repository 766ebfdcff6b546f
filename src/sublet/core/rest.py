"""How long a pool may be left alone: until time itself could change what a round decides.

A round is a function of the state and the instant. As long as the state stays, only what the instant is compared with can make
a difference: the ends of leases, the age of the price, back-offs, exempt windows. Before the first of these the same round
would be decided again, so it need not be.
"""

from sublet.core.blocks.delivery import next_start_us, starts_soon
from sublet.core.endings import next_end_us
from sublet.core.promise import promisable_grows_us
from sublet.core.standing import Standing
from sublet.core.tables import NEVER
from sublet.core.view import PoolView


def rests_until_us(view: PoolView, standing: Standing, *, now_us: int) -> int:
    """The first instant after `now_us` at which a round may decide otherwise, if neither the view nor the standing changes.

    `now_us` itself where the pool must not rest: while a job of the owner waits, or a block that starts soon, every round looks
    for its GPUs; and where a site bears only so much, what may be lent depends on other pools.
    """
    shares = view.site is not None and len(standing.queue) > 0
    if standing.waiting or shares or starts_soon(standing, now_us=now_us):
        return now_us
    starts, ends = next_start_us(standing, after_us=now_us), next_end_us(standing, after_us=now_us)
    ahead = [starts, ends, view.price_at_us + view.pool.price_period_us]
    if len(standing.queue):
        waits = standing.queue.rows["not_before_us"][standing.queue.rows["used"]]
        ahead += [int(waits.min(initial=NEVER, where=waits > now_us)), promisable_grows_us(standing, after_us=now_us)]
    return min((at for at in ahead if at > now_us), default=NEVER)
