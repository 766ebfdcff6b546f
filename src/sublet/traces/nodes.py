"""How many GPUs there are: inventories of nodes from a table, from Slurm, or written on the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sublet.core.errors import Invalid
from sublet.traces.cells import Read, numbers, words
from sublet.traces.files import Sample, require, sample, table
from sublet.traces.findings import Fault, Note, counted, places
from sublet.traces.mapping import mapped
from sublet.traces.one_trace import one_trace
from sublet.traces.options import Options
from sublet.traces.pools import pool_of
from sublet.traces.sieve import LINE, LeftOut, faulty, left_out
from sublet.traces.sinfo import Nodes, is_sinfo_json, is_sinfo_text, sinfo_json, sinfo_text

EXPECTED = "a table with node_id and gpus (gpu_model, pool, trace), output of sinfo, or A100=432x8 in place of a file"

COLUMNS: dict[str, str] = {"node": "node_id", "gpus": "gpus", "gpu_model": "gpu_model", "pool": "pool", "trace": "trace"}
"""Our columns, and what they are called in a file if nothing else is said."""

PUBLISHED: tuple[dict[str, str], ...] = (
    {"node": "node_name", "gpus": "gpu_capacity_num", "gpu_model": "gpu_model"},  # cluster-trace-v2026-spot-gpu
    {"node": "sn", "gpus": "gpu", "gpu_model": "model"},  # cluster-trace-gpu-v2023
    {"node": "machine", "gpus": "cap_gpu", "gpu_model": "gpu_type"},  # cluster-trace-gpu-v2020
)
"""Node tables of published traces."""

GPUS_A_NODE_MAX = 64


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes of one pool that are alike: `nodes` of them with `gpus` GPUs each."""

    pool: str
    gpu_model: str | None
    gpus: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """The GPUs of a fleet, grouped; sorted by pool, model and size."""

    groups: tuple[NodeGroup, ...]
    rows: int = 0
    faults: tuple[Fault, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def gpus(self) -> int:
        """All of them."""
        return sum(group.gpus * group.nodes for group in self.groups)

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of its pools, sorted."""
        return tuple(sorted({group.pool for group in self.groups}))

    def capacity(self, pool: str) -> int:
        """The GPUs of one pool; 0 if it is not there."""
        return sum(group.gpus * group.nodes for group in self.groups if group.pool == pool)


def read_nodes(path: Path, options: Options | None = None) -> Inventory:
    """The inventory in a file; raises `Invalid` with field and way out."""
    options = options or Options()
    seen = sample(path, name="nodes")
    if is_sinfo_json(seen):
        return _inventory(sinfo_json(seen), seen.path, options)
    if is_sinfo_text(seen):
        return _inventory(sinfo_text(seen), seen.path, options)
    return _inventory(_table(seen, options), seen.path, options)


def written_nodes(texts: Sequence[str]) -> Inventory:
    """The inventory in a few words: `A100=432x8` for 432 nodes of 8, `A100=3456` where the size of a node is not known.

    The name is the pool and the model; `batch:A100=432x8` tells them apart.
    """
    groups, single = [], 0
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        name, _, size = text.partition("=")
        nodes, times, each = size.lower().partition("x")
        pool, colon, model = name.strip().partition(":")
        if not (pool and (model or not colon) and nodes.strip().isdigit() and (each.strip().isdigit() if times else True)):
            raise Invalid(
                f"{text!r} is no inventory", field="nodes", hint="write A100=432x8 (nodes x GPUs) or A100=3456 (GPUs)"
            )
        group = NodeGroup(pool, model or pool, int(each) if times else 1, int(nodes))
        if not group.nodes or not 0 < group.gpus <= GPUS_A_NODE_MAX:
            said = f"{text!r}: a node has 1 to {GPUS_A_NODE_MAX} GPUs, and there is one at least"
            raise Invalid(said, field="nodes", hint="write A100=432x8 (nodes x GPUs)")
        single += 0 if times else group.nodes
        groups.append(group)
    notes = (Note("node_size", single, f"{counted(single, 'GPU')} of nodes whose size is not said: taken as nodes of one"),)
    return Inventory(_merged(groups), len(groups), (), notes if single else ())


def _table(seen: Sample, options: Options) -> Nodes:
    usual = next((COLUMNS | known for known in PUBLISHED if seen.has(*known.values())), COLUMNS)
    columns = mapped(seen, options, usual, name="nodes")
    needed = [COLUMNS[ours] for ours in ("node", "gpus") if ours not in columns]
    require(seen.columns, needed, path=seen.path, expected=EXPECTED, name="nodes")
    raw = table(seen, columns=list(dict.fromkeys(columns.values())))
    frame, notes = one_trace(raw.frame, columns.get("trace"), options)
    named = [ours for ours in ("node", "gpu_model", "pool") if ours in columns]
    got = numbers(words(Read(frame), {ours: columns[ours] for ours in named}), {"gpus": columns["gpus"]})
    bad = {f"{columns['node']} is empty": pl.col("node").is_null()} | got.bad | _sizes(columns["gpus"])
    good, faults = faulty(got.frame, bad)
    return Nodes(good.with_columns(pl.col("gpus").cast(pl.Int64)), raw.rows, raw.faults + faults, notes)


def _sizes(name: str) -> dict[str, pl.Expr]:
    gpus = pl.col("gpus")
    return {
        f"{name} is empty": gpus.is_null(),
        f"{name} is negative": gpus < 0,
        f"{name} is no whole number": gpus != gpus.round(),
        f"{name} is above {GPUS_A_NODE_MAX}": gpus > GPUS_A_NODE_MAX,
    }


def _inventory(found: Nodes, path: Path, options: Options) -> Inventory:
    again = ~pl.col("node").is_first_distinct()
    frame, dropped = left_out(
        found.frame.sort(LINE),
        [
            LeftOut("cpu_only", "node", "without a GPU: left out", pl.col("gpus") == 0),
            LeftOut("merged", "further row", "of a node in several partitions: it counts once, in the first", again),
        ],
    )
    notes = found.notes + dropped
    if frame.is_empty():
        said = [places(path, found.faults)] if found.faults else []
        said += [note.says for note in notes]
        raise Invalid(f"no node in {path} can be used ({'; '.join(said) or 'it has no rows'})", field="nodes", hint=EXPECTED)
    frame = _complete(frame).with_columns(pool_of(options))
    down = frame.filter(pl.col("down"))
    if len(down):
        text = f"{counted(len(down), 'node')} with {int(down['gpus'].sum()):,} GPUs down or drained now: they count"
        notes += (Note("down", len(down), text),)
    sizes = frame.group_by("pool", "gpu_model", "gpus").len().sort("pool", "gpu_model", "gpus")
    groups = tuple(NodeGroup(pool, model, gpus, count) for pool, model, gpus, count in sizes.iter_rows())
    return Inventory(groups, found.rows, found.faults, notes)


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    lacks = {"gpu_model": pl.lit(None, pl.String), "down": pl.lit(value=False)}
    full = frame.with_columns(**{name: value for name, value in lacks.items() if name not in frame.columns})
    return full if "pool" in full.columns else full.with_columns(pool=pl.col("gpu_model"))


def _merged(groups: Sequence[NodeGroup]) -> tuple[NodeGroup, ...]:
    counts: dict[tuple[str, str, int], int] = {}
    for group in groups:
        key = (group.pool, group.gpu_model or "", group.gpus)
        counts[key] = counts.get(key, 0) + group.nodes
    return tuple(NodeGroup(pool, model or None, gpus, nodes) for (pool, model, gpus), nodes in sorted(counts.items()))
