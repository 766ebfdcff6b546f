"""The Parquet tables of a study: the numbers behind the report, one table a subject, for whoever wants to go on with them.

`docs/reference/study.md` has every column. GPU time in GPU-hours, money in whole units of the market's currency, instants in µs
on the trace's clock. Shares are of 1.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import polars as pl

from sublet.advice.study.curves import hourly_states
from sublet.advice.study.idle import SHOWN_US
from sublet.advice.study.judged import Method, judged_of
from sublet.advice.study.result import Study, bounds_of
from sublet.core.occupancy import STATES
from sublet.core.units import HOUR_US, SECOND_US
from sublet.sim.figures import Delays, Figures

Row = Mapping[str, Any]
Schema = dict[str, type[pl.DataType]]


def _demand(study: Study) -> pl.DataFrame:
    """Hour by hour: demand, idle and leasable GPUs of each pool with nothing leased."""
    parts = []
    for idle in study.idle:
        leasable = {f"leasable_{us // HOUR_US}h": idle.leasable[us] for us in SHOWN_US}
        columns = {"at_us": idle.hours_us, "demand": idle.demand, "idle": idle.idle, **leasable}
        parts.append(pl.DataFrame(columns).select(pl.lit(idle.pool).alias("pool"), pl.all()))
    return pl.concat(parts)


def _hourly(study: Study) -> pl.DataFrame:
    """Hour by hour: how many GPUs of each pool were in each state under each policy."""
    parts = []
    for policy, outcomes in study.outcomes.items():
        for outcome, idle in zip(outcomes, study.idle, strict=True):
            states = hourly_states(outcome, idle.hours_us)
            columns = {"at_us": idle.hours_us} | {state: states[:, i] for i, state in enumerate(STATES)}
            named = pl.DataFrame(columns).select(pl.lit(policy).alias("policy"), pl.lit(outcome.pool).alias("pool"), pl.all())
            parts.append(named)
    return pl.concat(parts)


def _policies(study: Study) -> pl.DataFrame:
    """Every figure of each policy over the whole fleet."""
    return pl.DataFrame([{"policy": name, **_flat(figures)} for name, figures in study.fleet.items()])


def _pools(study: Study) -> pl.DataFrame:
    """The same of each pool."""
    return pl.DataFrame([{"policy": name, "pool": pool, **_flat(figures)} for name, pool, figures in _each(study)])


def _each(study: Study) -> Iterable[tuple[str, str, Figures]]:
    return ((name, pool, figures) for name, pools in study.by_pool.items() for pool, figures in pools.items())


def _flat(figures: Figures) -> dict[str, Any]:
    """The figures that are one number each; delays with their name before them."""
    apart = {"policy", "captured", "windows", "delays", "later", "alarms"}
    plain = {one.name: getattr(figures, one.name) for one in fields(figures) if one.name not in apart}
    nothing = dict.fromkeys((one.name for one in fields(Delays)), None)
    delays = {f"delay_{name}": value for name, value in asdict(figures.delays).items()}
    later = asdict(figures.later) if figures.later is not None else nothing
    return plain | delays | {f"later_{name}": value for name, value in later.items()}


def _captured(study: Study) -> pl.DataFrame:
    """What each policy leased of each bound; pool null: the whole fleet."""
    rows: list[Row] = []
    for name, figures in study.fleet.items():
        rows += _shares(name, None, figures, study.bounds_us)
    by_pool = {one.pool: bounds_of([one]) for one in study.idle}
    for name, pool, figures in _each(study):
        rows += _shares(name, pool, figures, by_pool[pool])
    return pl.DataFrame(
        rows,
        schema={"policy": pl.String, "pool": pl.String, "hours": pl.Int64, "bound_gpu_h": pl.Float64, "captured": pl.Float64},
    )


def _shares(policy: str, pool: str | None, figures: Figures, bounds_us: Mapping[int, int]) -> list[Row]:
    return [
        {"policy": policy, "pool": pool, "hours": hours, "bound_gpu_h": bounds_us[hours] / HOUR_US, "captured": part}
        for hours, part in figures.captured.items()
    ]


def _windows(study: Study) -> pl.DataFrame:
    """Windows that were offered under a guarantee, and what became of them; pool null: the whole fleet."""
    every: list[tuple[str, str | None, Figures]] = [(name, None, figures) for name, figures in study.fleet.items()]
    every += _each(study)
    rows = [{"policy": name, "pool": pool, **asdict(one)} for name, pool, figures in every for one in figures.windows]
    counts = {"hours": pl.Float64, "offered": pl.Int64, "reclaimed": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema={"policy": pl.String, "pool": pl.String, **counts, "gpu_h": pl.Float64})


def _delays(study: Study) -> pl.DataFrame:
    """How many of the owner's jobs waited how long for leased GPUs."""
    parts = []
    for policy, outcomes in study.outcomes.items():
        for outcome in outcomes:
            delays, jobs = np.unique(outcome.delays_us, return_counts=True)
            columns = {"delay_s": delays / SECOND_US, "jobs": jobs.astype(np.int64)}
            named = pl.DataFrame(columns).select(pl.lit(policy).alias("policy"), pl.lit(outcome.pool).alias("pool"), pl.all())
            parts.append(named)
    return pl.concat(parts)


_SHARES = ("reclaimed", "low", "high", "reclaimed_gpus", "captured", "kept")
_METHOD: Schema = {"method": pl.String, "hours": pl.Float64, "calibrated": pl.Boolean}
_POINT: Schema = {"risk": pl.Float64, "windows": pl.Int64, "offered": pl.Int64, **dict.fromkeys(_SHARES, pl.Float64)}


def _verdicts(study: Study) -> pl.DataFrame:
    """The back-test at the judged risk, as methods say and calibrated; empty where there was none."""
    rows = [
        {"method": one.method, "hours": one.hours, "calibrated": calibrated, "unknown": one.unknown, "coverage": one.coverage}
        | asdict(one.calibrated if calibrated else one.plain)
        for one in _methods(study)
        for calibrated in (False, True)
    ]
    counts: Schema = {"unknown": pl.Int64, "coverage": pl.Float64}
    return pl.DataFrame(rows, schema={**_METHOD, **counts, **_POINT})


def _tradeoffs(study: Study) -> pl.DataFrame:
    """The back-test over nominal risks; empty where there was none."""
    rows = [
        {"method": one.method, "hours": one.hours, "calibrated": calibrated} | asdict(point)
        for one in _methods(study)
        for calibrated, curve in ((False, one.plain_curve), (True, one.curve))
        for point in curve
    ]
    return pl.DataFrame(rows, schema={**_METHOD, **_POINT})


def _methods(study: Study) -> tuple[Method, ...]:
    found = judged_of(study)
    return () if found is None else found.methods


def _sensitivity(study: Study) -> pl.DataFrame:
    """Our policy with one assumption turned; empty where that was not wanted."""
    rows = [{"assumption": one.assumption, "value": one.value, **_flat(figures)} for one, figures in study.turned]
    if rows:
        return pl.DataFrame(rows)
    like = _policies(study).schema
    return pl.DataFrame(schema={"assumption": pl.String, "value": pl.String} | {k: v for k, v in like.items() if k != "policy"})


TABLES: Mapping[str, Callable[[Study], pl.DataFrame]] = {
    "demand": _demand,
    "hourly": _hourly,
    "policies": _policies,
    "pools": _pools,
    "captured": _captured,
    "windows": _windows,
    "delays": _delays,
    "verdicts": _verdicts,
    "tradeoffs": _tradeoffs,
    "sensitivity": _sensitivity,
}
"""A table and what makes it."""
