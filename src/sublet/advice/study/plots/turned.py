"""What turns the result: one assumption at a time, all else as it was."""

from collections.abc import Callable, Sequence

from sublet.advice.study.headline import yearly
from sublet.advice.study.plots.style import COLOURS, Json, Plot, axis, layout, plain, upright
from sublet.advice.study.report import Report
from sublet.advice.study.words import length, money
from sublet.sim.figures import Figures
from sublet.sim.policies import OURS

ROW = 36
"""Pixels a bar."""

NOTHING = (
    "Where nothing would be leased, what stands at 0 is no gain: a notice that the hand-back promise has no room for, say."
)


def net_turned_plot(report: Report) -> Plot:
    """Net a year with each assumption turned, as bars from the study's own."""
    currency, gpus = report.trace.currency, report.fleet.gpus

    def net(figures: Figures) -> float:
        return yearly(figures.net, figures, gpus)

    return _tornado(
        report,
        name="turned-net",
        title="What it brings",
        caption="Each bar begins at the study's own result (the dotted line) and ends at the result with one assumption "
        "turned. Long bars name the assumptions that are worth a second look.",
        x=axis(f"{currency} a year", tickformat="~s"),
        of=net,
        said=lambda value: money(value, currency),
        better=1,
    )


def delay_turned_plot(report: Report) -> Plot:
    """The owner's delay with each assumption turned."""
    return _tornado(
        report,
        name="turned-delay",
        title="What the owner waits",
        caption="The same for the delay that 99 of 100 of the owner's jobs stay below.",
        x=axis("seconds"),
        of=lambda figures: figures.delays.p99_s,
        said=length,
        better=-1,
    )


def _tornado(
    report: Report,
    *,
    name: str,
    title: str,
    caption: str,
    x: Json,
    of: Callable[[Figures], float],
    said: Callable[[float], str],
    better: int,
) -> Plot:
    """`better`: 1 where more is better, -1 where less is."""
    start = of(report.policy(OURS).figures)
    rows = [f"{plain(one.assumption)}<br>{plain(one.value)}" for one in report.sensitivity]
    nothing = any(not one.figures.leased_gpu_h for one in report.sensitivity)
    values = [of(one.figures) for one in report.sensitivity]
    shape, note = upright(start, f"as studied: {said(start)}")
    made = layout(
        {**x, "range": _room([start, *values])},
        axis("", autorange="reversed", ticksuffix="  "),
        height=120 + ROW * len(rows),
        showlegend=False,
    )
    colours = [COLOURS["leased"] if better * (value - start) >= 0 else COLOURS["bad"] for value in values]
    bar = _from(start, rows, values) | {"text": [said(value) for value in values], "marker": {"color": colours}}
    return Plot(
        name=name,
        title=title,
        caption=f"{caption} {NOTHING}" if nothing else caption,
        data=(bar,),
        layout={**made, "margin": {**made["margin"], "t": 28}, "shapes": [shape], "annotations": [note], "bargap": 0.3},
    )


def _from(start: float, rows: Sequence[str], values: Sequence[float]) -> Json:
    """Bars that begin at the study's own result."""
    return {
        "type": "bar",
        "orientation": "h",
        "y": list(rows),
        "x": [value - start for value in values],
        "base": start,
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "text+y",
    }


def _room(values: Sequence[float]) -> list[float]:
    """An axis with room for an amount on either side of the bars; on a phone that is a good part of it."""
    low, high = min(values), max(values)
    room = (high - low) * 0.42 or abs(high) * 0.1 or 1.0
    return [low - room, high + room]
