"""What a tenant does with blocks: order one, see what it would cost, cancel the order, give back what is not needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sublet.app import block_deals, names, requests, world
from sublet.app import leases as leasing
from sublet.app.block_deals import SALEABLE, barred
from sublet.app.forecasting import Forecaster
from sublet.app.residency import Atlas
from sublet.app.tasks import LeaseRequest
from sublet.core.admit import Refusal
from sublet.core.blocks import order as rules
from sublet.core.blocks.auction import Venue, hold_at_limit_micro, hold_auction, venue_of
from sublet.core.blocks.contract import bought_back_micro, rest_micro, total_micro
from sublet.core.blocks.order import BlockOrder, OrderEvent, OrderState, Side, step_order
from sublet.core.errors import Conflict, Forbidden, Invalid, OverBudget, OverLimit
from sublet.core.ids import OrderId, PoolId, TenantId
from sublet.core.lease import Access, Lease, LeaseClass
from sublet.core.promise import promised
from sublet.core.standing import Standing
from sublet.core.terms import Pool
from sublet.core.units import MICRO, said
from sublet.core.view import PoolView, TenantView
from sublet.store import blocks, events, leases, pools, workloads
from sublet.store.database import Tx

RESTING_MAX = 1_000
"""Orders of one tenant that rest at once, at most."""
ANY_PRICE_MICRO = 10**10
"""Stands for a limit that nobody gave: what it would take is asked."""


@dataclass(frozen=True, slots=True)
class BlockQuote:
    """What a block would cost in an auction held now. Micro-units; `price_micro` None: it would not win, whatever it offers."""

    pool: Pool
    nodes: int
    gpus: int
    start_us: int
    end_us: int
    reserve_micro: int
    price_micro: int | None
    limit_micro: int
    total_micro: int | None
    hold_micro: int
    nodes_left: int
    wins: bool
    reason: str
    next_auction_us: int


@dataclass(frozen=True, slots=True)
class _Ground:
    """One pool as orders find it."""

    view: PoolView
    standing: Standing
    venue: Venue
    book: Sequence[BlockOrder]


def place(tx: Tx, forecaster: Forecaster, asked: LeaseRequest, *, tenant: TenantId, now_us: int) -> BlockOrder:
    """Put an order into the book; raises what is wrong with it. The pool's next auction decides about it."""
    who = world.tenant_views(tx, [tenant])[tenant]
    if who.suspended:
        raise Forbidden(f"tenant {tenant} is suspended", field="tenant", hint="ask the owner")
    if blocks.count_resting(tx, tenant) >= RESTING_MAX:
        raise OverLimit(
            f"{RESTING_MAX} orders of {tenant} rest already", field="tenant", hint="cancel some: `sublet block cancel`"
        )
    ground, order = _drafted(tx, forecaster, asked, who, now_us=now_us)
    pool = ground.view.pool
    needed, left = hold_at_limit_micro(pool, order), who.headroom_micro
    if left is not None and needed > left:
        raise OverBudget(
            f"buying it reserves up to {needed / MICRO:.2f} {pool.currency}, and the spend limit leaves {left / MICRO:.2f}",
            field="tenant.limit",
            hint="ask for fewer nodes or hours or a lower limit, or let the owner raise it: `sublet tenant limit`",
        )
    blocks.insert_one(tx, order)
    workloads.put(tx, order.lease, asked.workload, asked.label)
    told = f"ordered {order.nodes} nodes, at most {order.limit_micro / MICRO:.4f} a GPU-hour"
    events.append(tx, [block_deals.entry(order, "placed", told, at_us=now_us)])
    return order


def preview(tx: Tx, forecaster: Forecaster, asked: LeaseRequest, *, tenant: TenantId, now_us: int) -> BlockQuote:
    """What would come of an order if the pool's auction were held now; nothing is written."""
    who = world.tenant_views(tx, [tenant])[tenant]
    ground, order = _drafted(tx, forecaster, asked, who, now_us=now_us)
    return _quoted(ground, order, now_us=now_us)


def quote(tx: Tx, forecaster: Forecaster, pool: PoolId, *, nodes: int, start_us: int, end_us: int, now_us: int) -> BlockQuote:
    """What so many nodes from a start to an end would take to be won by whoever asks, if the auction were held now."""
    ground = _ground(tx, forecaster, pool, now_us=now_us)
    nobody = TenantView(TenantId("anybody"))
    order = _order(
        ground, nobody, name="quote", nodes=nodes, times=(start_us, end_us), limit_micro=ANY_PRICE_MICRO, now_us=now_us
    )
    return _quoted(ground, order, now_us=now_us)


