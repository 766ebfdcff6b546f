"""The report as one HTML file that needs nothing else, in the style of the study's."""

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from sublet.advice import page
from sublet.advice.decide.matrix import matrix
from sublet.advice.decide.plots import front
from sublet.advice.decide.report import Report
from sublet.advice.study import words
from sublet.app.export.templates import environment
from sublet.core.decide.rank import CRITERIA
from sublet.core.units import HOUR_US, MICRO, SECOND_US

_PACKAGE, STYLE = "sublet.advice.decide", "decide.css"


def page_of(report: Report) -> str:
    """The file's text."""
    plots = {"front": front.front_plot(report), "scores": front.scores_plot(report)}
    scripts = page.scripts()
    return (
        _environment()
        .get_template("decide.html")
        .render(
            report=report,
            currency=report.currency,
            criteria=CRITERIA,
            matrix=matrix(),
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
        "lasting": lambda hours: words.length(hours * HOUR_US / SECOND_US),
    }
    return made
