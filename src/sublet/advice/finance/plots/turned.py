"""What matters: each assumption turned alone, and each unknown left to chance alone."""

from collections.abc import Callable, Sequence

from sublet.advice.finance.plots.bands import AMOUNT
from sublet.advice.finance.report import Report
from sublet.advice.finance.turned import Turned
from sublet.advice.study.plots.style import COLOURS, Json, Plot, axis, layout, plain, upright
from sublet.advice.study.words import money, share
from sublet.core.units import MICRO

ROW = 36
"""Pixels a bar."""


def contribution_plot(report: Report) -> Plot:
    """The mean year's contribution."""
    return _tornado(
        report,
        (
            "turned-contribution",
            "What leasing brings",
            (
                "The contribution of a mean year in the base case. Each bar ends where one assumption is turned to its lower "
                "or higher value, all else as it was; the longest is the one worth knowing better."
            ),
        ),
        lambda one: one.contribution_micro,
        report.total.contribution_micro,
    )


def full_plot(report: Report) -> Plot:
    """What is left at full cost."""
    return _tornado(
        report,
        (
            "turned-full",
            "What is left at full cost",
            (
                "The same once the leased hours carry their part of depreciation, idle energy, upkeep and staff. A shorter "
                "life can help here: GPUs that are written off before the accounts begin cost nothing in them."
            ),
        ),
        lambda one: one.full_margin_micro,
        report.total.full_margin_micro,
    )


def alone_plot(report: Report) -> Plot | None:
    """How wide the band of each unknown alone is."""
    if report.chance is None:
        return None
    rows = sorted(report.chance.alone, key=lambda one: -one.width_micro)
    start = report.headline.mean_micro / MICRO
    values = [(one.low_micro / MICRO, one.high_micro / MICRO) for one in rows]
    currency = report.scenario.currency
    bar: Json = {
        "type": "bar", "orientation": "h", "y": [plain(one.name) for one in rows], "base": [low for low, _ in values],
        "x": [high - low for low, high in values], "marker": {"color": COLOURS["owner"]}, "textposition": "outside",
        "cliponaxis": False, "hoverinfo": "text+y",
        "text": [f"{money(low, currency)} to {money(high, currency)}" for low, high in values],
    }  # fmt: skip
    return _drawn(
        Plot(
            "alone",
            "What the band is made of",
            "The contribution of a mean year in 9 of 10 paths when this alone is left to chance and all else is as in the "
            "base case (dotted).",
            (bar,),
            {},
        ),
        start,
        [value for pair in values for value in pair],
        len(rows),
        currency,
    )


def _tornado(report: Report, words: tuple[str, str, str], of: Callable[[Turned], int], whole_micro: int) -> Plot:
    """`words`: name, title, caption."""
    currency = report.scenario.currency
    start = whole_micro * 12 / report.scenario.months / MICRO
    reach: dict[str, float] = {}
    for one in report.turned:
        reach[one.what] = max(reach.get(one.what, 0.0), abs(of(one) / MICRO - start))
    rows = sorted(report.turned, key=lambda one: (-reach[one.what], one.what, one.value))
    values = [of(one) / MICRO for one in rows]
    bar: Json = {
        "type": "bar", "orientation": "h", "y": [_label(one, currency) for one in rows], "base": start,
        "x": [value - start for value in values], "text": [money(value, currency) for value in values],
        "textposition": "outside", "cliponaxis": False, "hoverinfo": "text+y",
        "marker": {"color": [COLOURS["leased"] if value >= start else COLOURS["bad"] for value in values]},
    }  # fmt: skip
    return _drawn(Plot(*words, (bar,), {}), start, values, len(rows), currency)


def _label(one: Turned, currency: str) -> str:
    """What is turned, in which unit, from what to what."""
    unit = one.unit.replace("{currency}", currency)
    what = one.title if unit.startswith(("of ", "in ")) else f"{one.title}, {unit}"
    return f"{plain(what)}<br>{_value(one, one.now)} \u2192 {_value(one, one.value)}"


def _value(one: Turned, value: float) -> str:
    """A share in percent, anything else as it is."""
    return share(value) if one.unit.startswith("of ") else f"{value:,.10g}"


def _drawn(plot: Plot, start: float, values: Sequence[float], rows: int, currency: str) -> Plot:
    """With the dotted line of the base case and room for words on either side."""
    shape, note = upright(start, f"base case: {money(start, currency)}")
    low, high = min([start, *values]), max([start, *values])
    room = (high - low) * 0.6 or abs(high) * 0.1 or 1.0
    made = layout(
        axis(f"{currency} a year", **AMOUNT, range=[low - room, high + room]),
        axis("", autorange="reversed", ticksuffix="  "),
        height=130 + ROW * rows,
        showlegend=False,
    )
    more = {"margin": {**made["margin"], "t": 28}, "shapes": [shape], "annotations": [note], "bargap": 0.3}
    return Plot(plot.name, plot.title, plot.caption, plot.data, {**made, **more})
