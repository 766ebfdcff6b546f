"""The report as one HTML file that needs nothing else, in the style of the study's.

Same style sheet, same script, and a content security policy that forbids the page to ask anybody for anything.
"""

import base64
import hashlib
import json
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sublet.advice.finance.accounts_table import unit_of, year_table
from sublet.advice.finance.plots import bands, turned, units
from sublet.advice.finance.report import Report
from sublet.advice.study import words
from sublet.advice.study.plots.style import CONFIG, Plot
from sublet.app.export.templates import environment
from sublet.core.units import MICRO

STYLE, SCRIPT, OWN_STYLE = "report.css", "report.js", "finance.css"


def page_of(report: Report) -> str:
    """The file's text."""
    plots = {
        "units": units.unit_plot(report),
        "months": bands.month_plot(report),
        "price": bands.price_plot(report),
        "so_far": bands.so_far_plot(report),
        "alone": turned.alone_plot(report),
        "contribution": turned.contribution_plot(report),
        "full": turned.full_plot(report),
    }
    scripts = (Markup(get_plotlyjs()), Markup(_file("sublet.advice.study", SCRIPT)))  # noqa: S704 (plotly's and ours)
    style = _file("sublet.advice.study", STYLE) + _file("sublet.advice.finance", OWN_STYLE)
    return (
        _environment("sublet.advice.finance")
        .get_template("finance.html")
        .render(
            report=report,
            currency=report.scenario.currency,
            unit=unit_of(report),
            years=year_table(report),
            plots=plots,
            style=Markup(style),  # noqa: S704
            scripts=scripts,
            policy=_policy_of(scripts),
            figures=_embedded([plot for plot in plots.values() if plot is not None]),
        )
    )


def _embedded(plots: list[Plot]) -> Markup:
    """All figures as JSON inside the page; nothing in it can end the script element that holds it."""
    made = {plot.name: {"data": plot.data, "layout": plot.layout} for plot in plots}
    text = json.dumps({"config": CONFIG, "figures": made}, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))  # noqa: S704 (made safe right here)


def _policy_of(scripts: tuple[str, ...]) -> str:
    """These very scripts and no others, and no request to anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


@cache
def _file(package: str, name: str) -> str:
    source, _, _ = _environment(package).loader.get_source(_environment(package), name)  # type: ignore[union-attr]
    return source


@cache
def _environment(package: str) -> Environment:
    made = environment(package)
    made.filters |= {"share": words.share, "number": words.number, "whole": words.count, "value": _value}
    made.filters |= {
        "money": lambda micro, currency: words.money(micro / MICRO, currency),
        "price": lambda micro, currency: words.price(micro / MICRO, currency),
        "percent": lambda bps: "-" if bps is None else words.share(bps / 10_000),
    }
    return made


def _value(value: Any) -> str:
    """An assumption's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_value(part) for part in value)
    return f"{value:,.12g}" if isinstance(value, int | float) else str(value)
