"""One round: from a view of the world to a plan. The live loop and the replay call this very function."""

from sublet.core.draft import Draft, ground
from sublet.core.endings import end_by_time
from sublet.core.market import run_market
from sublet.core.owner_first import serve_owner
from sublet.core.plan import Plan
from sublet.core.reclaim import coming_back
from sublet.core.view import View


def decide(view: View, *, now: int) -> Plan:
    """Everything that has to happen now (µs), with a reason for each decision.

    For each pool, in this order: the owner's jobs and the reclaims for them; endings that time brings; what is lendable, who
    may have it, at which price, and where. Pure: the same view and instant give the same plan.
    """
    draft = Draft(now)
    coming = coming_back(view.leases, view.jobs)
    for pool in view.pools:
        here = ground(view, pool, coming)
        serve_owner(view, here, draft)
        end_by_time(here, draft)
        run_market(view, here, draft)
    return draft.plan()
