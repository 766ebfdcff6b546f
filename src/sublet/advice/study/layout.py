"""How the jobs of a trace lie on the nodes of an inventory: pool by pool, gang by gang. Whatever does not fit is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from sublet.advice.study.words import counted
from sublet.core.errors import Invalid
from sublet.core.ids import NodeId, TenantId
from sublet.core.units import TICK_US
from sublet.sim.scene import OwnerJobs, no_jobs
from sublet.traces import DemandTable, Inventory, JobTable, NodeGroup

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Jobs of the trace that are marked as giving way: the tenants' demand. int64[n] each; `tenant` names who asked."""

    jobs: OwnerJobs
    tenant: tuple[TenantId, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """Jobs or rows that are not part of the study, and why."""

    kind: str
    count: int
    says: str
    noun: str = "job"

    def __str__(self) -> str:
        return f"{counted(self.count, self.noun)} {self.says}"


@dataclass(frozen=True, slots=True, eq=False)
class PoolLayout:
    """One pool: its nodes, the owner's jobs on them, and the jobs that the trace itself marks as spot."""

    pool: str
    gpu_model: str | None
    nodes: tuple[NodeId, ...]
    sizes: tuple[int, ...]
    jobs: OwnerJobs
    spot: Asked
    left: tuple[Left, ...] = field(default_factory=tuple)

    @property
    def capacity(self) -> int:
        """GPUs of the pool."""
        return sum(self.sizes)


def layouts(table: JobTable, inventory: Inventory) -> tuple[PoolLayout, ...]:
    """Each pool of the inventory with its jobs; raises `Invalid` where jobs are in pools that the inventory does not have."""
    groups = matched(table.pools, inventory)
    return tuple(_layout(name, groups[name], table) for name in sorted(groups))


def matched(pools: Sequence[str], inventory: Inventory) -> Mapping[str, tuple[NodeGroup, ...]]:
    """The nodes of each pool of the trace. One pool of jobs and one of nodes belong together, whatever they are called."""
    groups: dict[str, list[NodeGroup]] = {name: [] for name in pools}
    if len(pools) == 1:
        return (
            {pools[0]: inventory.groups}
            if len(inventory.pools) == 1 or pools[0] not in inventory.pools
            else {pools[0]: tuple(group for group in inventory.groups if group.pool == pools[0])}
        )
    unknown = [name for name in pools if not inventory.capacity(name)]
    if unknown:
        said = f"jobs are in pools that the inventory does not have: {', '.join(unknown[:8])}"
        hint = f"the inventory has {', '.join(inventory.pools[:8])}; name pools alike, or put all jobs into one: --pool all"
        raise Invalid(said, field="nodes", hint=hint)
    for group in inventory.groups:
        if group.pool in groups:
            groups[group.pool].append(group)
    return {name: tuple(found) for name, found in groups.items()}


def _layout(pool: str, groups: Sequence[NodeGroup], table: JobTable) -> PoolLayout:
    sizes = tuple(size for group in groups for size in [group.gpus] * group.nodes)
    mine = table.frame.filter(pl.col("pool") == pool)
    rows, gone = _ran(mine, table)
    gangs, large = _gangs(rows, np.array(sizes, np.int64))
    rows = rows.filter(gangs.fits)
    per_node, nodes = gangs.per_node[gangs.fits], gangs.nodes[gangs.fits]
    spot = rows["spot"].to_numpy()
    everything = OwnerJobs(rows["at"].to_numpy(), rows["lasts"].to_numpy(), per_node, nodes)
    names = rows.select(pl.coalesce("org", "user", pl.lit("spot"))).to_series().to_list()
    return PoolLayout(
        pool=pool,
        gpu_model=groups[0].gpu_model if groups else None,
        nodes=tuple(NodeId(f"{pool}-{number:05d}") for number in range(len(sizes))),
        sizes=sizes,
        jobs=everything.of(~spot),
        spot=Asked(everything.of(spot), tuple(TenantId(names[i]) for i in np.flatnonzero(spot))),
        left=tuple(left for left in (*gone, *large) if left.count),
    )


def _ran(rows: pl.DataFrame, table: JobTable) -> tuple[pl.DataFrame, list[Left]]:
    """Jobs that ran, each with `at` (when it is asked for) and `lasts` (how long it runs), in µs on the time grid.

    What was there before the trace is asked for at its beginning, for the time that it still ran.
    """
    begin = pl.coalesce("start_us", "submit_us")
    end = pl.coalesce("end_us", pl.lit(table.until_us))
    ran = pl.coalesce(
        pl.when(pl.col("restarts") > 0).then(pl.col("run_us")), (end - begin).clip(lower_bound=0), pl.col("run_us")
    )
    early = begin < table.from_us
    full = rows.with_columns(
        at=pl.when(early).then(pl.lit(table.from_us)).otherwise(pl.col("submit_us").clip(lower_bound=table.from_us)),
        lasts=pl.when(early).then((end - table.from_us).clip(lower_bound=0)).otherwise(ran),
        never=(pl.col("run_us").fill_null(1) == 0),
    )
    never = full.filter("never" if full.schema["never"] == pl.Boolean else pl.lit(value=False))
    kept = full.filter(~pl.col("never") & (pl.col("lasts") > 0))
    over = len(full) - len(never) - len(kept)
    left = [
        Left("never_ran", len(never), "that never ran: nothing is asked for in the replay"),
        Left("no_time", over, "that took no time inside the trace"),
    ]
    on_grid = kept.with_columns(
        at=pl.col("at") - pl.col("at") % TICK_US,
        lasts=((pl.col("lasts") + TICK_US - 1) // TICK_US * TICK_US),
    )
    return on_grid.sort("at", "line"), left


@dataclass(frozen=True, slots=True, eq=False)
class _Gangs:
    per_node: Ints
    nodes: Ints
    fits: npt.NDArray[np.bool_]


def _gangs(rows: pl.DataFrame, sizes: Ints) -> tuple[_Gangs, list[Left]]:
    """Each job as a gang: as many nodes as it had workers, or as it needs if a worker is larger than any node."""
    gpus, workers = rows["gpus"].to_numpy(), rows["nodes"].to_numpy().astype(np.int64)
    largest = int(sizes.max(initial=1))
    nodes = np.where(-(-gpus // workers) > largest, -(-gpus // largest), workers)
    per_node = -(-gpus // nodes)
    has = np.array([(sizes >= size).sum() for size in range(largest + 1)])
    packed = np.minimum(largest // np.maximum(per_node, 1), nodes)  # workers that share a node where there are too few nodes
    crowded = nodes > has[per_node]
    nodes = np.where(crowded, -(-nodes // packed), nodes)
    per_node = np.where(crowded, -(-gpus // nodes), per_node)
    fits = (per_node <= largest) & (nodes <= has[np.minimum(per_node, largest)])
    rounded = int((per_node * nodes - gpus)[fits].sum())
    left = [
        Left("too_large", int((~fits).sum()), "larger than the pool: left out"),
        Left("rounded", rounded, "added so that all nodes of a gang have as many", "GPU"),
    ]
    return _Gangs(per_node, nodes, fits), left


def usage_layouts(table: DemandTable, capacities: Mapping[str, int]) -> tuple[PoolLayout, ...]:
    """Pools of which only the demand over time is known: every rise is a job, and whoever came last leaves first.

    Each GPU is a node of its own: nothing is known of gangs and of where they lie, so nothing is lost by them.
    """
    return tuple(_usage_layout(pool, capacities[pool], table) for pool in table.pools)


def _usage_layout(pool: str, capacity: int, table: DemandTable) -> PoolLayout:
    history = table.history(pool)
    over = int((history.gpus > capacity).sum())
    jobs = jobs_of_steps(history.at_us, np.minimum(history.gpus, capacity), table.until_us)
    left = (Left("over_capacity", over, "of demand above the capacity: cut there, as the rest could not run", "step"),)
    return PoolLayout(
        pool=pool,
        gpu_model=None,
        nodes=tuple(NodeId(f"{pool}-{number:05d}") for number in range(capacity)),
        sizes=(1,) * capacity,
        jobs=jobs,
        spot=Asked(no_jobs(), ()),
        left=left if over else (),
    )


def jobs_of_steps(at_us: Ints, gpus: Ints, until_us: int) -> OwnerJobs:
    """Jobs whose demand is this step function: a fall ends the jobs that came last, parts of one if need be."""
    stack: list[tuple[int, int]] = []  # (since, GPUs) of what is there, the last on top
    found: list[tuple[int, int, int]] = []  # (from, lasts, GPUs)
    level = 0
    for at, wanted in zip(at_us.tolist(), gpus.tolist(), strict=True):
        if wanted > level:
            stack.append((at, wanted - level))
        falls = level - wanted
        while falls > 0:
            since, size = stack.pop()
            ends = min(size, falls)
            found.append((since, at - since, ends))
            if size > ends:
                stack.append((since, size - ends))
            falls -= ends
        level = wanted
    found += [(since, until_us - since, size) for since, size in stack]
    found = sorted(one for one in found if one[1] > 0)
    rows = np.array(found, np.int64).reshape(-1, 3)
    return OwnerJobs(
        rows[:, 0] // TICK_US * TICK_US, -(-rows[:, 1] // TICK_US) * TICK_US, np.ones(len(rows), np.int64), rows[:, 2]
    )
