"""What may be said to `sublet study`: its options in groups, each with its help."""

from pathlib import Path
from typing import Annotated

import typer

READING, FLEET, MARKET, METHOD, REPORT = "Reading the trace", "The fleet", "Costs and market", "Method", "The report"

Trace = Annotated[Path | None, typer.Argument(help="Job history or log of demand: sacct's output, CSV, Parquet, JSON.")]
Example = Annotated[
    bool,
    typer.Option(
        "--example", help="Study the example that is shipped: three teams of a public trace.", rich_help_panel=READING
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Format of the trace, where it does not tell by itself: sacct, sacct_json, table, alibaba_spot, pai2020, "
        "philly, helios, openb, usage.",
        rich_help_panel=READING,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="What the trace is, where it does not tell: jobs, or usage (only how many GPUs were used over time).",
        rich_help_panel=READING,
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="OURS=THEIRS",
        help="A column of the file that is ours: gpus=Cards, submit=created:epoch_ms. Repeatable.",
        rich_help_panel=READING,
    ),
]
Unit = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        metavar="OURS=UNIT",
        help="The unit of a column of ours: submit=epoch, gpus=8. Repeatable.",
        rich_help_panel=READING,
    ),
]
Pool = Annotated[
    str,
    typer.Option(
        "--pool",
        help="A job's pool: given (what the format calls one), gpu_model, or all for one pool.",
        rich_help_panel=READING,
    ),
]
Which = Annotated[
    str | None,
    typer.Option("--trace", metavar="NAME", help="Which trace, in a table that holds several.", rich_help_panel=READING),
]
Spot = Annotated[
    list[str] | None,
    typer.Option(
        "--spot",
        metavar="WORD",
        help="Class, queue or QOS of jobs that give way to others; in place of the usual words. Repeatable.",
        rich_help_panel=READING,
    ),
]
Zone = Annotated[
    str | None, typer.Option("--zone", help="The site's time zone, for times in UTC: Europe/Berlin.", rich_help_panel=READING)
]
Origin = Annotated[
    str | None, typer.Option("--origin", help="Wall time at zero of a trace with a clock of its own.", rich_help_panel=READING)
]
Until = Annotated[
    str | None,
    typer.Option("--until", help="Where the trace ends: a wall time, or seconds on its own clock.", rich_help_panel=READING),
]
PerWorker = Annotated[
    bool, typer.Option("--gpus-per-worker", help="The GPUs of a row are those of each worker.", rich_help_panel=READING)
]
Nodes = Annotated[
    Path | None,
    typer.Option("--nodes", help="Inventory of nodes: a table, or output of sinfo or scontrol.", rich_help_panel=FLEET),
]
NodesTrace = Annotated[
    str | None,
    typer.Option(
        "--nodes-trace", metavar="NAME", help="Which trace's nodes, in an inventory that holds several.", rich_help_panel=FLEET
    ),
]
Capacity = Annotated[
    list[str] | None,
    typer.Option(
        "--capacity",
        metavar="POOL=NxG",
        help="The fleet in words: A100=432x8 (nodes x GPUs), or A100=3456 (GPUs). Repeatable.",
        rich_help_panel=FLEET,
    ),
]
Cost = Annotated[
    Path | None, typer.Option("--cost", help="What a GPU costs: costs.toml. Without it, defaults.", rich_help_panel=MARKET)
]
Price = Annotated[
    Path | None,
    typer.Option("--price", help="Prices, terms and tenants: market.toml. Without it, defaults.", rich_help_panel=MARKET),
]
WarmUp = Annotated[
    str | None,
    typer.Option(
        "--warm-up",
        metavar="DURATION",
        help="What forecasts learn from before anything is leased; 28d, or a third of a shorter trace.",
        rich_help_panel=METHOD,
    ),
]
Policy = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="NAME,...",
        help="Policies side by side: nothing_leased, static_reserve, last_week_peak, gfs, lyra, fifo, ours. "
        "All without it; ours is always there.",
        rich_help_panel=METHOD,
    ),
]
Forecast = Annotated[
    str | None,
    typer.Option(
        "--forecast",
        metavar="METHOD",
        help="Forecast of policies without one of their own: last_week_peak, seasonal_naive, window_max_quantile, "
        "hourly_marginals, boosted, statistical.",
        rich_help_panel=METHOD,
    ),
]
Judge = Annotated[
    list[str] | None,
    typer.Option(
        "--judge", metavar="METHOD,...", help="Forecasts that are judged on the trace, or none.", rich_help_panel=METHOD
    ),
]
NoSensitivity = Annotated[
    bool,
    typer.Option(
        "--no-sensitivity",
        help="Do not turn one assumption after the other. Takes less than half the time.",
        rich_help_panel=METHOD,
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Draws the confidence intervals.", rich_help_panel=METHOD)]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Processes; one a core without it. The report is the same.", rich_help_panel=METHOD),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.", rich_help_panel=REPORT)]
Force = Annotated[bool, typer.Option("--force", help="Write over a report that is there.", rich_help_panel=REPORT)]
