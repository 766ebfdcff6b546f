"""An invoice as one HTML file that needs nothing else: for the browser, the phone and the printer."""

from functools import cache

from jinja2 import Template

from sublet.app.export import wording
from sublet.app.export.templates import environment
from sublet.core.invoice import Invoice, merged


@cache
def _template() -> Template:
    templates = environment("sublet.app.export")
    templates.filters |= {
        "money": wording.money,
        "price": wording.price,
        "gpu_hours": wording.gpu_hours_short,
        "gpu_seconds": wording.gpu_seconds_exact,
        "day_time": wording.day_time,
        "merged": merged,
    }
    templates.globals |= {
        "headline": wording.headline,
        "span": wording.span,
        "line_label": wording.line_label,
        "given_label": wording.given_label,
        "ending": wording.ending,
        "token_label": wording.token_label,
        "token_counts": wording.token_counts,
    }
    return templates.get_template("invoice.html")


def invoice_page(invoice: Invoice) -> str:
    """The HTML file's text."""
    return _template().render(invoice=invoice)
