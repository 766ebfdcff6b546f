"""Why a lease waits, as a sentence for the one who waits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sublet.core.kernels import queue as codes
from sublet.core.lease import Lease
from sublet.core.pricing import Clearing
from sublet.core.promise import promise_broken
from sublet.core.shelf import Shelf, TenantColumns
from sublet.core.supply import Supply
from sublet.core.units import said
from sublet.core.view import PoolView


@dataclass(frozen=True, slots=True)
class Wall:
    """What a waiting lease runs into. GPUs, and the length in µs over which its risk is judged; a quota of -1 is none."""

    view: PoolView
    stock: Supply
    spare: int
    term_us: int
    holding: int
    quota: int


def _suspended(lease: Lease, wall: Wall) -> str:
    del lease, wall
    return "the tenant is suspended; ask the owner"


def _backing_off(lease: Lease, wall: Wall) -> str:
    del wall
    return f"waits {(lease.not_before_us - lease.since_us) / 1e6:g} s after its reclaim (back-off)"


def _at_risk(lease: Lease, wall: Wall) -> str:
    del lease
    return f"{max(0, wall.spare)} GPUs can be spared for {said(wall.term_us)} at the risk this class allows"


def _over_quota(lease: Lease, wall: Wall) -> str:
    del lease
    return f"holds {wall.holding} of a quota of {wall.quota} GPUs in pool {wall.view.pool.id}; waits until some are free"


def _breaks_promise(lease: Lease, wall: Wall) -> str:
    return promise_broken(wall.view.pool, lease, capacity=wall.stock.capacity)


def _too_large(lease: Lease, wall: Wall) -> str:
    stock = wall.stock
    return f"wants {lease.gpus} GPUs, {stock.lendable} are lendable now (owner {stock.demand}, reserve {stock.reserve})"


def _no_room(lease: Lease, wall: Wall) -> str:
    del wall
    where = "no free whole node" if lease.whole_nodes else "not enough free GPUs together on one node"
    return f"{where} for {lease.nodes} x {lease.gpus_per_node}"


def _no_room_left(lease: Lease, wall: Wall) -> str:
    del lease, wall
    return "other winners took the nodes it would have fitted"


_SENTENCES: Mapping[int, Callable[[Lease, Wall], str]] = {
    codes.SUSPENDED: _suspended,
    codes.BACKING_OFF: _backing_off,
    codes.AT_RISK: _at_risk,
    codes.OVER_QUOTA: _over_quota,
    codes.BREAKS_PROMISE: _breaks_promise,
    codes.TOO_LARGE: _too_large,
    codes.NO_ROOM: _no_room,
    codes.NO_ROOM_LEFT: _no_room_left,
}


class Sentences:
    """Why the leases of one round wait. Those that differ in nothing that a sentence says share it: thousands may wait."""

    def __init__(self, view: PoolView, stock: Supply, shelf: Shelf, columns: TenantColumns) -> None:
        """The pool and its supply as the round stands."""
        self._view, self._stock, self._shelf, self._columns = view, stock, shelf, columns
        self._said: dict[tuple[object, ...], str] = {}

    def why_waits(self, code: int, lease: Lease, product: int, tenant: int) -> str:
        """The sentence for a code of `kernels.queue`, and the numbers of the lease's product and tenant."""
        if code == codes.BACKING_OFF:
            return _SENTENCES[code](lease, self._wall(product, tenant))
        key = (code, product, tenant, lease.gpus, lease.nodes, lease.whole_nodes, lease.grace_us)
        said = self._said.get(key)
        if said is None:
            said = self._said[key] = _SENTENCES[code](lease, self._wall(product, tenant))
        return said

    def lost(self, product: int, *, bare_micro: int, bid_micro: int, clearing: Clearing) -> str:
        """The sentence for a bid that could have been granted and did not win; `bare_micro`: without the risk price."""
        key = ("lost", product, bare_micro < clearing.price_micro)
        said = self._said.get(key)
        if said is None:
            share = self._shelf.shares[product]
            if bare_micro < clearing.price_micro:
                said = f"the price is {int(clearing.price_micro * (1 + share)) / 1e6:.4f}, above its bid"
            else:  # who bids the price pays the price: that is the same for all of them
                asked = self._shelf.pays(product, clearing.price_micro, bid_micro)
                said = f"dearer bids took what was lendable at {asked / 1e6:.4f}"
            self._said[key] = said
        return said

    def _wall(self, product: int, tenant: int) -> Wall:
        return Wall(
            view=self._view,
            stock=self._stock,
            spare=int(self._shelf.spare[product]),
            term_us=self._shelf.products[product][1],
            holding=int(self._columns.holding[tenant]),
            quota=int(self._columns.quota[tenant]),
        )
