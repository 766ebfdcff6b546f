"""How much of the fleet can be leased at all, by the length of the lease."""

from collections.abc import Sequence

from sublet.advice.study.fleet import Bound
from sublet.advice.study.plots.style import COLOURS, DASHES, SERIES, Plot, axis, layout, line, percent
from sublet.advice.study.report import Report
from sublet.advice.study.words import share
from sublet.sim.policies import OURS

PLAIN = tuple(colour for colour in SERIES if colour != COLOURS["leased"])
"""The fleet alone is green."""

POOLS = len(PLAIN)
"""So many pools have a line of their own at most, the largest ones."""


def lengths_plot(report: Report) -> Plot:
    """U_H of the fleet and its largest pools."""
    ours = report.policy(OURS).figures
    leased = ours.leased_gpu_h / ours.fleet_gpu_h
    at = [_said(bound.hours) for bound in report.fleet.bounds]
    pools = sorted(report.pools, key=lambda pool: (-pool.gpus, pool.pool))[:POOLS] if len(report.pools) > 1 else []
    data = [
        line(at, _shares(pool.bounds), pool.pool, PLAIN[i], dash=DASHES[(i + 1) % len(DASHES)], width=1.3)
        for i, pool in enumerate(pools)
    ]
    data.append(
        line(
            at,
            _shares(report.fleet.bounds),
            "the fleet",
            COLOURS["leased"],
            width=3.2,
            mode="lines+markers",
            marker={"size": 8},
        )
    )
    data.append(line([at[0], at[-1]], [leased, leased], "leased under our policy", COLOURS["quiet"], dash="longdashdot"))
    more = f" Shown are the {POOLS} largest of {len(report.pools)} pools." if len(report.pools) > POOLS else ""
    return Plot(
        name="lengths",
        title="The longer the lease, the less there is to lease",
        caption="Each point is the share of the capacity that somebody who knew the future could lease in pieces of at "
        "least that length without a single reclaim; on the left, as the length goes to nothing, stands all idle time "
        f"({share(report.fleet.idle_share)}). Our policy can lie above the points on the right: it leases in shorter "
        f"pieces, and takes some back.{more}",
        data=tuple(data),
        layout=layout(axis("length of a lease", type="category"), percent("share of the capacity", rangemode="tozero")),
    )


def _shares(bounds: Sequence[Bound]) -> list[float]:
    return [bound.share for bound in bounds]


def _said(hours: int) -> str:
    if not hours:
        return "idle"
    return f"{hours} h" if hours <= 24 else f"{hours // 24} d"
