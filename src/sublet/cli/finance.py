"""`sublet finance`: the command. What it works with is loaded when it runs, so that the others need not wait for it."""

from pathlib import Path
from typing import Annotated

import typer

from sublet.cli.output import Json

ASKING, PATHS, BOOKS, REPORT = "What is asked", "Chance", "Against the books", "The report"

Scenario = Annotated[
    str | None,
    typer.Argument(metavar="[SCENARIO]", help="A scenario's TOML file, or a shipped one by name; `show NAME` prints one."),
]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="With `show`: which shipped scenario.")]
Listed = Annotated[bool, typer.Option("--list", help="The shipped scenarios.", rich_help_panel=ASKING)]
Claims = Annotated[
    bool, typer.Option("--claims", help="Check an industry's claims with the scenario's numbers.", rich_help_panel=ASKING)
]
Paths = Annotated[
    int | None,
    typer.Option("--paths", min=0, max=1_000_000, help="Monte-Carlo paths; the scenario's own without it, 0 for none.",
                 rich_help_panel=PATHS),
]  # fmt: skip
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=2**31, help="Draws them; the scenario's own without it.", rich_help_panel=PATHS),
]
FromLedger = Annotated[
    bool,
    typer.Option(
        "--from-ledger",
        help="Take what was leased, at what price and what was owed from the books of the running control plane.",
        rich_help_panel=BOOKS,
    ),
]
From = Annotated[
    str | None,
    typer.Option("--from", help="First day or instant, UTC; the scenario's first if left away.", rich_help_panel=BOOKS),
]
To = Annotated[str | None, typer.Option("--to", help="End, not included; now if left away.", rich_help_panel=BOOKS)]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Folder for the report: page, workbook, JSON, CSV. None without it.", rich_help_panel=REPORT
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write over a report that is there.", rich_help_panel=REPORT)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(finance)


def finance(
    scenario: Scenario = None,
    name: Name = None,
    *,
    listed: Listed = False,
    claims: Claims = False,
    paths: Paths = None,
    seed: Seed = None,
    from_ledger: FromLedger = False,
    begin: From = None,
    end: To = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> int:
    """What leasing does to your accounts: revenue, both views of cost, break-evens, basis points, and how sure that is.

    Monthly accounts from a scenario, Monte-Carlo paths that tie out, and what matters most.
    """
    from sublet.cli import finance_run  # noqa: PLC0415 (numba, polars and plotly take seconds that no other command has to wait)

    asked = finance_run.Asked(
        scenario, name, listed=listed, claims=claims, paths=paths, seed=seed, from_ledger=from_ledger, begin=begin, end=end
    )
    return finance_run.run(asked, finance_run.Target(out, force=force, as_json=as_json))
