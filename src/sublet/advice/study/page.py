"""The report as one HTML file that needs nothing else: for the browser, the phone and the printer, with the network off.

Plotly's script stands in it once. A content security policy forbids the page to ask anybody for anything.
"""

from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from sublet.advice import page
from sublet.advice.study import words
from sublet.advice.study.fleet import PoolPart
from sublet.advice.study.plots import forecasts, lengths, over_time, policies, turned
from sublet.advice.study.plots.style import Key, Plot
from sublet.advice.study.report import Report
from sublet.advice.study.rows import Columns, Group, groups


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as the page shows it: its part of the report, its table and its plots."""

    part: PoolPart
    table: tuple[Group, ...]
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Plots that are read together: one below the other, or a row of small ones with a caption for all."""

    title: str
    plots: tuple[Plot, ...]
    kind: str = "one"  # one | facets (of one thing, side by side on paper, too) | bars (side by side on a wide screen only)
    caption: str = ""
    keys: tuple[Key, ...] = ()


def page_of(report: Report) -> str:
    """The file's text."""
    pools = tuple(_pool(report, i, pool) for i, pool in enumerate(report.pools)) if len(report.pools) > 1 else ()
    sections = {
        "idle": _idle(report),
        "forecasts": _forecasts(report),
        "policies": _policies(report),
        "turned": _turned(report),
    }
    every = [plot for parts in sections.values() for part in parts for plot in part.plots]
    every += [plot for pool in pools for plot in pool.plots]
    return page.rendered(
        _templates(),
        "report.html",
        every,
        report=report,
        sections=sections,
        pools=pools,
        table=_table(report),
        titles=[one.title for one in report.policies],
    )


def _idle(report: Report) -> tuple[Section, ...]:
    curve, gpus = report.fleet.curve, report.fleet.gpus
    return (
        Section("", (over_time.idle_plot(report, curve, gpus),)),
        Section("", (lengths.lengths_plot(report),)),
    )


def _forecasts(report: Report) -> tuple[Section, ...]:
    largest = max(report.pools, key=lambda pool: pool.gpus)
    made = []
    if largest.bands is not None:
        made.append(Section("", (forecasts.bands_plot(report, largest.pool, largest.gpus, largest.bands),)))
    judged = report.forecasts
    if judged is None:
        return tuple(made)
    named = judged.ours if any(one.method == judged.ours for one in judged.methods) else judged.methods[0].method
    shown = [one for hours in judged.hours if (one := judged.of(named, hours)) is not None]
    kept = tuple(forecasts.calibration_plot(one) for one in shown)
    keys = forecasts.calibration_keys()
    made.append(Section(f"Does the forecast keep its word? ({named})", kept, "facets", forecasts.CALIBRATION, keys))
    costs = tuple(forecasts.tradeoff_plot(judged, hours) for hours in judged.hours)
    made.append(Section("What caution costs", costs, "facets", forecasts.TRADEOFF, forecasts.tradeoff_keys(judged)))
    return tuple(made)


def _policies(report: Report) -> tuple[Section, ...]:
    three = (policies.leased_plot(report), policies.net_plot(report), policies.delay_plot(report))
    return (
        Section("", three, "bars"),
        Section("", (policies.states_plot(report),)),
        Section("", (over_time.states_plot(report, report.fleet.curve),)),
    )


def _turned(report: Report) -> tuple[Section, ...]:
    if not any(one.figures.leased_gpu_h for one in report.sensitivity):
        return ()
    return (Section("", (turned.net_turned_plot(report), turned.delay_turned_plot(report)), "bars"),)


def _pool(report: Report, i: int, pool: PoolPart) -> PoolView:
    plots = [
        over_time.idle_plot(report, pool.curve, pool.gpus, f"pool-{i}-over-time"),
        over_time.states_plot(report, pool.curve, f"pool-{i}-states"),
    ]
    if pool.bands is not None:
        plots.append(forecasts.bands_plot(report, pool.pool, pool.gpus, pool.bands, f"pool-{i}-bands"))
    figures = [one.pools[pool.pool] for one in report.policies]
    return PoolView(pool, groups(Columns(figures, pool.bounds, pool.gpus, report.trace.currency)), tuple(plots))


def _table(report: Report) -> tuple[Group, ...]:
    figures = [one.figures for one in report.policies]
    return groups(Columns(figures, report.fleet.bounds, report.fleet.gpus, report.trace.currency))


@cache
def _templates() -> Environment:
    return page.templates("sublet.advice.study", {"lasting": words.length, "money": words.money, "price": words.price})
