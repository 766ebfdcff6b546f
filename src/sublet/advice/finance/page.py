"""The report as one HTML file that needs nothing else, in the style of the study's.

Same style sheet, same script, and a content security policy that forbids the page to ask anybody for anything.
"""

from functools import cache

from jinja2 import Environment

from sublet.advice import page
from sublet.advice.finance.accounts_table import unit_of, year_table
from sublet.advice.finance.plots import bands, turned, units
from sublet.advice.finance.report import Report
from sublet.advice.study import words

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
    return page.rendered(
        _templates(),
        "finance.html",
        plots.values(),
        style=page.text_of(_PACKAGE, STYLE),
        report=report,
        currency=report.scenario.currency,
        unit=unit_of(report),
        years=year_table(report),
        plots=plots,
    )


@cache
def _templates() -> Environment:
    return page.templates(_PACKAGE, {**page.IN_MICRO, "percent": lambda bps: "-" if bps is None else words.share(bps / 10_000)})
