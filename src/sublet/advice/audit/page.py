"""The report as one HTML file that needs nothing else, in the style of the study's."""

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from sublet.advice import page
from sublet.advice.audit.plots import ways
from sublet.advice.audit.report import WAYS, Report
from sublet.advice.study import words
from sublet.app.export.templates import environment
from sublet.core.units import HOUR_US, MICRO, SECOND_US

_PACKAGE, STYLE = "sublet.advice.audit", "audit.css"
GROUPS_SHOWN = 300
"""The page shows the groups of the most GPU-hours; the document has all."""


def page_of(report: Report) -> str:
    """The file's text."""
    plots = {"ways": ways.ways_plot(report), "trade": ways.trade_plot(report)}
    scripts = page.scripts()
    return (
        _environment()
        .get_template("audit.html")
        .render(
            report=report,
            shown=report.lines[:GROUPS_SHOWN],
            ways=WAYS,
            currency=report.currency,
            plots=plots,
            style=Markup(page.style() + page.text_of(_PACKAGE, STYLE)),  # noqa: S704 (our own)
            scripts=scripts,
            policy=page.policy_of(scripts),
            figures=page.embedded([plot for plot in plots.values() if plot is not None]),
        )
    )


@cache
def _environment() -> Environment:
    made = environment(_PACKAGE)
    made.filters |= {"share": words.share, "number": words.number, "whole": words.count}
    made.filters |= {
        "money": lambda micro, currency: words.money(micro / MICRO, currency),
        "price": lambda micro, currency: words.price(micro / MICRO, currency),
        "later": lambda hours: "never" if hours == float("inf") else words.length(hours * HOUR_US / SECOND_US),
    }
    return made
