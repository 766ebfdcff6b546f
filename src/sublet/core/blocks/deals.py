"""What was decided about blocks, as items of a plan: applying them leaves no choice open. Prices in micro-units a GPU-hour."""

from dataclasses import dataclass

from sublet.core.ids import LeaseId, OrderId, PoolId


@dataclass(frozen=True, slots=True)
class Resale:
    """The rest of a block is sold for its tenant: by which order, and what it is paid for that, in micro-units."""

    order: OrderId
    version: int
    proceeds_micro: int
    reason: str


@dataclass(frozen=True, slots=True)
class Deal:
    """An order to buy wins. With `resale`, the rest of another block makes room for it: both happen, or neither."""

    order: OrderId
    version: int
    price_micro: int
    reason: str
    resale: Resale | None = None


@dataclass(frozen=True, slots=True)
class Lapse:
    """An order can no longer win."""

    order: OrderId
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Why an order rests on."""

    order: OrderId
    reason: str


@dataclass(frozen=True, slots=True)
class Auction:
    """One auction of one pool. `reason` says how the winners were found and how far from the best they can be at most."""

    pool: PoolId
    deals: tuple[Deal, ...]
    lapses: tuple[Lapse, ...]
    losses: tuple[Loss, ...]
    reason: str
    gap: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether no order moves."""
        return not (self.deals or self.lapses)


@dataclass(frozen=True, slots=True)
class Shift:
    """A block that was bought will lie in another pool of its kind, if it is still what it was."""

    lease: LeaseId
    version: int
    home: PoolId
    to: PoolId
    reason: str
