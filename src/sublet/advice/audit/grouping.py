"""Groups of like jobs from a job table: one user, one pattern of names, one shape, one label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sublet.advice.audit.labels import Label, label_of
from sublet.core.audit.group import Group, Told
from sublet.core.audit.signs import pattern_of
from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US
from sublet.traces import JobTable

Ints = npt.NDArray[np.int64]
KEY = ("user", "pattern", "gpus", "nodes", "gpu_model", "label")
CUT_SHORT = ("timeout", "reclaimed", "node_fail")
NOBODY = "-"


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """A group and how long each of its jobs ran (µs, int64[n])."""

    group: Group
    work_us: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """All groups, the most GPU-hours first. `ran` jobs are in them, `never` did not run and used nothing."""

    members: tuple[Members, ...]
    ran: int
    never: int
    gpu_us: int


def grouped(table: JobTable, labels: Sequence[Label]) -> Grouped:
    """Every job that ran, in its group."""
    frame = table.frame.with_columns(work=pl.Series(table.duration_us))
    ran = frame.filter(pl.col("work") > 0)
    if ran.is_empty():
        raise Invalid("no job in it ran", field="jobs", hint="give a history in which jobs have run times")
    ran = ran.with_columns(
        _labels(ran, labels), pattern=_patterns(ran["name"]), user=pl.coalesce("user", "org", pl.lit(NOBODY))
    )
    ran = _numbered(ran)
    return Grouped(
        tuple(_members(ran.sort("group"), labels)), len(ran), len(frame) - len(ran), int((ran["work"] * ran["gpus"]).sum())
    )


def _patterns(names: pl.Series) -> pl.Series:
    """What differs from run to run left out; empty where a job has no name."""
    return names.fill_null("").map_elements(pattern_of, return_dtype=pl.String)


def _labels(ran: pl.DataFrame, labels: Sequence[Label]) -> pl.Series:
    """The number of the label of each job, -1 without one."""
    columns = ("user", "org", "pool", "name")
    if not labels:
        return pl.Series("label", [-1] * len(ran), dtype=pl.Int32)
    found = {job: label_of(labels, job) for job in set(ran.select(columns).rows())}
    return pl.Series("label", [found[job] for job in ran.select(columns).rows()], dtype=pl.Int32)


def _numbered(ran: pl.DataFrame) -> pl.DataFrame:
    """The jobs with `group`, 1 for the one of the most GPU-hours; like sizes in order of their keys."""
    spent = ran.group_by(KEY).agg((pl.col("work") * pl.col("gpus")).sum().alias("spent"))
    order = spent.sort(pl.col("spent"), *KEY, descending=[True, *([False] * len(KEY))], nulls_last=True)
    return ran.join(order.with_row_index("group", offset=1), on=KEY, how="left", nulls_equal=True, maintain_order="left")


def _members(ran: pl.DataFrame, labels: Sequence[Label]) -> Iterator[Members]:
    resumed = dict(_resumed(ran).iter_rows())
    waits = _waits(ran)
    for (number,), rows in ran.group_by("group", maintain_order=True):
        after, waited = resumed.get(number, 0), waits.get(int(str(number)), (0, 0.0))
        group = _group(rows, labels, resumed=after, waits=waited)
        yield Members(group, rows["work"].to_numpy())


def _group(rows: pl.DataFrame, labels: Sequence[Label], *, resumed: int, waits: tuple[int, float]) -> Group:
    work = rows["work"].to_numpy()
    first = rows.row(0, named=True)
    low, median, high = np.quantile(work, [0.05, 0.5, 0.95]) / HOUR_US
    statuses = rows["status"].drop_nulls().value_counts(sort=True).rows()
    label = first["label"]
    return Group(
        id=f"g{first['group']}",
        user=first["user"],
        pattern=first["pattern"],
        gpus=first["gpus"],
        nodes=first["nodes"],
        gpu_model=first["gpu_model"],
        jobs=len(rows),
        gpu_h=float(work.sum()) * first["gpus"] / HOUR_US,
        low_h=float(low),
        median_h=float(median),
        high_h=float(high),
        longest_h=float(work.max()) / HOUR_US,
        weighted_h=_weighted_h(work),
        statuses=dict(statuses),
        restarted=int((rows["restarts"] > 0).sum()),
        resumed=resumed,
        waited=waits[0],
        wait_h=waits[1],
        giving_way=int(rows["spot"].sum()),
        told=Told() if label < 0 else labels[label].told(label),
    )


def _weighted_h(work: Ints) -> float:
    """The run time at which half of all time is in longer ones, hours."""
    rising = np.sort(work)
    return float(rising[np.searchsorted(np.cumsum(rising), rising.sum() / 2)]) / HOUR_US


def _resumed(ran: pl.DataFrame) -> pl.DataFrame:
    """(group, jobs that were submitted within an hour after one of the group was cut short)."""
    begun = ran.select("group", at="submit_us").sort("at")
    cut = ran.filter(pl.col("status").is_in(CUT_SHORT)).select(
        "group", at=pl.coalesce("end_us", pl.coalesce("start_us", "submit_us") + pl.col("work")), cut="line"
    )
    near = begun.join_asof(cut.sort("at"), on="at", by="group", tolerance=HOUR_US, check_sortedness=False)
    return near.filter(pl.col("cut").is_not_null()).group_by("group").len()


def _waits(ran: pl.DataFrame) -> dict[int, tuple[int, float]]:
    """(jobs whose wait is known, what 9 of 10 of them waited at most, hours) by group."""
    known = ran.filter(pl.col("start_us").is_not_null())
    wait = (pl.col("start_us") - pl.col("submit_us")).clip(lower_bound=0)
    rows = known.group_by("group").agg(pl.len(), wait.quantile(0.9, "linear").alias("wait")).iter_rows()
    return {group: (count, wait / HOUR_US) for group, count, wait in rows}
