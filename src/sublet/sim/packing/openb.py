"""The cluster and the pods of the openb trace, from the tables that hold them."""

from pathlib import Path

import numpy as np
import polars as pl

from sublet.sim.packing.fleet import PLACES, WHOLE, Fleet, Ints

NODES, PODS, TRACE = "nodes.parquet", "jobs_openb.parquet", "openb"


def nodes_of(folder: Path) -> Fleet:
    """The nodes that have GPUs, all free, in the order of the file; the others take no part in the experiment."""
    rows = pl.read_parquet(folder / NODES).filter((pl.col("trace") == TRACE) & (pl.col("gpus") > 0))
    sizes = rows["gpus"].to_numpy().astype(np.int64)
    gpus = np.where(np.arange(PLACES) < sizes[:, None], WHOLE, 0)
    return Fleet(_whole(rows["cpus"], 1_000), _whole(rows["mem_gib"], 1_024), gpus.astype(np.int64))


def pods_of(folder: Path) -> Ints:
    """What each pod asks for, int64[p, 4] (see `fleet`): all pods of the list, also those that ask for no GPU or never ran."""
    rows = pl.read_parquet(folder / PODS)
    asked = _whole(rows["gpus"], WHOLE)
    gpus = -(-asked // WHOLE)
    milli = np.divide(asked, gpus, out=np.zeros(len(asked)), where=gpus > 0)
    return np.stack([_whole(rows["cpus"], 1_000), _whole(rows["mem_gib"], 1_024), milli.astype(np.int64), gpus], axis=1)


def _whole(column: pl.Series, parts: int) -> Ints:
    """A column counted in parts of its unit."""
    counted: Ints = np.rint(column.to_numpy() * parts).astype(np.int64)
    return counted
