"""What matters: each assumption turned alone, and each unknown left to chance alone."""

from collections.abc import Callable, Sequence

from sublet.advice.finance.plots.bands import AMOUNT
from sublet.advice.finance.report import Report
from sublet.advice.finance.turned import Turned
from sublet.advice.study.plots.style import COLOURS, Json, Plot, axis, layout, plain, upright
from sublet.advice.study.words import money, share
from sublet.core.units import MICRO

ROW = 44
"""Pixels an assumption."""


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
    months, currency = report.scenario.months, report.scenario.currency
    start = whole_micro * 12 / months / MICRO
    whats = list(dict.fromkeys(one.what for one in report.turned))
    pairs = {what: [one for one in report.turned if one.what == what] for what in whats}
    whats.sort(key=lambda what: -abs(of(pairs[what][1]) - of(pairs[what][0])))
    data = tuple(_side([pairs[what][side] for what in whats], start, of, currency, side) for side in (0, 1))
    every = [of(one) / MICRO for one in report.turned]
    return _drawn(Plot(*words, data, {}), start, every, len(whats), currency)


def _side(rows: Sequence[Turned], start: float, of: Callable[[Turned], int], currency: str, side: int) -> Json:
    values = [of(one) / MICRO for one in rows]
    return {
        "type": "bar", "orientation": "h", "name": f"{('lower', 'higher')[side]} value", "offsetgroup": str(side),
        "y": [_label(one, currency) for one in rows], "base": start,
        "x": [value - start for value in values],
        "text": [f"{_value(one, one.value)}: {money(value, currency)}" for one, value in zip(rows, values, strict=True)],
        "textposition": "outside", "cliponaxis": False, "hoverinfo": "text+y",
        "marker": {"color": (COLOURS["bound"], COLOURS["owner"])[side]},
    }  # fmt: skip


def _label(one: Turned, currency: str) -> str:
    return plain(f"{one.title} (now {_value(one, one.now)})") + f"<br>{plain(one.unit.replace('{currency}', currency))}"


def _value(one: Turned, value: float) -> str:
    """A share in percent, anything else as it is."""
    return share(value) if one.unit.startswith("of ") else f"{value:,.10g}"


def _drawn(plot: Plot, start: float, values: Sequence[float], rows: int, currency: str) -> Plot:
    """With the dotted line of the base case and room for words on either side."""
    shape, note = upright(start, f"base case: {money(start, currency)}")
    low, high = min([start, *values]), max([start, *values])
    room = (high - low) * 0.34 or abs(high) * 0.1 or 1.0
    made = layout(
        axis(f"{currency} a year", **AMOUNT, range=[low - room, high + room]),
        axis("", autorange="reversed", ticksuffix="  "),
        height=130 + ROW * rows,
        barmode="group",
    )
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.16, "yanchor": "top"}
    more = {"margin": {**made["margin"], "t": 28}, "shapes": [shape], "annotations": [note], "bargap": 0.3, "legend": legend}
    return Plot(plot.name, plot.title, plot.caption, plot.data, {**made, **more, "showlegend": len(plot.data) > 1})
