"""Pools and nodes: what the owner has, and on which terms it is sold."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from sublet.api.bodies import Body, InPath, Label, Name
from sublet.api.call import Calling, only
from sublet.api.sites import Forced
from sublet.app import nodes, pools
from sublet.app.keys import Scope
from sublet.core.ids import NodeId, PoolId
from sublet.core.lease import LeaseClass
from sublet.core.terms import BlockSale, ClassTerms, Pool, Promise
from sublet.store import pools as store
from sublet.store.nodes import NodeRow
from sublet.store.pools import PoolRow

router = APIRouter(prefix="/v1", tags=["pools"])
_ANYBODY = [only(Scope.TENANT, Scope.FINANCE, Scope.READ_ONLY)]
_OWNER = [only()]
Class = Literal["spot", "guarded", "block", "dedicated"]
DurationUs = Annotated[int, Field(ge=0, le=366 * 86_400_000_000, description="µs")]
StepUs = Annotated[int, Field(ge=15_625, le=86_400_000_000, description="µs; nothing takes no time")]
WindowUs = Annotated[int, Field(ge=15_625, le=31 * 86_400_000_000, description="µs")]
Watts = Annotated[int, Field(ge=0, le=100_000)]
PriceMicro = Annotated[int, Field(ge=0, le=10**10, description="micro-units for a GPU-hour")]
Place = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$", description="a name; empty: not known")]
Gpus = Annotated[int, Field(ge=0, le=10_000_000)]


class CostChange(Body):
    """Parts of the cost sheet from which the floor is computed."""

    busy_w: Watts | None = None
    idle_w: Watts | None = None
    pue_permille: Annotated[int, Field(ge=1_000, le=10_000)] | None = None
    tariff_micro_kwh: Annotated[int, Field(ge=0, le=10**9)] | None = None
    wear_micro: PriceMicro | None = None
    operations_micro: PriceMicro | None = None
    depreciation_micro: PriceMicro | None = None


class PromiseChange(Body):
    """Parts of the hand-back promise."""

    within_us: DurationUs | None = None
    gpus: Gpus | None = None


class BlocksChange(Body):
    """Parts of how blocks are sold."""

    limit: Gpus | None = Field(default=None, description="whole nodes that may be blocks at once; null: no block is sold")
    window_us: WindowUs | None = Field(default=None, description="blocks start and end on this grid")
    lead_us: DurationUs | None = Field(default=None, description="a block is sold at the latest so long before its start")
    ahead_us: DurationUs | None = Field(default=None, description="and starts at most so far ahead")
    length_min_us: DurationUs | None = None
    length_max_us: DurationUs | None = None
    auction_us: WindowUs | None = Field(default=None, description="orders compete in auctions on this grid")
    least_micro: PriceMicro | None = Field(default=None, description="a GPU-hour of a block costs at least this")
    sell_back_bps: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        default=None, description="share of its price for which the owner buys what a tenant does not need"
    )


class TermsChange(Body):
    """Parts of a class's terms."""

    grace_us: DurationUs | None = None
    exempt_us: DurationUs | None = None
    terms_us: Annotated[list[Annotated[int, Field(gt=0, le=366 * 86_400_000_000)]], Field(max_length=64)] | None = None


class PoolChange(Body):
    """Settings to make or change; what is left away stays as it is."""

    gpu_model: Label | None = None
    site: Label | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    classes: Annotated[list[Class], Field(max_length=4)] | None = None
    terms: dict[Class, TermsChange] | None = None
    promise: PromiseChange | None = None
    detection_us: StepUs | None = None
    stop_us: StepUs | None = None
    handover_us: StepUs | None = None
    start_us: StepUs | None = None
    pricing: Label | None = None
    price_micro: PriceMicro | None = None
    price_period_us: DurationUs | None = None
    smoothing_bps: Annotated[int, Field(ge=0, le=10_000)] | None = None
    cost: CostChange | None = None
    forecast: Label | None = None
    reserve_quantile: Annotated[float, Field(ge=0, le=1)] | None = None
    reserve_min: Gpus | None = None
    lending_limit: Gpus | None = Field(default=None, description="GPUs lent at once at most; null: all")
    lending_risk: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="lend no more than the owner leaves over with at most this risk; null: whatever is idle"
    )
    lending_horizon_us: Annotated[int, Field(ge=60_000_000, le=31 * 86_400_000_000)] | None = None
    reclaim_limit: Gpus | None = Field(default=None, description="GPUs one plan may reclaim unless forced; null: no limit")
    evictions_per_tenant: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="a tenant with more reclaims within the window is taken last; null: no bound"
    )
    evictions_window_us: Annotated[int, Field(ge=60_000_000, le=31 * 86_400_000_000)] | None = None
    victim_order: Label | None = None
    restart_us: DurationUs | None = None
    backoff_us: DurationUs | None = None
    backoff_max_us: DurationUs | None = None
    hold_us: Annotated[int, Field(ge=60_000_000, le=31 * 86_400_000_000)] | None = None
    blocks: BlocksChange | None = None

    def given(self) -> dict[str, Any]:
        """What was named. Null means "none" where that is possible, and is left away elsewhere."""
        return _without_nulls(self.model_dump(exclude_unset=True), may_be_null=_MAY_BE_NULL)


