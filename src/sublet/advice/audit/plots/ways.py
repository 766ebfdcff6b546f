"""The figures of an audit: where the GPU time should go, and what each group gives for what it saves."""

from sublet.advice.audit.report import WAYS, Report
from sublet.advice.study.plots.style import COLOURS, SERIES, SYMBOLS, Plot, axis, bars, layout, plain
from sublet.core.audit.options import BATCH, BLOCK, GUARDED, SPOT, STAY
from sublet.core.units import MICRO

COLOUR = {SPOT: COLOURS["leased"], GUARDED: COLOURS["owner"], BLOCK: SERIES[3], BATCH: COLOURS["bound"], STAY: COLOURS["idle"]}
SYMBOL = dict(zip((SPOT, GUARDED, BLOCK, BATCH, STAY), SYMBOLS, strict=False))
SHOWN = 200
"""Groups in the second figure; those of the most GPU-hours."""


def ways_plot(report: Report) -> Plot:
    """GPU-hours by recommendation."""
    rows = list(reversed(report.sums))
    data = bars([WAYS[one.way] for one in rows], [one.gpu_h for one in rows], "GPU-hours", COLOURS["owner"])
    data["marker"] = {"color": [COLOUR[one.way] for one in rows]}
    data["text"] = [f"{one.share:.0%}" for one in rows]
    data["textposition"] = "auto"
    return Plot(
        name="ways",
        title="Where the GPU time should go",
        caption="GPU-hours of all jobs by the way that is recommended for their group.",
        data=(data,),
        layout=layout(axis("GPU-hours", separatethousands=True), axis(""), height=260),
    )


def trade_plot(report: Report) -> Plot | None:
    """What a group saves against how much later its jobs are done."""
    leaving = [line for line in report.lines if line.best.way != STAY][:SHOWN]
    if not leaving:
        return None
    data = []
    for way in (SPOT, GUARDED, BLOCK, BATCH):
        mine = [line for line in leaving if line.best.way == way]
        if mine:
            data.append({
                "type": "scatter", "mode": "markers", "name": WAYS[way],
                "x": [line.best.added_h for line in mine],
                "y": [line.choice.saving_micro / MICRO for line in mine],
                "text": [plain(f"{line.group.id} {line.group.name}") for line in mine],
                "marker": {"color": COLOUR[way], "symbol": SYMBOL[way], "size": 10},
            })  # fmt: skip
    return Plot(
        name="trade",
        title="What is saved, and how much later jobs are done",
        caption=f"A sign is a group, the {len(leaving)} of the most GPU-hours that should leave. To the right its jobs are "
        "done later on average; further up it saves more.",
        data=tuple(data),
        layout=layout(
            axis("hours later, mean of a job", rangemode="tozero"),
            axis(f"{report.currency} saved", type="log", exponentformat="B"),
        ),
    )
