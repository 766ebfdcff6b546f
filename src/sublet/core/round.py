"""One round: from a view of the world to a plan. The live loop and the replay call this very function."""

from collections.abc import Sequence

from sublet.core.blocks.delivery import make_way, start_due
from sublet.core.draft import Draft, Ground
from sublet.core.endings import end_by_time
from sublet.core.fleet import gpus_of
from sublet.core.market import run_market
from sublet.core.owner_first import serve_owner
from sublet.core.plan import Plan
from sublet.core.staggering import limit_lending, stagger_reclaims
from sublet.core.view import AnyView


def decide(view: AnyView, *, now: int, explain: bool = True) -> Plan:
    """Everything that has to happen now (µs), with a reason for each decision.

    First, for every pool, blocks whose start has come, the owner's jobs and the reclaims for them, dated as the sites bear it.
    Then for each pool: endings that time brings; room for the blocks that start soon; what is lendable, who may have it, at
    which price, and where. Pure: the same view and instant give the same plan. Without `explain` nobody is told why it waits,
    which decides nothing and saves looking at each of them.
    """
    draft = Draft(now, explain)
    grounds = [Ground(pool, view.standing(pool.pool.id)) for pool in view.pools]
    sharers = max(1, sum(here.standing.placeless for here in grounds))
    for here in grounds:
        start_due(here, draft)
        serve_owner(view, here, draft, sharers=sharers)
    stagger_reclaims(view, grounds, draft)
    for here in grounds:
        end_by_time(here, draft)
        make_way(here, draft)
        if not here.view.closed:
            _hold_market(view, grounds, here, draft)
    return draft.plan()


def _hold_market(view: AnyView, grounds: Sequence[Ground], here: Ground, draft: Draft) -> None:
    """The market of one pool, within what its site can give back."""
    if here.view.site is None:
        run_market(view, here, draft)
        return
    limit_lending(view, grounds, here)
    before = len(draft.grants)
    run_market(view, here, draft)
    here.granted = sum(gpus_of(grant.placement) for grant in draft.grants[before:])
