"""`sublet decide`: the command. What it works with is loaded when it runs, so that the others need not wait for it."""

from pathlib import Path
from typing import Annotated

import typer

from sublet.cli.output import Json

PRICES, REPORT = "Prices and providers", "The report"

Workload = Annotated[Path | None, typer.Argument(help="A workload's YAML file; `--example` prints one to start from.")]
Example = Annotated[bool, typer.Option("--example", help="Print a workload to start from.")]
Matrix = Annotated[bool, typer.Option("--matrix", help="The qualitative matrix of four kinds of places, with sources.")]
Prices = Annotated[
    list[Path] | None,
    typer.Option(
        "--prices", metavar="FILE", help="A table of your own prices, CSV or Parquet. Repeatable.", rich_help_panel=PRICES
    ),
]
OnlyMine = Annotated[bool, typer.Option("--only-mine", help="Leave the shipped prices out.", rich_help_panel=PRICES)]
Providers = Annotated[
    Path | None,
    typer.Option(
        "--providers", help="What your providers are like: providers.toml. Adds to the shipped one.", rich_help_panel=PRICES
    ),
]
Rate = Annotated[
    list[str] | None,
    typer.Option(
        "--rate", metavar="CUR=RATE", help="What one unit of a table's currency is in yours: EUR=1.08.", rich_help_panel=PRICES
    ),
]
Weight = Annotated[
    list[str] | None,
    typer.Option(
        "--weight", metavar="NAME=NUMBER", help="In place of the file's: cost=10. Repeatable.", rich_help_panel=REPORT
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder for the report: page and JSON. None without it.", rich_help_panel=REPORT),
]
Force = Annotated[bool, typer.Option("--force", help="Write over a report that is there.", rich_help_panel=REPORT)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(decide)


def decide(
    workload: Workload = None,
    *,
    example: Example = False,
    matrix: Matrix = False,
    prices: Prices = None,
    only_mine: OnlyMine = False,
    providers: Providers = None,
    rate: Rate = None,
    weight: Weight = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Where a workload should run: what FINISHING it costs at every offer, who may have it, and what would change the order.

    Interruptions and lost work, egress, storage, commitments, starts and idle hours are in the cost; residency decides first.
    """
    from sublet.cli import decide_run  # noqa: PLC0415 (numba, polars and plotly take seconds that no other command has to wait)

    asked = decide_run.Asked(
        workload, tuple(prices or ()), providers, tuple(rate or ()), tuple(weight or ()), only_mine=only_mine, example=example,
        matrix=matrix,
    )  # fmt: skip
    return decide_run.run(asked, decide_run.Target(out, force=force, as_json=as_json))
