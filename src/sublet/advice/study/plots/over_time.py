"""What GPUs did over the studied period: demand, what it left idle, what of that lasted, and who had what under our policy."""

from sublet.advice.study.curves import Curve
from sublet.advice.study.plots.style import COLOURS, Plot, axis, layout, line, times
from sublet.advice.study.report import Report
from sublet.advice.study.words import counted

STACK = ("owner", "leased", "handover", "reserve", "idle", "down")
"""States from the bottom up."""
NAMES = {"owner": "owner", "leased": "leased", "handover": "hand-over", "reserve": "reserve", "idle": "idle", "down": "down"}


def idle_plot(report: Report, curve: Curve, gpus: int, name: str = "over-time") -> Plot:
    """Demand, idle and leasable GPUs with nothing leased."""
    at = curve.at
    data = (
        line(at, curve.demand, "demand of the owner", COLOURS["owner"]),
        line(at, curve.idle, "idle", COLOURS["idle"], fill="tozeroy", fillcolor="rgba(154,165,180,.22)"),
        line(at, curve.leasable_4h, "idle for 4 h or longer", COLOURS["leased"]),
        line(at, curve.leasable_24h, "idle for 24 h or longer", COLOURS["bound"], dash="dash"),
        line([at[0], at[-1]], [gpus, gpus], "capacity", COLOURS["quiet"], dash="dot", width=1.4),
    )
    return Plot(
        name=name,
        title="Idle, and idle long enough",
        caption=f"{_means(curve)} The grey area is what the owner's demand leaves of {counted(gpus, 'GPU')}. A lease needs its "
        "GPUs for a while: green is what lies idle for at least 4 hours in one piece, dashed at least 24 hours. The larger the "
        "step from grey to dashed, the shorter the dips. Demand above the capacity is the owner's own queue.",
        data=data,
        layout=layout(times(report), axis("GPUs", rangemode="tozero"), hovermode="x unified"),
    )


def states_plot(report: Report, curve: Curve, name: str = "states-over-time") -> Plot:
    """Who had the GPUs under our policy."""
    data = tuple(
        line(curve.at, curve.states[state], NAMES[state], COLOURS[state], stackgroup="all", width=0.6)
        for state in STACK
        if any(curve.states[state])
    )
    return Plot(
        name=name,
        title="Who has the GPUs when our policy leases",
        caption=f"{_means(curve)} The areas add up to the capacity at every instant. What is still grey was idle and not "
        "leased; reserve is kept free on purpose, so that the owner waits less.",
        data=data,
        layout=layout(times(report), axis("GPUs", rangemode="tozero"), hovermode="x unified"),
    )


def _means(curve: Curve) -> str:
    return f"Means of {counted(curve.step_h, 'hour')}."
