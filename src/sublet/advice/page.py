"""What every page of a report is made with: one HTML file that needs nothing else and asks nobody for anything."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sublet.advice.study import words
from sublet.advice.study.plots.style import CONFIG, Plot
from sublet.app.export.templates import environment
from sublet.core.units import MICRO

_FRAME, _SHARED = "sublet.advice", "sublet.advice.study"
STYLE, SCRIPT = "report.css", "report.js"
IN_MICRO: Mapping[str, Callable[..., str]] = {
    "money": lambda micro, currency: words.money(micro / MICRO, currency),
    "price": lambda micro, currency: words.price(micro / MICRO, currency),
}
"""Filters for money of a report that counts in micro-units."""


def templates(package: str, filters: Mapping[str, Callable[..., str]]) -> Environment:
    """The templates of a report, which fill the frame that all reports have; numbers are written as in the study's."""
    made = environment(package, _FRAME)
    made.filters |= {"share": words.share, "number": words.number, "whole": words.count, "value": said, **filters}
    return made


def rendered(made: Environment, name: str, drawn: Iterable[Plot | None], *, style: str = "", **values: Any) -> str:
    """The page of a template: what is drawn in it as data, its scripts, the style sheet of all reports and then its own."""
    scripts = _scripts()
    return made.get_template(name).render(
        style=Markup(text_of(_SHARED, STYLE) + style),  # noqa: S704 (our own)
        scripts=scripts,
        policy=_policy_of(scripts),
        figures=embedded([plot for plot in drawn if plot is not None]),
        **values,
    )


def _scripts() -> tuple[Markup, ...]:
    """The scripts of a page: plotly's, once, and ours."""
    return Markup(get_plotlyjs()), Markup(text_of(_SHARED, SCRIPT))  # noqa: S704 (our own and plotly's, no text of anybody's)


def _policy_of(parts: tuple[str, ...]) -> str:
    """The content security policy: these very scripts and no others, and no request to anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in parts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


def embedded(plots: Sequence[Plot]) -> Markup:
    """All figures as JSON inside the page; nothing in it can end the script element that holds it."""
    made = {plot.name: {"data": plot.data, "layout": plot.layout} for plot in plots}
    text = json.dumps({"config": CONFIG, "figures": made}, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))  # noqa: S704 (made safe right here)


@cache
def text_of(package: str, name: str) -> str:
    """The text of a file among the templates of a package."""
    made = environment(package)
    source, _, _ = made.loader.get_source(made, name)  # type: ignore[union-attr]
    return source


def said(value: Any) -> str:
    """An assumption's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(said(part) for part in value)
    return f"{value:,.12g}" if isinstance(value, int | float) else str(value)
