"""A GPU-hour: what it costs in both views, and what it brings."""

from sublet.advice.finance.report import Report
from sublet.advice.study.plots.style import COLOURS, Json, Plot, axis, layout, plain
from sublet.core.units import MICRO

PARTS = (
    ("energy that leasing adds", "energy_micro", COLOURS["leased"]),
    ("wear and operations", "added_micro", "#45adc4"),
    ("idle energy, upkeep, staff", "standing_micro", COLOURS["idle"]),
    ("depreciation", "depreciation_micro", COLOURS["handover"]),
)


def unit_plot(report: Report) -> Plot:
    """Each generation's full cost as a stack, and its list price as a mark."""
    names = [plain(one.name) for one in report.units]
    data: list[Json] = []
    for said, field, colour in PARTS:
        values = [
            (one.wear_micro + one.operations_micro if field == "added_micro" else getattr(one, field)) / MICRO
            for one in report.units
        ]
        data.append(
            {
                "type": "bar", "orientation": "h", "y": names, "x": values, "name": said, "marker": {"color": colour},
                "hovertemplate": "%{x:.3f} " + report.scenario.currency + "<extra>" + said + "</extra>",
            }
        )  # fmt: skip
    prices = [one.list_price_micro / MICRO for one in report.units]
    data.append(
        {
            "type": "scatter", "mode": "markers+text", "y": names, "x": prices, "name": "list price", "cliponaxis": False,
            "text": [f"{value:.2f}" for value in prices], "textposition": "middle right",
            "marker": {"symbol": "diamond", "size": 12, "color": COLOURS["bound"]},
        }
    )  # fmt: skip
    most = max([*prices, *(one.full_micro / MICRO for one in report.units)])
    made = layout(
        axis(f"{report.scenario.currency} a GPU-hour", range=[0, most * 1.15]),
        axis("", autorange="reversed", ticksuffix="  "),
        height=150 + 58 * len(names),
        barmode="stack",
        bargap=0.4,
    )
    return Plot(
        name="units",
        title="What a GPU-hour costs",
        caption="From left to right: what leasing adds (green and blue, the incremental cost), then what runs either way. The "
        "diamond is the list price; discounts, refunds and credits come off it. In the wide space between the two views "
        "lies the whole argument: whether to lease what stands there, and whether to buy more.",
        data=tuple(data),
        layout=made,
    )
