"""The report as one HTML file that needs nothing else, in the style of the study's."""

from functools import cache

from jinja2 import Environment

from sublet.advice import page
from sublet.advice.decide.matrix import matrix
from sublet.advice.decide.plots import front
from sublet.advice.decide.report import Report
from sublet.advice.study import words
from sublet.core.decide.rank import CRITERIA
from sublet.core.units import HOUR_US, SECOND_US

_PACKAGE, STYLE = "sublet.advice.decide", "decide.css"


def page_of(report: Report) -> str:
    """The file's text."""
    plots = {"front": front.front_plot(report), "scores": front.scores_plot(report)}
    return page.rendered(
        _templates(),
        "decide.html",
        plots.values(),
        style=page.text_of(_PACKAGE, STYLE),
        report=report,
        currency=report.currency,
        criteria=CRITERIA,
        matrix=matrix(),
        plots=plots,
    )


@cache
def _templates() -> Environment:
    return page.templates(_PACKAGE, {**page.IN_MICRO, "lasting": lambda hours: words.length(hours * HOUR_US / SECOND_US)})