_MAY_BE_NULL = {"lending_limit", "lending_risk", "reclaim_limit", "evictions_per_tenant", "gpus", "limit"}


def _without_nulls(values: dict[str, Any], may_be_null: set[str]) -> dict[str, Any]:
    return {
        name: tuple(value)
        if isinstance(value, list)
        else _without_nulls(value, may_be_null)
        if isinstance(value, dict)
        else value
        for name, value in values.items()
        if value is not None or name in may_be_null
    }


class PoolView(BaseModel):
    """A pool: its settings, and its price now."""

    settings: Pool
    price_micro: int
    reserve: int

    @classmethod
    def of(cls, row: PoolRow) -> "PoolView":
        """As the API shows it."""
        return cls(settings=row.pool, price_micro=row.price_micro, reserve=row.reserve)


class PublicSettings(BaseModel):
    """What of a pool's settings concerns its tenants; costs and the owner's limits are the owner's."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    gpu_model: str
    site: str
    currency: str
    classes: tuple[LeaseClass, ...]
    terms: Mapping[LeaseClass, ClassTerms]
    promise: Promise
    pricing: str
    price_period_us: int
    smoothing_bps: int
    blocks: BlockSale


class PublicPoolView(BaseModel):
    """A pool as a tenant sees it."""

    settings: PublicSettings
    price_micro: int
    reserve: int

    @classmethod
    def of(cls, row: PoolRow) -> "PublicPoolView":
        """As the API shows it."""
        return cls(settings=PublicSettings.model_validate(row.pool), price_micro=row.price_micro, reserve=row.reserve)


class PoolList(BaseModel):
    """All pools."""

    items: list[PoolView]


class PublicPoolList(BaseModel):
    """All pools, as a tenant sees them."""

    items: list[PublicPoolView]


class NodeView(BaseModel):
    """A node of the fleet."""

    id: str
    pool: str
    gpus: int
    gpu_model: str
    down: bool
    reason: str
    since_us: int
    rack: str
    pod: str

    @classmethod
    def of(cls, row: NodeRow) -> "NodeView":
        """As the API shows it."""
        return cls(
            id=row.id,
            pool=row.pool,
            gpus=row.gpus,
            gpu_model=row.gpu_model,
            down=row.down,
            reason=row.reason,
            since_us=row.since_us,
            rack=row.rack,
            pod=row.pod,
        )


class NodeList(BaseModel):
    """All nodes."""

    items: list[NodeView]


class DownBody(Body):
    """Whether a node is kept out of offers, and why."""

    down: StrictBool
    reason: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f]*$")] = ""


class LocationBody(Body):
    """Where a node stands; empty text is unknown."""

    node: Name
    rack: Place = ""
    pod: Place = ""


class LocationsBody(Body):
    """Nodes and where they stand."""

    items: Annotated[list[LocationBody], Field(min_length=1, max_length=10_000)]


@router.get("/pools", dependencies=_ANYBODY)
def everything(call: Calling) -> PoolList | PublicPoolList:
    """All pools. A tenant sees terms and prices, not what they cost the owner."""
    with call.read() as tx:
        rows = store.everything(tx)
    if call.caller.sees is not None:
        return PublicPoolList(items=[PublicPoolView.of(row) for row in rows])
    return PoolList(items=[PoolView.of(row) for row in rows])


@router.get("/pools/{pool}", dependencies=_ANYBODY)
def show(pool: InPath, call: Calling) -> PoolView | PublicPoolView:
    """One pool. A tenant sees terms and prices, not what they cost the owner."""
    with call.read() as tx:
        row = store.get(tx, PoolId(pool))
    return PoolView.of(row) if call.caller.sees is None else PublicPoolView.of(row)


@router.put("/pools/{pool}", dependencies=_OWNER)
def put(pool: InPath, body: PoolChange, call: Calling, *, force: Forced = False) -> PoolView:
    """Make a pool or change its settings. Leases that run keep the terms they were granted on.

    Where their data may not be at the pool's new site, it has to be forced.
    """
    with call.write() as tx:
        return PoolView.of(pools.put(tx, PoolId(pool), body.given(), force=force, now_us=call.now_us))


@router.get("/nodes", dependencies=[only(Scope.READ_ONLY, Scope.FINANCE)], tags=["nodes"])
def all_nodes(call: Calling) -> NodeList:
    """All nodes, with why a node is down."""
    with call.read() as tx:
        return NodeList(items=[NodeView.of(row) for row in nodes.everything(tx)])


@router.put("/nodes/{node}/down", dependencies=_OWNER, tags=["nodes"])
def down(node: InPath, body: DownBody, call: Calling) -> NodeView:
    """Keep a node out of offers, or offer it again. What runs on it is left alone."""
    with call.write() as tx:
        return NodeView.of(nodes.set_down(tx, NodeId(node), down=body.down, reason=body.reason, now_us=call.now_us))


@router.put("/nodes/locations", dependencies=_OWNER, tags=["nodes"])
def locate(body: LocationsBody, call: Calling) -> NodeList:
    """Say in which rack and pod nodes stand, all of them or none. Gangs are kept within a rack, or a pod, where they fit."""
    where = {NodeId(item.node): (item.pod, item.rack) for item in body.items}
    with call.write() as tx:
        return NodeList(items=[NodeView.of(row) for row in nodes.set_locations(tx, where, now_us=call.now_us)])
