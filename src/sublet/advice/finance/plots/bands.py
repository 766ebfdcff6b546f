"""What chance does month by month: the base case, the middle half of all paths, and nine of ten."""

from collections.abc import Sequence

from sublet.advice.finance.chance import Band
from sublet.advice.finance.report import Report
from sublet.advice.study.plots.style import COLOURS, Json, Plot, axis, layout, line
from sublet.core.units import MICRO

AMOUNT = {"exponentformat": "B", "separatethousands": True}
"""Ticks as people read money: 500M, 1.5B."""
WIDE, HALF = "rgba(47,111,222,.14)", "rgba(47,111,222,.26)"


def price_plot(report: Report) -> Plot | None:
    """The list price."""
    base = [month.price_micro for month in report.months]
    caption = (
        "The list price of a GPU-hour before discounts. The dark band holds half of all paths, the light one 9 of 10; the "
        "line is the base case, dotted the middle path. They part where steps, jumps or regimes are more likely to go one "
        "way."
    )
    return _banded(report, "price", ("The price", caption), base, f"{report.scenario.currency} a GPU-hour")


def so_far_plot(report: Report) -> Plot | None:
    """All contributions so far."""
    total, base = 0, []
    for month in report.months:
        total += month.flows.contribution_micro
        base.append(total)
    caption = (
        "All contributions up to a month: what leasing has brought after everything that it added, the setup included. "
        "Where a band crosses 0, that part of the paths has paid the setup back."
    )
    return _banded(report, "so_far", ("What leasing has brought so far", caption), base, report.scenario.currency)


def month_plot(report: Report) -> Plot:
    """The months of the base case: contribution, and what is left at full cost."""
    at = [month.month for month in report.months]
    flows = [month.flows for month in report.months]

    def bar(name: str, values: Sequence[int], colour: str) -> Json:
        return {"type": "bar", "x": at, "y": [value / MICRO for value in values], "name": name, "marker": {"color": colour}}

    data = (
        bar("contribution", [one.contribution_micro for one in flows], COLOURS["leased"]),
        line(at, [one.full_margin_micro / MICRO for one in flows], "left at full cost", COLOURS["bad"], dash="dash"),
        line(
            at,
            [one.depreciation_micro / MICRO for one in flows],
            "depreciation of the leased hours",
            COLOURS["quiet"],
            dash="dot",
        ),
    )
    return Plot(
        name="months",
        title="Month by month, base case",
        caption="Bars: contribution, revenue less refunds, credits and all that leasing adds. Where a bar reaches the dotted "
        "line, leasing pays the depreciation of the hours that it sells. Dashed: what is left once the leased hours carry "
        "their part of everything.",
        data=data,
        layout=layout(axis("", type="date", tickformat="%Y-%m"), axis(f"{report.scenario.currency} a month", **AMOUNT)),
    )


def _banded(report: Report, name: str, words: tuple[str, str], base: Sequence[int], unit: str) -> Plot | None:
    """`name` is the band's, `words` are title and caption."""
    if report.chance is None:
        return None
    band = next(one for one in report.chance.bands if one.name == name)
    at = [month.month for month in report.months]
    data = (
        *_between(at, band, (0, 4), "9 of 10 paths", WIDE),
        *_between(at, band, (1, 3), "half of the paths", HALF),
        line(at, _level(band, 2), "middle path", COLOURS["owner"], dash="dot", width=1.4),
        line(at, [value / MICRO for value in base], "base case", COLOURS["bound"], width=2.4),
    )
    upright = axis(unit, **AMOUNT) if name != "price" else axis(unit, rangemode="tozero")
    return Plot(f"band-{name}", *words, data, layout(axis("", type="date", tickformat="%Y-%m"), upright, hovermode="x unified"))


def _between(at: Sequence[str], band: Band, levels: tuple[int, int], name: str, colour: str) -> tuple[Json, Json]:
    """Two lines with the space between them filled."""
    low, high = levels
    bare = {"width": 0.0, "mode": "lines", "hoverinfo": "skip"}
    lower = line(at, _level(band, low), name, "rgba(0,0,0,0)", **bare, showlegend=False)
    upper = line(at, _level(band, high), name, colour, **bare, fill="tonexty", fillcolor=colour)
    return lower, upper


def _level(band: Band, at: int) -> list[float]:
    return [levels[at] / MICRO for levels in band.levels]
