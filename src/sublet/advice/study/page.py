"""The report as one HTML file that needs nothing else: for the browser, the phone and the printer, with the network off.

Plotly's script stands in it once. A content security policy forbids the page to ask anybody for anything.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sublet.advice.study import words
from sublet.advice.study.fleet import PoolPart
from sublet.advice.study.plots import forecasts, lengths, over_time, policies, turned
from sublet.advice.study.plots.style import CONFIG, Key, Plot
from sublet.advice.study.report import Report
from sublet.advice.study.rows import Columns, Group, groups
from sublet.app.export.templates import environment

STYLE, SCRIPT = "report.css", "report.js"


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
    scripts = (Markup(get_plotlyjs()), Markup(_file(SCRIPT)))  # noqa: S704 (our own and plotly's, no text of anybody's)
    return _template().render(
        report=report,
        sections=sections,
        pools=pools,
        table=_table(report),
        titles=[one.title for one in report.policies],
        style=Markup(_file(STYLE)),  # noqa: S704
        scripts=scripts,
        policy=_policy_of(scripts),
        figures=_embedded(every),
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


def _embedded(plots: list[Plot]) -> Markup:
    """All figures as JSON inside the page; nothing in it can end the script element that holds it."""
    made = {plot.name: {"data": plot.data, "layout": plot.layout} for plot in plots}
    text = json.dumps({"config": CONFIG, "figures": made}, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))  # noqa: S704 (made safe right here)


def _policy_of(scripts: tuple[str, ...]) -> str:
    """The content security policy: these very scripts and no others, and no request to anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


@cache
def _file(name: str) -> str:
    source, _, _ = _environment().loader.get_source(_environment(), name)  # type: ignore[union-attr]
    return source


@cache
def _environment() -> Environment:
    made = environment("sublet.advice.study")
    made.filters |= {"share": words.share, "number": words.number, "whole": words.count, "lasting": words.length}
    made.filters |= {"money": words.money, "price": words.price, "value": _value}
    return made


def _template() -> Template:
    return _environment().get_template("report.html")


def _value(value: Any) -> str:
    """An assumption's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_value(part) for part in value)
    return f"{value:,.12g}" if isinstance(value, int | float) else str(value)
