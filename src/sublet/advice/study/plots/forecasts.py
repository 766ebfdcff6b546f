"""What forecasts are worth: bands against what came, nominal risk against what was reclaimed, and what caution costs."""

from sublet.advice.study.bands import Bands
from sublet.advice.study.judged import Judged, Method, Point
from sublet.advice.study.plots.style import (
    COLOURS,
    DASHES,
    SERIES,
    SIGNS,
    SYMBOLS,
    Json,
    Key,
    Plot,
    axis,
    layout,
    line,
    percent,
    times,
)
from sublet.advice.study.report import Report


def bands_plot(report: Report, pool: str, gpus: int, bands: Bands, name: str = "bands") -> Plot:
    """Quantiles of the largest demand to come, and what came."""
    at, levels = bands.at, bands.quantiles
    low, middle, high = levels["50"], levels["80"], levels["95"]
    promised = [None if offered is None else gpus - offered for offered in bands.offered]
    data = (
        line(at, low, "50 %", COLOURS["owner"], width=0, showlegend=False),
        line(at, middle, "50 to 80 %", COLOURS["owner"], width=0, fill="tonexty", fillcolor="rgba(47,111,222,.34)"),
        line(at, high, "80 to 95 %", COLOURS["owner"], width=0, fill="tonexty", fillcolor="rgba(47,111,222,.16)"),
        line(at, bands.peak, "what came", COLOURS["bad"], width=1.6),
        line(at, promised, "offered above this line", COLOURS["leased"], dash="dash", width=1.6),
        line([at[0], at[-1]], [gpus, gpus], "capacity", COLOURS["quiet"], dash="dot", width=1.4),
    )
    return Plot(
        name=name,
        title=f"Forecast and what came: {pool}",
        caption=f"For each hour the owner's largest demand within the next {bands.hours:g} hours: the bands are what the "
        f"forecast ({report.forecast}) said before, the red line is what came; the last {_days(bands)} of the period. Above "
        "the dashed line GPUs were offered as guarded leases: where red passes it, the offered window would have been "
        "reclaimed.",
        data=data,
        layout=layout(times(report), axis("GPUs", rangemode="tozero"), hovermode="x unified"),
    )


def _days(bands: Bands) -> str:
    return f"{max(1, round(len(bands.at) / 24))} days"


def _facet(name: str, hours: float, data: tuple[Json, ...], titles: tuple[str, str], *, height: int) -> Plot:
    """One of a row of small plots, a horizon each, whose keys stand beside them all. `titles`: of the axes."""
    axes = [percent(title, rangemode="tozero") for title in titles]
    return Plot(
        name=f"{name}-{hours:g}h",
        title=f"{hours:g} h",
        caption="",
        data=data,
        layout=layout(axes[0], axes[1], height=height, showlegend=False),
    )


def calibration_plot(one: Method) -> Plot:
    """Nominal risk against the reclaim probability given an offer, before and after calibration."""
    edge = max(max(point.high, point.risk) for point in (*one.plain_curve, *one.curve))
    data = (
        line([0, edge], [0, edge], "as it says", COLOURS["quiet"], dash="dot", width=1.4),
        _measured(one.plain_curve, "as the method says", COLOURS["bound"], "square", -1),
        _measured(one.curve, "calibrated", COLOURS["leased"], "circle", 1),
    )
    return _facet("calibration", one.hours, data, ("nominal risk", "windows reclaimed"), height=290)


def _measured(points: tuple[Point, ...], name: str, colour: str, symbol: str, side: int) -> Json:
    """Points with their 95 % intervals; two series stand a little apart, so that both can be seen."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [round(point.risk + side * 0.003, 4) for point in points],
        "y": [point.reclaimed for point in points],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, point.high - point.reclaimed) for point in points],
            "arrayminus": [max(0.0, point.reclaimed - point.low) for point in points],
            "thickness": 1,
            "width": 3,
        },
        "marker": {"symbol": symbol, "size": 7},
        "line": {"color": colour, "width": 1.5},
    }


def tradeoff_plot(judged: Judged, hours: float) -> Plot:
    """What is offered of what could have been, against how often it is reclaimed: each method, calibrated."""
    methods = [one for one in judged.methods if one.hours == hours]
    data = tuple(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": one.method,
            "x": [point.reclaimed for point in one.curve],
            "y": [point.captured for point in one.curve],
            "text": [f"nominal risk {point.risk:.0%}" for point in one.curve],
            "marker": {"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 7},
            "line": {
                "color": SERIES[i % len(SERIES)],
                "dash": DASHES[i % len(DASHES)],
                "width": 3 if one.method == judged.ours else 1.5,
            },
        }
        for i, one in enumerate(methods)
    )
    return _facet("tradeoff", hours, data, ("windows reclaimed", "offered of what could be"), height=310)


def calibration_keys() -> tuple[Key, ...]:
    """What the lines of `calibration_plot` are."""
    return (
        Key("as it says", COLOURS["quiet"], "dotted"),
        Key("as the method says", COLOURS["bound"], "solid", "\u25a0"),
        Key("calibrated", COLOURS["leased"], "solid", "\u25cf"),
    )


def tradeoff_keys(judged: Judged) -> tuple[Key, ...]:
    """What the lines of `tradeoff_plot` are."""
    names = list(dict.fromkeys(one.method for one in judged.methods))
    lines = ("solid", "dashed", "dotted")
    return tuple(
        Key(name, SERIES[i % len(SERIES)], lines[i % len(lines)], SIGNS[i % len(SIGNS)]) for i, name in enumerate(names)
    )


CALIBRATION = (
    "How far a method keeps its word. Across: the risk it was asked to take. Up: the share of the windows that it offered "
    "and the owner then needed, with 95 % intervals (whole days resampled). On the dotted line it is as it says; above, "
    "leases are taken back more often than it says. Offers are made exactly when demand is low, so a method can be right "
    "over all windows and wrong on those it offers; calibration learns from the offered ones alone."
)
TRADEOFF = (
    "What caution costs. To the right: more offered windows are reclaimed. Up: more is offered, as a share of what "
    "somebody who knew the future would have offered without a single reclaim; above 100 % it offers what is needed later. "
    "Each line is one calibrated method over nominal risks from 2 to 50 %; better lies up and to the left. The thick line "
    "is the method of our policy."
)
