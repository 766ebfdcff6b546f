"""Whole histories with blocks: whatever else is asked for, what the calendar sold starts on its start, on nodes of its own."""

import random

import pytest
from builders import POOL, S, lease_of, short_terms
from world import ROUND_US, Work, World

from sublet.core.blocks.calendar import calendar_of
from sublet.core.blocks.contract import lease_of as block_lease
from sublet.core.blocks.order import BlockOrder, Side
from sublet.core.ids import LeaseId, OrderId, TenantId
from sublet.core.lease import Cause, Lease, LeaseClass, State
from sublet.core.plan import Plan
from sublet.core.rest import rests_until_us
from sublet.core.terms import BlockSale, Pool, Promise

WINDOW_US = 60 * S
SALE = BlockSale(
    limit=5, window_us=WINDOW_US, lead_us=120 * S, ahead_us=900 * S, length_min_us=WINDOW_US, length_max_us=600 * S
)
SIZES = (8,) * 6


def selling() -> Pool:
    classes = (LeaseClass.SPOT, LeaseClass.GUARDED)
    return short_terms(blocks=SALE, classes=classes, promise=Promise(within_us=80 * S, gpus=0))


class Bazaar(World):
    """A world in which somebody buys what the calendar has, and asks for other leases at any time."""

    def sell_something(self, rng: random.Random, number: int) -> Lease | None:
        view = self.view()
        calendar = calendar_of(view.pools[0], view.standing(POOL), now_us=self.now)
        nodes, windows = rng.randint(1, 3), rng.randint(1, 6)
        first = -(-(self.now + SALE.lead_us) // WINDOW_US) + rng.randint(0, 8)
        start, end = first * WINDOW_US, (first + windows) * WINDOW_US
        a, b = calendar.span(start, end)
        if int(calendar.left[a:b].min()) < nodes:
            return None
        order = BlockOrder(
            OrderId(f"o{number}"), TenantId("buyer"), POOL, Side.BUY, LeaseId(f"block{number}"), "", nodes, 8 * nodes,
            start, end, 2_000_000, self.now, self.now,
        )  # fmt: skip
        lease = block_lease(order, self.pool, 1_000_000, at_us=self.now)
        self.leases[lease.id] = lease
        self.works[lease.id] = Work(life_us=10**12)
        return lease

    def ask_something(self, rng: random.Random, number: int) -> None:
        guarded = rng.random() < 0.5
        terms = {"lease_class": LeaseClass.GUARDED, "term_us": 300 * S, "grace_us": 28 * S} if guarded else {"grace_us": 20 * S}
        gpus = rng.choice([1, 2, 8])
        asked = lease_of(f"l{number}", gpus=gpus, tenant=TenantId(rng.choice("ab")), bid_micro=3_000_000, **terms)
        self.request(asked, Work(life_us=rng.randint(20, 900) * S, heeds=rng.random() < 0.5))

    def oversold(self, plan: Plan) -> list[str]:
        """What of the plan lies on GPUs that somebody holds."""
        taken: set[tuple[str, int]] = set()
        for lease in self.leases.values():
            taken |= {(node, bit) for node, mask in lease.placement for bit in range(8) if mask >> bit & 1}
        found: list[str] = []
        for grant in plan.grants:
            for node, mask in grant.placement:
                bits = {(node, bit) for bit in range(8) if mask >> bit & 1}
                found += [grant.lease] if bits & taken else []
                taken |= bits
        return found


@pytest.mark.parametrize("seed", range(6))
def test_what_was_sold_starts_on_its_start(seed: int) -> None:
    rng = random.Random(seed)
    world = Bazaar(selling(), SIZES)
    sold: dict[LeaseId, Lease] = {}
    started = rested = rests_until = 0
    decided_on: dict[LeaseId, Lease] = {}
    for number in range(500):
        world.advance()
        if rng.random() < 0.3:
            world.ask_something(rng, number)
        if rng.random() < 0.15 and (block := world.sell_something(rng, number)) is not None:
            sold[block.id] = block
        view, plan = world.decide()
        if world.leases == decided_on and world.now < rests_until:
            assert plan.empty, "what rests has nothing to decide"
            rested += 1
        assert world.oversold(plan) == []
        assert not [alarm for alarm in plan.alarms if alarm.kind == "block.at_risk"]
        decided_on = dict(world.leases)
        rests_until = rests_until_us(view.pools[0], view.standing(POOL), now_us=world.now)
        world.apply(plan)
        for grant in plan.grants:
            if grant.lease in sold:
                block = sold[grant.lease]
                late = world.now - block.not_before_us
                assert 0 <= late < ROUND_US, f"{grant.lease} is given its nodes {late / S:g} s after its start"
                assert [mask for _, mask in grant.placement] == [255] * block.nodes
                started += 1
        for block in sold.values():
            lease = world.leases[block.id]
            if lease.state is State.QUEUED:
                assert world.now < block.not_before_us
            elif lease.state is State.ENDED:
                assert lease.cause is Cause.EXPIRED and block.ends_us is not None and lease.stopped_us is not None
                assert lease.stopped_us <= block.ends_us + ROUND_US
    assert rested > 5 and started > 15, "this history tests something"
    assert any(one.lease_class is LeaseClass.GUARDED for one in world.ended), "and others had guarantees meanwhile"
    assert any(one.cause is Cause.RECLAIMED for one in world.ended), "and somebody had to leave"
