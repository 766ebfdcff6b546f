"""Where a request goes: to a replica that knows the beginning of its prompt, unless that one has more to do than the others.

Highest random weight: each prefix ranks the replicas in an order of its own, so a replica that goes or comes moves only the
prefixes that it had or gets. A replica takes no more than a quarter above the mean (consistent hashing with bounded loads,
Mirrokni, Thorup and Zadimoghaddam 2018) and no more than its slots; then the next in the order is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from sublet.core.ids import ReplicaId
from sublet.core.model import Tier

TIER_ORDER: Mapping[Tier, tuple[Tier, ...]] = {
    Tier.FLEX: (Tier.FLEX, Tier.DEFAULT, Tier.PRIORITY),
    Tier.DEFAULT: (Tier.DEFAULT, Tier.PRIORITY, Tier.FLEX),
    Tier.PRIORITY: (Tier.PRIORITY, Tier.DEFAULT, Tier.FLEX),
}
"""Whose replicas answer for a tier, in this order, where its own cannot."""
_PERCENT = 125


@dataclass(frozen=True, slots=True)
class Load:
    """A replica that may be chosen: what it works on for us, and how much it takes at once."""

    id: ReplicaId
    tier: Tier
    running: int
    slots: int


def choose(prefix: bytes, tier: Tier, loads: Sequence[Load]) -> ReplicaId | None:
    """The replica for a request of a tier whose prompt begins with `prefix`; None: all are full."""
    for wanted in TIER_ORDER[tier]:
        group = [load for load in loads if load.tier is wanted and load.running < load.slots]
        if len(group) == 1:
            return group[0].id
        if group:
            return _within_bounds(prefix, group, [load for load in loads if load.tier is wanted])
    return None


def _within_bounds(prefix: bytes, free: Sequence[Load], group: Sequence[Load]) -> ReplicaId:
    bound = -(-(sum(load.running for load in group) + 1) * _PERCENT // (100 * len(group)))
    light = [load for load in free if load.running < bound]
    if not light:
        return min(free, key=lambda load: (load.running, load.id)).id
    return max(light, key=lambda load: (_weight(prefix, load.id), load.id)).id


def _weight(prefix: bytes, replica: ReplicaId) -> bytes:
    return blake2b(replica.encode(), digest_size=8, key=prefix).digest()
