"""The figures of a decision: cost against time with the front, and what makes each provider's score."""

from sublet.advice.decide.report import Report
from sublet.advice.study.plots.style import COLOURS, SERIES, Plot, axis, layout, line, plain
from sublet.core.decide.rank import CRITERIA
from sublet.core.units import MICRO

SHOWN = 12


def front_plot(report: Report) -> Plot | None:
    """Cost against time of the best offer of each provider; a line joins those than which none is cheaper and sooner."""
    if not report.lines:
        return None
    front = sorted((one for one in report.lines if one.on_front), key=lambda one: one.cost_micro)
    points = {
        "type": "scatter", "mode": "markers+text", "name": "best offer of a provider",
        "x": [one.end_h for one in report.lines],
        "y": [one.cost_micro / MICRO for one in report.lines],
        "text": [plain(one.offer.provider) for one in report.lines],
        "textposition": "top center",
        "marker": {"size": 9, "color": [COLOURS["leased"] if one.rank == 1 else COLOURS["owner"] for one in report.lines]},
    }  # fmt: skip
    joined = line([one.end_h for one in front], [one.cost_micro / MICRO for one in front], "nothing is cheaper and sooner",
                  COLOURS["bound"], dash="dot")  # fmt: skip
    return Plot(
        name="front",
        title="Cost and time",
        caption="The best offer of each provider that is open. On the dotted line nothing is both cheaper and "
        "sooner; the winner is green.",
        data=(joined, points),
        layout=layout(
            axis("hours until all is done", rangemode="tozero"),
            axis(f"{report.currency}, all of it", rangemode="tozero"),
            height=420,
        ),
    )


def scores_plot(report: Report) -> Plot | None:
    """What the score of each provider is made of."""
    total = sum(report.weights.values())
    if not report.lines or not total:
        return None
    shown = list(reversed(report.lines[:SHOWN]))
    data = tuple(
        {
            "type": "bar", "orientation": "h", "name": name,
            "y": [plain(one.offer.provider) for one in shown],
            "x": [one.parts[name] * report.weights[name] / total for one in shown],
            "marker": {"color": SERIES[number % len(SERIES)]},
        }
        for number, name in enumerate(CRITERIA)
        if report.weights[name]
    )  # fmt: skip
    return Plot(
        name="scores",
        title="What the scores are made of",
        caption=f"The first {len(shown)} providers. A part is a criterion times its weight; all parts together are the score.",
        data=data,
        layout=layout(axis("score", range=[0, 1]), axis(""), height=140 + 26 * len(shown), barmode="stack"),
    )
