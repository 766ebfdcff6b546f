"""One round: from a view of the world to a plan. The live loop and the replay call this very function."""

from sublet.core.blocks.delivery import make_way, start_due
from sublet.core.draft import Draft, Ground
from sublet.core.endings import end_by_time
from sublet.core.market import run_market
from sublet.core.owner_first import serve_owner
from sublet.core.plan import Plan
from sublet.core.view import AnyView


def decide(view: AnyView, *, now: int, explain: bool = True) -> Plan:
    """Everything that has to happen now (µs), with a reason for each decision.

    For each pool, in this order: blocks whose start has come; the owner's jobs and the reclaims for them; endings that time
    brings; room for the blocks that start soon; what is lendable, who may have it, at which price, and where. Pure: the same
    view and instant give the same plan. Without `explain` nobody is told why it waits, which decides nothing and saves looking
    at each of them.
    """
    draft = Draft(now, explain)
    for pool in view.pools:
        here = Ground(pool, view.standing(pool.pool.id))
        start_due(here, draft)
        serve_owner(view, here, draft)
        end_by_time(here, draft)
        make_way(here, draft)
        if not pool.closed:
            run_market(view, here, draft)
    return draft.plan()
