"""Policies side by side: what they lease, what that brings, what the owner waits, and where GPU time goes."""

from collections.abc import Sequence

from sublet.advice.study.headline import yearly
from sublet.advice.study.plots.over_time import NAMES, STACK
from sublet.advice.study.plots.style import COLOURS, Json, Plot, axis, bars, layout, percent, plain, reach, upright
from sublet.advice.study.report import PolicyPart, Report
from sublet.advice.study.words import length, money, share
from sublet.sim.policies import OURS

ROW = 34
"""Pixels a policy."""


def leased_plot(report: Report) -> Plot:
    """Leased share by policy, with the bounds beside them."""
    leasing = _leasing(report)
    values = [one.figures.leased_gpu_h / one.figures.fleet_gpu_h for one in leasing]
    day, idle = report.fleet.bound(24).share, report.fleet.bound(0).share
    x = percent("share of the capacity", range=reach([*values, idle]))
    return Plot(
        name="leased",
        title="What is leased",
        caption="Share of the fleet's time that each policy leases. The dotted lines are bounds: all idle time, and what "
        "lies idle for 24 hours in one piece, for somebody who knew the future and never took a lease back.",
        data=(_by_policy(leasing, values, [share(value) for value in values]),),
        layout=_layout(leasing, x, [upright(day, "24 h ", side="right"), upright(idle, " all idle", side="left")]),
    )


def net_plot(report: Report) -> Plot:
    """Net a year by policy, with what all idle time would bring."""
    leasing, currency, gpus = _leasing(report), report.trace.currency, report.fleet.gpus
    values = [yearly(one.figures.net, one.figures, gpus) for one in leasing]
    first = report.policies[0].figures
    day, idle = (yearly(report.fleet.bound(hours).net, first, gpus) for hours in (24, 0))
    x = axis(f"{currency} a year", range=reach([*values, idle]), tickformat="~s")
    return Plot(
        name="net",
        title="What it brings",
        caption="Revenue less refunds, credits, energy, wear and operations, scaled to a year. The dotted lines are what "
        "the same bounds would bring at the posted price.",
        data=(_by_policy(leasing, values, [money(value, currency) for value in values]),),
        layout=_layout(leasing, x, [upright(day, "24 h ", side="right"), upright(idle, " all idle", side="left")]),
    )


def delay_plot(report: Report) -> Plot:
    """What the owner's jobs wait for leased GPUs, against the promise."""
    leasing = _leasing(report)
    titles = [plain(one.title) for one in leasing]
    p99 = [one.figures.delays.p99_s for one in leasing]
    longest = [one.figures.delays.max_s for one in leasing]
    promise = max(one.figures.delays.promise_s for one in leasing)
    most = {
        "type": "scatter", "mode": "markers+text", "x": longest, "y": titles, "name": "the longest", "hoverinfo": "text+y",
        "text": [f" {length(usual)} / {length(most)}" for usual, most in zip(p99, longest, strict=True)],
        "textposition": "middle right", "cliponaxis": False,
        "marker": {"symbol": "diamond", "size": 10, "color": COLOURS["bad"]},
    }  # fmt: skip
    bar = {**_by_policy(leasing, p99, [f"99 of 100: {length(s)}" for s in p99]), "textposition": "none"}
    line, name = upright(promise, "promise")
    x = axis("seconds", range=reach([*(s * 1.35 for s in longest), promise]))
    return Plot(
        name="delay",
        title="What the owner waits",
        caption="How long the owner's jobs wait for leased GPUs to come back, from the instant at which each could have "
        "run: the bar and the first number are what 99 of 100 stay below, the diamond and the second number the longest. The "
        "dotted line is the hand-back promise: a "
        "diamond beyond it is a broken promise.",
        data=(bar, most),
        layout=_layout(leasing, x, [(line | {"layer": "below"}, name)]),
    )


def states_plot(report: Report) -> Plot:
    """Where GPU time goes: six states, stacked."""
    titles = [one.title for one in report.policies]
    data = []
    for state in STACK:
        hours = [_state_h(one, state) for one in report.policies]
        if any(hours):
            shares = [value / one.figures.fleet_gpu_h for value, one in zip(hours, report.policies, strict=True)]
            data.append(bars(titles, shares, NAMES[state], COLOURS[state], hovertemplate="%{x:.1%} " + NAMES[state]))
    made = _layout(report.policies, percent("share of the capacity", range=[0, 1]), [])
    return Plot(
        name="states",
        title="Where the GPU time goes",
        caption="Every GPU-second is in one of six states, and they add up to the capacity exactly. Green is what leasing "
        "adds to the owner's blue; what is left grey was idle and not leased. Hand-over, wiping and checking, is time "
        "nobody uses.",
        data=tuple(data),
        layout={**made, "barmode": "stack", "showlegend": True},
    )


def _state_h(one: PolicyPart, state: str) -> float:
    """GPU-hours of a policy in a state; what the others leave of the capacity is down."""
    figures = one.figures
    known = {
        "owner": figures.owner_gpu_h,
        "leased": figures.leased_gpu_h,
        "idle": figures.idle_gpu_h,
        "reserve": figures.reserve_gpu_h,
        "handover": figures.handover_gpu_h,
    }
    rest = figures.fleet_gpu_h - sum(known.values())
    return known.get(state, rest if rest > 1e-6 * figures.fleet_gpu_h else 0.0)


def _leasing(report: Report) -> list[PolicyPart]:
    """The policies that lease at all, or all where none does."""
    found = [one for one in report.policies if one.name != "nothing_leased"]
    return found or list(report.policies)


def _by_policy(leasing: Sequence[PolicyPart], values: Sequence[float], said: Sequence[str]) -> Json:
    colours = [COLOURS["leased"] if one.name == OURS else COLOURS["owner"] for one in leasing]
    named = [one.title for one in leasing]
    where = ["auto" if value else "outside" for value in values]  # a bar without length has no inside
    made = bars(
        named, values, "", colours[0], text=list(said), textposition=where, insidetextanchor="start", hoverinfo="text+y"
    )
    return {**made, "marker": {"color": colours}}


def _layout(leasing: Sequence[PolicyPart], x: Json, marks: Sequence[tuple[Json, Json]]) -> Json:
    """Bars from the top in the order of the policies."""
    made = layout(x, axis("", autorange="reversed", ticksuffix="  "), height=110 + len(leasing) * ROW, showlegend=False)
    top = {**made["margin"], "t": 28 if marks else 8}
    extra = {"margin": top, "shapes": [shape for shape, _ in marks], "annotations": [note for _, note in marks]}
    return {**made, **extra, "bargap": 0.28}
