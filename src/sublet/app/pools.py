"""Pools: what the owner sells together, and on which terms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sublet.app.complaints import meant
from sublet.app.upholding import uphold_at
from sublet.core.blocks.calendar import is_kept
from sublet.core.errors import Conflict, Invalid, NotFound
from sublet.core.forecast import FORECASTS
from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.core.ledger import pool_accounts
from sublet.core.pricing import PRICING
from sublet.core.terms import TERMS, Pool
from sublet.core.units import TICK_US
from sublet.core.victims import VICTIM_ORDERS
from sublet.store import events, ledger
from sublet.store import pools as store
from sublet.store.database import Tx
from sublet.store.events import Entry
from sublet.store.pools import PoolRow

WINDOWS_MAX = 10_000


def put(tx: Tx, pool: PoolId, change: Mapping[str, Any], *, now_us: int, force: bool = False) -> PoolRow:
    """Make a pool or change some of its settings; what is not named stays as it is.

    `change` has the names of `core.terms.Pool`; `cost`, `promise` and `terms` (by class) may be partial, too. Raises `Conflict`
    where running leases may not be at its new site, and that they end is not forced.
    """
    try:
        before: Pool | None = store.get(tx, pool).pool
    except NotFound:
        before = None
    if before is None and "gpu_model" not in change:
        raise Invalid(f"pool {pool} is new: say what GPUs it has", field="gpu_model", hint='for example "gpu_model": "H100"')
    base = before or Pool(pool, change["gpu_model"])
    after = _changed(base, change)
    _check(before, after)
    store.put(tx, after, now_us=now_us)
    ledger.open_accounts(tx, pool_accounts(pool, after.currency))
    kind, said = ("pool.added", "was added") if before is None else ("pool.changed", f"changed: {', '.join(sorted(change))}")
    events.append(tx, [Entry(now_us, kind, f"pool {pool} {said}", pool=pool)])
    made = store.get(tx, pool)
    if before is not None and (before.site, before.gpu_model) != (after.site, after.gpu_model):
        uphold_at(tx, after.site, force=force, now_us=now_us)
    return made


def _changed(base: Pool, change: Mapping[str, Any]) -> Pool:
    values = {name: _on_grid(name, value) for name, value in change.items()}
    for name in ("cost", "promise", "blocks"):
        if name in values:
            values[name] = replace(getattr(base, name), **values[name])
    if "terms" in values:
        terms = {**TERMS, **base.terms}
        for lease_class, wanted in values["terms"].items():
            terms[LeaseClass(lease_class)] = replace(terms[LeaseClass(lease_class)], **wanted)
        values["terms"] = terms
    if "classes" in values:
        values["classes"] = tuple(LeaseClass(name) for name in values["classes"])
    return replace(base, **values)


def ceil_to_grid(us: int) -> int:
    """The first grid duration not below `us`."""
    return -(-us // TICK_US) * TICK_US


def _on_grid(name: str, value: Any) -> Any:
    """Durations rounded up to the grid, so that every instant that is made with them stays on it."""
    if isinstance(value, Mapping):
        return {inner: _on_grid(inner, part) for inner, part in value.items()}
    if not name.endswith("_us"):
        return value
    return tuple(ceil_to_grid(part) for part in value) if isinstance(value, tuple) else ceil_to_grid(value)


def _check(before: Pool | None, after: Pool) -> None:
    rows = (("pricing", list(PRICING)), ("forecast", list(FORECASTS)), ("victim_order", list(VICTIM_ORDERS)))
    for name, known in rows:
        chosen = getattr(after, name)
        if chosen not in known:
            raise Invalid(f"there is no {name.replace('_', ' ')} {chosen!r}", field=name, hint=meant(chosen, known))
    if before is not None and before.currency != after.currency:
        raise Conflict("the books of a pool are kept in one currency", field="currency", hint="make another pool")
    _check_blocks(after)
    if after.backoff_max_us < after.backoff_us:
        raise Invalid("the longest back-off is shorter than the first", field="backoff_max_us", hint="raise it")


def _check_blocks(pool: Pool) -> None:
    """What makes the sale of blocks possible at all; raises `Invalid` where its figures do not go together."""
    sale, notice = pool.blocks, [terms for terms in pool.terms.values() if not is_kept(terms)]
    least = max((pool.longest_handback_us(terms.grace_us, terms.exempt_us) for terms in notice), default=0)
    if sale.lead_us < least:
        hint = f"at least {least}, the longest hand-back of a lease that ends by mere notice"
        raise Invalid("room for a block could not be made in time", field="blocks.lead_us", hint=hint)
    if sale.window_us % TICK_US or sale.window_us <= pool.turnround_us:
        hint = f"more than {pool.turnround_us}: a block ends so long before its last window does"
        raise Invalid("a delivery window is too short", field="blocks.window_us", hint=hint)
    if not sale.window_us <= sale.length_min_us <= sale.length_max_us:
        hint = "length_min_us is at least window_us, and length_max_us at least that"
        raise Invalid("no block could have such a length", field="blocks.length_min_us", hint=hint)
    if (sale.ahead_us + sale.length_max_us) // sale.window_us > WINDOWS_MAX:
        hint = "make window_us longer, or ahead_us or length_max_us shorter"
        raise Invalid(f"the calendar would have more than {WINDOWS_MAX:,} delivery windows", field="blocks.ahead_us", hint=hint)
