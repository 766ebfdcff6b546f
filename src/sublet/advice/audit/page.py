"""The report as one HTML file that needs nothing else, in the style of the study's."""

from functools import cache

from jinja2 import Environment

from sublet.advice import page
from sublet.advice.audit.plots import ways
from sublet.advice.audit.report import WAYS, Report
from sublet.advice.study import words
from sublet.core.units import HOUR_US, SECOND_US

_PACKAGE, STYLE = "sublet.advice.audit", "audit.css"
GROUPS_SHOWN = 300
"""The page shows the groups of the most GPU-hours; the document has all."""


def page_of(report: Report) -> str:
    """The file's text."""
    plots = {"ways": ways.ways_plot(report), "trade": ways.trade_plot(report)}
    return page.rendered(
        _templates(),
        "audit.html",
        plots.values(),
        style=page.text_of(_PACKAGE, STYLE),
        report=report,
        shown=report.lines[:GROUPS_SHOWN],
        ways=WAYS,
        currency=report.currency,
        plots=plots,
    )


@cache
def _templates() -> Environment:
    return page.templates(_PACKAGE, {**page.IN_MICRO, "later": _later})


def _later(hours: float) -> str:
    return "never" if hours == float("inf") else words.length(hours * HOUR_US / SECOND_US)
