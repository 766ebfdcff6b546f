"""The report as one HTML file that needs nothing else, in the style of the study's.

Same style sheet, same script, and a content security policy that forbids the page to ask anybody for anything.
"""

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from sublet.advice import page
from sublet.advice.finance.accounts_table import unit_of, year_table
from sublet.advice.finance.plots import bands, turned, units
from sublet.advice.finance.report import Report
from sublet.advice.study import words
from sublet.app.export.templates import environment
from sublet.core.units import MICRO

_PACKAGE, STYLE = "sublet.advice.finance", "finance.css"


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
    scripts = page.scripts()
    return (
        _environment()
        .get_template("finance.html")
        .render(
            report=report,
            currency=report.scenario.currency,
            unit=unit_of(report),
            years=year_table(report),
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
    made.filters |= {"share": words.share, "number": words.number, "whole": words.count, "value": page.said}
    made.filters |= {
        "money": lambda micro, currency: words.money(micro / MICRO, currency),
        "price": lambda micro, currency: words.price(micro / MICRO, currency),
        "percent": lambda bps: "-" if bps is None else words.share(bps / 10_000),
    }
    return made
