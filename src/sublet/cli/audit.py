"""`sublet audit`: the command. What it works with is loaded when it runs, so that the others need not wait for it."""

from pathlib import Path
from typing import Annotated

import typer

from sublet.cli import study_options as options
from sublet.cli.output import Json

RULES, REPORT = "Prices, labels and rules", "The report"

Jobs = Annotated[
    list[Path] | None, typer.Argument(help="Job history: sacct's output, CSV, Parquet, JSON. Several files count as one.")
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="What your site says of its jobs, by patterns: labels.toml.", rich_help_panel=RULES),
]
Surplus = Annotated[
    Path | None,
    typer.Option(
        "--surplus", help="Prices, risks and habits that replace the shipped ones: surplus.toml.", rich_help_panel=RULES
    ),
]
ShowSurplus = Annotated[
    bool, typer.Option("--show-surplus", help="Print the shipped prices, risks and habits.", rich_help_panel=RULES)
]
Home = Annotated[
    str | None,
    typer.Option("--home", metavar="PRICE", help="What a GPU-hour costs where the jobs run now: 1.80.", rich_help_panel=RULES),
]
Unlabelled = Annotated[
    str,
    typer.Option(
        "--unlabelled",
        help="What jobs are of which no label speaks: public, internal, confidential, restricted.",
        rich_help_panel=RULES,
    ),
]
Heavy = Annotated[
    float, typer.Option("--least-gpu-h", min=0, help="GPU-hours below which a group is left alone.", rich_help_panel=RULES)
]
Slack = Annotated[
    float, typer.Option("--slack", min=0, help="Hours that any batch job may be later, at least.", rich_help_panel=RULES)
]
LeastSaving = Annotated[
    float, typer.Option("--least-saving", min=0, max=1, help="A share saved below which a group stays.", rich_help_panel=RULES)
]
Explain = Annotated[
    str | None, typer.Option("--explain", metavar="GROUP", help="Everything about one group: g1, or its name.",
                             rich_help_panel=REPORT)
]  # fmt: skip
Tasks = Annotated[
    Path | None,
    typer.Option(
        "--tasks", metavar="DIR", help="Folder for a task file of each group that should leave.", rich_help_panel=REPORT
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder for the report: page and JSON. None without it.", rich_help_panel=REPORT),
]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there.", rich_help_panel=REPORT)]
Runs = Annotated[
    int, typer.Option(min=1, max=1_000, help="Times that each job is played, fewer for very many.", rich_help_panel=REPORT)
]
Seed = Annotated[int, typer.Option(min=0, max=2**31, help="Draws them.", rich_help_panel=REPORT)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    jobs: Jobs = None,
    *,
    labels: Labels = None,
    surplus: Surplus = None,
    show_surplus: ShowSurplus = False,
    home: Home = None,
    unlabelled: Unlabelled = "internal",
    least_gpu_h: Heavy = 24.0,
    slack: Slack = 1.0,
    least_saving: LeastSaving = 0.05,
    explain: Explain = None,
    tasks: Tasks = None,
    out: Out = None,
    force: Force = False,
    runs: Runs = 20,
    seed: Seed = 0,
    trace_format: options.Format = None,
    column: options.Column = None,
    unit: options.Unit = None,
    pool: options.Pool = "given",
    which: options.Which = None,
    spot: options.Spot = None,
    zone: options.Zone = None,
    origin: options.Origin = None,
    until: options.Until = None,
    gpus_per_worker: options.PerWorker = False,
    as_json: Json = False,
) -> int:
    """Which of your jobs could run on surplus: your job history in groups, each with the best way and what it saves.

    Spot, guarded, block, batch API or stay, with reclaims, added time and the reasons; and a task file for each that leaves.
    """
    from sublet.cli import audit_run  # noqa: PLC0415 (numba, polars and plotly take seconds that no other command has to wait)

    told = audit_run.Told(
        column or (), unit or (), pool=pool, trace=which, spot=spot or (), zone=zone, origin=origin, until=until,
        gpus_per_worker=gpus_per_worker,
    )  # fmt: skip
    asked = audit_run.Asked(
        files=tuple(jobs or ()), format=trace_format, told=told, labels=labels, surplus=surplus, show=show_surplus, home=home,
        unlabelled=unlabelled, least_gpu_h=least_gpu_h, slack_h=slack, least_saving=least_saving, runs=runs, seed=seed,
    )  # fmt: skip
    return audit_run.run(asked, audit_run.Target(out, tasks, explain, force=force, as_json=as_json))