def cancel(tx: Tx, order: OrderId, *, tenant: TenantId | None, now_us: int) -> BlockOrder:
    """Take a resting order out of the book; harmless when it is out already. What has won is a lease, and is given back."""
    found = blocks.get(tx, order, tenant=tenant, lock=True)
    if found.state is OrderState.WON:
        hint = f"give it back: `sublet block sell {found.id}`" if found.side is Side.BUY else None
        raise Conflict(f"order {order} has won: it can no longer be cancelled", field="order", hint=hint)
    if found.state is not OrderState.RESTING:
        return found
    at = max(now_us, found.since_us)
    gone = step_order(found, OrderEvent.CANCEL, at=at, reason="cancelled by the tenant")
    blocks.save_all(tx, [(found, gone)])
    if gone.side is Side.BUY:
        workloads.delete_all(tx, [gone.lease])
    events.append(tx, [block_deals.entry(gone, "cancelled", gone.reason, at_us=at)])
    return gone


def sell(
    tx: Tx, order: OrderId, *, from_us: int | None, ask_micro: int | None, tenant: TenantId | None, now_us: int
) -> BlockOrder:
    """Give the rest of a block back, all its nodes from an instant on: to whoever pays `ask_micro`, or at once to the owner.

    Without `from_us` it is the whole of a block that has not started, or what is left of one that has.
    """
    bought = blocks.get(tx, order, tenant=tenant)
    if bought.side is not Side.BUY or bought.state is not OrderState.WON:
        raise Conflict(f"order {order} is no block that was bought", field="order", hint="`sublet block ls` shows its state")
    lease = leases.get(tx, bought.lease, lock=True)
    pool = pools.get(tx, bought.pool).pool
    if lease.state not in SALEABLE:
        raise Conflict(f"the block is {lease.state}: there is nothing to give back", field="order")
    if blocks.resting_sell(tx, lease.id) is not None:
        raise Conflict("its rest is for sale already", field="order", hint="cancel that order first: `sublet block cancel`")
    offer = _offer(bought, lease, pool, from_us=from_us, ask_micro=ask_micro, now_us=now_us)
    if ask_micro is None:
        return _to_the_owner(tx, offer, lease, pool, at_once=from_us is None, now_us=now_us)
    blocks.insert_one(tx, offer)
    told = f"offers the rest of the block for at least {ask_micro / MICRO:.4f} a GPU-hour"
    events.append(tx, [block_deals.entry(offer, "placed", told, at_us=now_us)])
    return offer


