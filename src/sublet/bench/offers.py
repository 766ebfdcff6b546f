"""How well offers keep their word: the back-test of forecasts, calibrated given an offer, on public demand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from sublet.advice.study.question import capacities
from sublet.bench.progress import Progress, prefixed
from sublet.core.backtest import Course, Verdict, judge
from sublet.core.forecast import FORECASTS, Series
from sublet.core.ids import PoolId
from sublet.core.units import DAY_US, HOUR_US
from sublet.traces import DemandTable, Options, read_nodes, read_trace

HORIZONS_US = (HOUR_US, 4 * HOUR_US, 24 * HOUR_US)
RISK = 0.1

MOST = {1: 0.11, 4: 0.11, 24: 0.15}
"""By horizon in hours: the reclaim probability given an offer that is allowed at a nominal 10 %."""
LEAST = {1: 0.75, 4: 0.60, 24: 0.40}
"""By horizon in hours: the share of the window-minimum oracle that has to be captured."""
PUBLISHED = {1: (0.107, 0.72), 4: (0.144, 0.47), 24: (0.423, 0.24)}
"""The table to beat: (reclaimed, captured) of increments of the window maximum over four weeks."""


@dataclass(frozen=True, slots=True)
class Record:
    """A public record of demand: its file, the file of its nodes, and how much of it forecasts learn from first."""

    name: str
    demand: str
    nodes: str | None
    trace: str | None
    without: tuple[str, ...]
    warm_ups_d: tuple[int, ...]


RECORDS = (
    Record("alibaba", "usage_alibaba_spot_hourly.parquet", "nodes.parquet", "alibaba_spot", ("A10",), (28,)),
    Record("helios_earth", "usage_helios_earth_vc_1min.parquet", None, None, (), (28, 14)),
)


def calibrated_offers(folder: Path, method: str, progress: Progress) -> dict[str, Any]:
    """Every record under one method: what was asked, what was measured, per pool, and the trade-off curve."""
    found: dict[str, Any] = {"method": method, "nominal": RISK, "published": {str(h): PUBLISHED[h] for h in PUBLISHED}}
    for record in RECORDS:
        missing = [name for name in (record.demand, record.nodes) if name and not (folder / name).is_file()]
        if missing:
            found[record.name] = {"not_measured": f"{', '.join(missing)} is not in {folder}"}
            continue
        table, past = _series(folder, record)
        for days in record.warm_ups_d:
            told = prefixed(progress, f"{record.name}, {days} days first")
            found[f"{record.name}_{days}d"] = _judged(table, past, method, days, told)
    return found


def _series(folder: Path, record: Record) -> tuple[DemandTable, Mapping[PoolId, Series]]:
    table = read_trace(folder / record.demand)
    assert isinstance(table, DemandTable), f"{record.demand} is a log of demand"
    inventory = None
    if record.nodes is not None:
        inventory = read_nodes(folder / record.nodes, Options(trace=record.trace, pool="gpu_model"))
    gaps = tuple((gap.from_us, gap.to_us) for gap in table.gaps)
    return table, {
        PoolId(pool): Series(PoolId(pool), table.history(pool), capacity, gaps)
        for pool, capacity in capacities(table, inventory).items()
        if pool not in record.without
    }


def _judged(table: DemandTable, past: Mapping[PoolId, Series], method: str, days: int, progress: Progress) -> dict[str, Any]:
    began = perf_counter()

    def told(_: str, horizon_us: int, share: float) -> None:
        progress(f"{horizon_us // HOUR_US} h", share)

    course = Course(until_us=table.until_us, warm_up_us=days * DAY_US)
    judgement = judge(
        past, {method: FORECASTS[method]}, HORIZONS_US, course, rng=np.random.default_rng(0), risk=RISK, progress=told
    )
    rows = {str(verdict.horizon_us // HOUR_US): _row(verdict) for verdict in judgement.verdicts}
    return {"pools": len(past), "warm_up_d": days, "seconds": round(perf_counter() - began, 1), "hours": rows}


def _row(verdict: Verdict) -> dict[str, Any]:
    hours, score = verdict.horizon_us // HOUR_US, verdict.calibrated
    return {
        "reclaimed": round(score.reclaimed, 4),
        "interval": [round(score.low, 4), round(score.high, 4)],
        "reclaimed_at_most": MOST[hours],
        "captured": round(score.captured, 4),
        "captured_at_least": LEAST[hours],
        "met": score.reclaimed <= MOST[hours] and score.captured >= LEAST[hours],
        "captured_in_kept_windows": round(score.kept, 4),
        "reclaimed_gpus": round(score.reclaimed_gpus, 4),
        "windows": score.windows,
        "offered": score.offered,
        "without_calibration": {"reclaimed": round(verdict.plain.reclaimed, 4), "captured": round(verdict.plain.captured, 4)},
        "coverage_of_all_windows": round(verdict.coverage, 4),
        "pinball": {f"{level:g}": round(loss, 5) for level, loss in verdict.pinball.items()},
        "by_pool": {
            one.pool: {"reclaimed": round(one.reclaimed, 3), "captured": round(one.captured, 3), "of_all": round(one.share, 3)}
            for one in verdict.pools
        },
        "curve": [
            {"nominal": one.risk, "reclaimed": round(one.reclaimed, 4), "captured": round(one.captured, 4)}
            for one in verdict.curve
        ],
    }
