"""How all plots look: colours that hold on light and on dark paper, quiet axes with units, a legend above.

Text and grid lines take their colour from the page's style sheet, so one figure serves light, dark and print. Series differ in
brightness or dash, too: colour is never the only sign.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sublet.advice.study.report import Report

Json = dict[str, Any]

COLOURS: Mapping[str, str] = {
    "owner": "#2f6fde",
    "leased": "#1b9a62",
    "reserve": "#45adc4",
    "idle": "#9aa5b4",
    "handover": "#9066c7",
    "down": "#8c4540",
    "bound": "#c77c11",
    "bad": "#d0483e",
    "quiet": "#7b8796",
}
SERIES = ("#2f6fde", "#c77c11", "#1b9a62", "#9066c7", "#d0483e", "#45adc4", "#7b8796", "#a4632a")
DASHES = ("solid", "dash", "dot", "solid", "dash", "dot", "solid", "dash")
"""As the signs and symbols below, in the order of SERIES."""
SIGNS = "\u25cf\u25a0\u25c6\u25b2\u271a\u2716\u2605\u25bc"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")

CONFIG: Json = {"displaylogo": False, "displayModeBar": False, "responsive": True, "scrollZoom": False}
"""What plotly's script is told about every plot."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure with what it is and how to read it. `name` is its id on the page."""

    name: str
    title: str
    caption: str
    data: tuple[Json, ...]
    layout: Json

    @property
    def height(self) -> int:
        """Pixels on a screen."""
        height: int = self.layout["height"]
        return height


@dataclass(frozen=True, slots=True)
class Key:
    """A line of a legend that several plots share: the colour, the dash as CSS has it, and the sign on it."""

    name: str
    colour: str
    dash: str
    sign: str = ""


def layout(x: Json, y: Json, *, height: int = 360, **more: Any) -> Json:
    """A figure's layout; `x` and `y` are its axes."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "font": {"family": 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif', "size": 12, "color": COLOURS["quiet"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "xaxis": x,
        "yaxis": y,
        **more,
    }


def axis(title: str, **more: Any) -> Json:
    """An axis with its title; the title says the unit."""
    plain = {"automargin": True, "gridcolor": "rgba(128,138,150,.25)", "zerolinecolor": "rgba(128,138,150,.55)"}
    return {"title": {"text": title, "standoff": 10}, "linecolor": "rgba(128,138,150,.55)", **plain, **more}


def percent(title: str, **more: Any) -> Json:
    """An axis of shares of 1."""
    return axis(title, tickformat=".0%", **more)


def times(report: Report) -> Json:
    """The axis of time."""
    if report.trace.clock == "local":
        return axis("time at the site", type="date")
    return axis("days since the trace's zero")


def line(x: Sequence[Any], y: Sequence[Any], name: str, colour: str, **more: Any) -> Json:
    """A line. `dash` and `width` go into its style."""
    style = {"color": colour, "width": more.pop("width", 1.8), "dash": more.pop("dash", "solid")}
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": plain(name), "line": style, **more}


def bars(names: Sequence[str], values: Sequence[Any], name: str, colour: str, **more: Any) -> Json:
    """Bars that lie, each with its name before it."""
    rows = [plain(one) for one in names]
    return {"type": "bar", "orientation": "h", "y": rows, "x": list(values), "name": name, "marker": {"color": colour}, **more}


def upright(at: float, name: str, *, side: str = "center") -> tuple[Json, Json]:
    """A line across all bars at a value, and its name above it, to one side where another is near."""
    shape = {
        "type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1,
        "line": {"color": COLOURS["bound"], "width": 2, "dash": "dot"},
    }  # fmt: skip
    note = {
        "xref": "x", "yref": "paper", "x": at, "y": 1, "yanchor": "bottom", "xanchor": side, "showarrow": False, "text": name,
        "font": {"size": 11},
    }  # fmt: skip
    return shape, note


def reach(values: Iterable[float]) -> list[float]:
    """An axis from 0 past all values, with room for a word behind the longest bar."""
    least, most = min(0.0, *values), max(0.0, *values)
    room = (most - least) * 0.24 or 1.0
    return [least - (room if least else 0.0), most + room]


def plain(text: str) -> str:
    """Text as plotly shows it letter by letter: what looks like markup in a trace's names is none."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
