"""Whether a request can be accepted at all, and whether it may run now. The API asks the same questions as the round."""

from dataclasses import dataclass

from sublet.core.fleet import Masks
from sublet.core.lease import Lease
from sublet.core.placement import can_ever_fit
from sublet.core.rating import hold_micro as hold_for_window
from sublet.core.supply import published_floor
from sublet.core.terms import hold_window_us
from sublet.core.view import PoolView, TenantView


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request can never be granted as it stands: the field at fault, what is wrong, and the way out."""

    field: str
    message: str
    hint: str


def refusal(view: PoolView, tenant: TenantView, lease: Lease, slots: Masks) -> Refusal | None:
    """Why the request cannot be accepted; None if it may be queued. `slots`: uint64[n], all GPUs of the pool's nodes."""
    return _wrong_terms(view, lease) or _wrong_size(view, tenant, lease, slots)


def _wrong_terms(view: PoolView, lease: Lease) -> Refusal | None:
    pool = view.pool
    if lease.lease_class not in pool.classes:
        offered = ", ".join(pool.classes)
        return Refusal("lease.class", f"pool {pool.id} does not offer {lease.lease_class} leases", f"it offers: {offered}")
    floor = published_floor(view).total_micro
    if lease.bid_micro < floor:
        return Refusal(
            "lease.max_price",
            f"the bid of {lease.bid_micro / 1e6:.4f} {pool.currency} a GPU-hour is below pool {pool.id}'s floor",
            f"bid at least {floor / 1e6:.4f}; `sublet offers` shows the price now",
        )
    terms = pool.terms[lease.lease_class]
    if terms.terms_us and lease.term_us not in terms.terms_us:
        lengths = ", ".join(f"{us / 3.6e9:g}" for us in terms.terms_us)
        return Refusal("lease.hours", f"{lease.lease_class} leases are sold for {lengths} hours", "choose one of these lengths")
    if lease.grace_us > terms.grace_us:
        return Refusal(
            "lease.notice",
            f"a notice of {lease.grace_us / 1e6:g} s is longer than {lease.lease_class} leases get",
            f"ask for {terms.grace_us / 1e6:g} s at most",
        )
    return None


def _wrong_size(view: PoolView, tenant: TenantView, lease: Lease, slots: Masks) -> Refusal | None:
    pool = view.pool
    if not can_ever_fit(slots, gpus_per_node=lease.gpus_per_node, nodes=lease.nodes, whole=lease.whole_nodes):
        whole = "whole nodes with exactly " if lease.whole_nodes else "nodes with at least "
        return Refusal(
            "resources.accelerators",
            f"pool {pool.id} does not have {lease.nodes} {whole}{lease.gpus_per_node} GPUs",
            "ask for fewer GPUs or nodes; `sublet pool show` lists the nodes",
        )
    limit = tenant.quota(pool.id).limit
    if limit is not None and lease.gpus > limit:
        return Refusal(
            "resources.accelerators",
            f"{lease.gpus} GPUs are more than the quota of {limit} in pool {pool.id}",
            "ask for fewer, or ask the owner for a larger quota",
        )
    return None


def hold_micro(view: PoolView, lease: Lease, price_micro: int) -> int:
    """What has to be free under the tenant's spend limit to start the lease at this price."""
    return hold_for_window(lease.gpus, hold_window_us(view.pool, lease.term_us), price_micro)


def over_budget(tenant: TenantView, needed_micro: int) -> bool:
    """Whether a hold would pass the tenant's spend limit."""
    return tenant.headroom_micro is not None and needed_micro > tenant.headroom_micro