def _offer(
    bought: BlockOrder, lease: Lease, pool: Pool, *, from_us: int | None, ask_micro: int | None, now_us: int
) -> BlockOrder:
    """The sell order, checked: from a line of the grid that is ahead, or now, to the block's end."""
    assert lease.ends_us is not None, f"{lease.id} has no end"
    grid, end_us = pool.blocks.window_us, lease.ends_us + pool.turnround_us
    end_us = min(bought.end_us, -(-end_us // grid) * grid)
    at_once = ask_micro is None and from_us is None
    if from_us is None:
        from_us = max(lease.not_before_us, -(-now_us // grid) * grid)
        if ask_micro is not None:
            from_us = max(from_us, -(-(now_us + pool.blocks.lead_us) // grid) * grid)
    from_us = max(from_us, lease.not_before_us)
    wrong: Refusal | None = None
    if from_us % grid:
        wrong = Refusal("start", "a rest begins on the grid of the pool's delivery windows", "choose a full one, in UTC")
    elif not at_once and (from_us >= end_us or from_us < now_us):
        wrong = Refusal("start", "nothing of the block is left from there on", "choose an instant ahead, before its end")
    elif ask_micro is not None and from_us < now_us + pool.blocks.lead_us:
        wrong = Refusal("start", "another tenant could not start there in time", "choose a later one, or sell to the owner")
    if wrong is not None:
        raise Invalid(wrong.message, field=wrong.field, hint=wrong.hint)
    return replace(
        bought,
        id=names.order_id(),
        side=Side.SELL,
        start_us=min(from_us, end_us),
        end_us=end_us,
        limit_micro=ask_micro or 0,
        placed_us=now_us,
        since_us=now_us,
        state=OrderState.RESTING,
        version=1,
        price_micro=None,
        reason="waits for an order that it makes room for",
    )


def _to_the_owner(tx: Tx, offer: BlockOrder, lease: Lease, pool: Pool, *, at_once: bool, now_us: int) -> BlockOrder:
    """The owner buys it for the published share of its price. What ends now is settled like every end of a block."""
    share = pool.blocks.sell_back_bps
    reason = f"bought by the owner for {share / 100:g} % of its price"
    sold = step_order(
        offer, OrderEvent.WIN, at=offer.since_us, reason=reason, price_micro=bought_back_micro(pool, lease.bid_micro)
    )
    if at_once or offer.start_us <= lease.not_before_us:
        leasing.release(tx, lease.id, tenant=None, now_us=now_us)
    else:
        rest = rest_micro(lease, offer.start_us - pool.turnround_us)
        block_deals.give_rest_back(tx, offer, lease, pool, bought_back_micro(pool, rest), at_us=now_us)
    blocks.insert_one(tx, sold)
    events.append(tx, [block_deals.entry(sold, "won", reason, at_us=now_us)])
    return sold


def _ground(tx: Tx, forecaster: Forecaster, pool: PoolId, *, now_us: int) -> _Ground:
    pools.get(tx, pool)  # or there is none of this name
    seen = world.read_view(tx, forecaster, now_us=now_us, pool=pool)
    (view,) = seen.pools
    standing = seen.standing(pool)
    resting = blocks.resting(tx, pool)
    venue = replace(venue_of(view, standing, now_us=now_us), denied=barred(tx, resting, at_us=now_us))
    return _Ground(view, standing, venue, resting)


def _drafted(
    tx: Tx, forecaster: Forecaster, asked: LeaseRequest, who: TenantView, *, now_us: int
) -> tuple[_Ground, BlockOrder]:
    """The pool, and the order that a task would be; raises `Invalid` if no auction could ever let it win."""
    if asked.lease_class is not LeaseClass.BLOCK:
        raise Invalid("this is no task for a block", field="lease.class", hint="write `class: block`, or `sublet launch` it")
    if asked.start_us is None or asked.term_us is None:
        missing = "lease.start" if asked.start_us is None else "lease.hours"
        raise Invalid(
            "a block has a start and a length", field=missing, hint="write `start: 2026-11-01T12:00` and `hours: 12h`"
        )
    if asked.access is not Access.BATCH:
        raise Invalid(f"no engine of this fleet gives {asked.access} access", field="lease.access", hint="use batch")
    every = tuple(row.pool for row in pools.everything(tx))
    selling = tuple(pool for pool in every if pool.blocks.limit)
    pool = requests.chosen_pool(
        (selling or every) if asked.pool is None else every,
        pool=asked.pool,
        gpu_model=asked.gpu_model,
        judged=Atlas.read(tx, [who.id]).door(asked.label, who.id, every),
    )
    ground = _ground(tx, forecaster, pool.id, now_us=now_us)
    size = ground.venue.calendar.node_gpus
    if asked.gpu_model is not None and asked.gpus_per_node != size:
        hint = f"write {pool.gpu_model}:{size}, or leave the number of GPUs away"
        raise Invalid(
            f"a block is whole nodes, and those of pool {pool.id} have {size} GPUs", field="resources.accelerators", hint=hint
        )
    times = (asked.start_us, asked.start_us + asked.term_us)
    limit = asked.bid_micro
    if limit is None:
        limit = int(max(ground.view.price_micro, ground.venue.reserve_micro) * requests.BID_SHARE)
    return ground, _order(ground, who, name=asked.name, nodes=asked.nodes, times=times, limit_micro=limit, now_us=now_us)


def _order(
    ground: _Ground, who: TenantView, *, name: str, nodes: int, times: tuple[int, int], limit_micro: int, now_us: int
) -> BlockOrder:
    pool, size, capacity = ground.view.pool, ground.venue.calendar.node_gpus, ground.standing.capacity
    wrong = (
        rules.wrong_size(pool, nodes, node_gpus=size, capacity=capacity, promised=promised(pool, capacity))
        or rules.wrong_times(pool.blocks, *times, now_us=now_us)
        or rules.below_reserve(pool, limit_micro, ground.venue.reserve_micro)
        or rules.over_quota(pool, nodes * size, who.quota(pool.id).limit)
    )
    if wrong is not None:
        raise Invalid(wrong.message, field=wrong.field, hint=wrong.hint)
    return BlockOrder(
        id=names.order_id(),
        tenant=who.id,
        pool=pool.id,
        side=Side.BUY,
        lease=names.lease_id(),
        name=name,
        nodes=nodes,
        gpus=nodes * size,
        start_us=times[0],
        end_us=times[1],
        limit_micro=limit_micro,
        placed_us=now_us,
        since_us=now_us,
        reason=f"waits for the next auction, on the grid of {said(pool.blocks.auction_us)}",
    )


def _quoted(ground: _Ground, order: BlockOrder, *, now_us: int) -> BlockQuote:
    """The auction on paper, with this order and everybody else's; whoever may be out of money counts as able to pay."""
    pool, venue = ground.view.pool, ground.venue
    book = [one for one in ground.book if one.side is Side.BUY]
    tenants = {one.tenant: TenantView(one.tenant) for one in (*book, order)}
    held = hold_auction(venue, [*book, order], tenants, now_us=now_us, seconds=0)
    deal = next((one for one in held.deals if one.order == order.id), None)
    loss = next((one.reason for one in held.losses if one.order == order.id), "it wins")
    first, last = venue.calendar.span(order.start_us, order.end_us)
    price = None if deal is None else deal.price_micro
    grid = pool.blocks.auction_us
    return BlockQuote(
        pool=pool,
        nodes=order.nodes,
        gpus=order.gpus,
        start_us=order.start_us,
        end_us=order.end_us,
        reserve_micro=venue.reserve_micro,
        price_micro=price,
        limit_micro=order.limit_micro,
        total_micro=None if price is None else total_micro(pool, order.gpus, order.start_us, order.end_us, price),
        hold_micro=hold_at_limit_micro(pool, order),
        nodes_left=max(0, int(venue.calendar.left[first:last].min(initial=0 if last <= first else 2**31))),
        wins=deal is not None,
        reason=loss if deal is None else deal.reason,
        next_auction_us=(now_us // grid + 1) * grid,
    )
