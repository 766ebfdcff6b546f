"""What a study is asked: which trace, which fleet, and what is assumed beyond them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import NoReturn

from sublet.advice.study.assumptions import Costs, Market, read_costs, read_market
from sublet.advice.study.layout import PoolLayout, layouts, usage_layouts
from sublet.advice.study.words import counted
from sublet.advice.study.words import length as lasting
from sublet.core.errors import Invalid
from sublet.core.units import DAY_US, HOUR_US, SECOND_US
from sublet.traces import (
    DemandTable,
    Fault,
    Gap,
    Inventory,
    JobTable,
    Note,
    Options,
    read_nodes,
    read_trace,
    written_nodes,
)

WARM_UP_US = 28 * DAY_US
SHORTEST_US = 2 * DAY_US

EXAMPLE = "philly_teams.parquet"
EXAMPLE_NODES = ("vc_ee9e8c=32x8", "vc_7f04ca=24x8", "vc_103959=8x8")
EXAMPLE_ORIGIN = "2017-08-07T10:03:01"
"""The wall time at zero of the example's clock."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where everything is read from. `capacity` is written on the command line in place of a file of nodes.

    `nodes_trace` names the trace in an inventory that holds those of several; without it, as `options.trace` says.
    """

    trace: Path | None  # None: the example that is shipped
    format: str | None = None
    nodes: Path | None = None
    nodes_trace: str | None = None
    capacity: tuple[str, ...] = ()
    cost: Path | None = None
    price: Path | None = None
    options: Options = field(default_factory=Options)
    kind: str | None = None  # jobs | usage, where that is said


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Everything a study is made from. Instants in µs on the trace's clock; figures are of [open_us, until_us)."""

    source: str
    format: str
    kind: str  # jobs | usage
    clock: str  # local | relative
    rows: int
    layouts: tuple[PoolLayout, ...]
    from_us: int
    open_us: int
    until_us: int
    gaps: tuple[Gap, ...]
    faults: tuple[Fault, ...]
    notes: tuple[Note, ...]
    costs: Costs
    market: Market

    @property
    def capacity(self) -> int:
        """GPUs of all pools."""
        return sum(layout.capacity for layout in self.layouts)

    def when(self, at_us: int) -> str:
        """An instant as the trace's clock shows it."""
        if self.clock == "local":
            return datetime.fromtimestamp(at_us / SECOND_US, UTC).strftime("%Y-%m-%d %H:%M")
        return f"day {at_us / DAY_US:.1f}"


def asked(source: Files, *, warm_up_us: int | None = None) -> Question:
    """Read everything; raises `Invalid` naming the file, the field and the way out.

    `warm_up_us`: how much of the trace forecasts learn from before anything is leased; None: four weeks, or a third of a
    shorter trace.
    """
    costs, market = read_costs(source.cost), read_market(source.price)
    table, name = _trace(source)
    inventory = _inventory(source, table)
    if isinstance(table, JobTable):
        pools = layouts(table, inventory or _missing(table.pools))
    else:
        pools = usage_layouts(table, capacities(table, inventory))
    pools = tuple(pool for pool in pools if len(pool.jobs)) or _nobody(name, pools)
    open_us = _opening(table, warm_up_us)
    return Question(
        source=name,
        format=table.format,
        kind="jobs" if isinstance(table, JobTable) else "usage",
        clock=table.clock,
        rows=table.rows,
        layouts=pools,
        from_us=table.from_us,
        open_us=open_us,
        until_us=table.until_us,
        gaps=table.gaps,
        faults=table.faults,
        notes=table.notes + (inventory.notes if inventory else ()),
        costs=costs,
        market=market,
    )


def _trace(source: Files) -> tuple[JobTable | DemandTable, str]:
    if source.trace is not None:
        return read_trace(source.trace, source.options, format=source.format, kind=source.kind), source.trace.name
    with as_file(files("sublet.traces") / EXAMPLE) as path:
        return read_trace(path, Options(origin=EXAMPLE_ORIGIN, progress=source.options.progress)), EXAMPLE


def _inventory(source: Files, table: JobTable | DemandTable) -> Inventory | None:
    """The inventory that was given; None where there is none and the trace may know its own capacity."""
    if source.trace is None and source.nodes is None and not source.capacity:
        return written_nodes(EXAMPLE_NODES)
    if source.nodes is not None and source.capacity:
        raise Invalid("nodes are given twice", field="nodes", hint="give --nodes or --capacity, not both")
    if source.nodes is not None:
        return _nodes(source, source.nodes)
    if source.capacity:
        return written_nodes(source.capacity)
    return _missing(table.pools) if isinstance(table, JobTable) else None


def _nodes(source: Files, path: Path) -> Inventory:
    """The inventory in a file."""
    try:
        return read_nodes(path, Options(pool=source.options.pool, trace=source.nodes_trace or source.options.trace))
    except Invalid as error:
        if error.field != "trace":
            raise
        said = error.message.replace("the file", str(path))
        raise Invalid(said, field="nodes_trace", hint="name the one whose nodes these are: --nodes-trace") from error


def _missing(pools: Sequence[str]) -> NoReturn:
    example = f"--capacity {pools[0]}=32x8" if pools else "--capacity A100=32x8"
    raise Invalid(
        "a trace of jobs does not say how many GPUs there are",
        field="nodes",
        hint=f"give --nodes FILE (a table, or sinfo's output) or {example} (nodes x GPUs); its pools: {', '.join(pools[:8])}",
    )


def capacities(table: DemandTable, inventory: Inventory | None) -> dict[str, int]:
    """The capacity of each pool: from the inventory, else the largest that the table itself gives; `Invalid` without either."""
    found: dict[str, int] = {}
    for pool in table.pools:
        own = table.frame.filter(table.frame["pool"] == pool)["capacity"].max()
        given = inventory.capacity(pool) if inventory is not None else 0
        capacity = given or (own if isinstance(own, int) else 0)
        if not capacity:
            hint = f"give --nodes FILE or --capacity {pool}=3456"
            raise Invalid(f"nothing says how many GPUs pool {pool} has", field="nodes", hint=hint)
        found[pool] = capacity
    return found


def _nobody(name: str, pools: Sequence[PoolLayout]) -> NoReturn:
    """Refuse a trace without a job of the owner, saying what became of those that there are."""
    spot = sum(len(pool.spot.jobs) for pool in pools)
    found = [f"{counted(spot, 'job')} that the trace marks as spot (--spot says which words do)"] if spot else []
    found += [str(left) for pool in pools for left in pool.left]
    hint = f"it has {'; '.join(found[:6]) or 'no jobs in these pools'}; check --capacity or --nodes, too"
    raise Invalid(f"{name} has no job of the owner that ran and fits", field="trace", hint=hint)


def _opening(table: JobTable | DemandTable, warm_up_us: int | None) -> int:
    """When the market opens: after the warm-up, at a full hour."""
    length = table.until_us - table.from_us
    warm_up = warm_up_us if warm_up_us is not None else min(WARM_UP_US, length // 3)
    begin = -(-(table.from_us + warm_up) // HOUR_US) * HOUR_US
    if table.until_us - begin < SHORTEST_US:
        raise Invalid(
            f"the trace is {lasting(length / SECOND_US)} long: after a warm-up of {lasting(warm_up / SECOND_US)} "
            "less than two days are left to study",
            field="warm_up",
            hint="give a longer trace, or a shorter --warm-up",
        )
    return begin
