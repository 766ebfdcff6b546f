"""`sublet bench`: the command."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress

from sublet.app import logging as logs
from sublet.app.settings import Settings
from sublet.bench.grants import measure
from sublet.cli.output import Json, show, table

commands = typer.Typer(help="Measure this very program, beside something plain in the same run.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="bench")


@commands.callback()
def _bench() -> None:
    """Keep `bench` a group while it has one command."""


@commands.command()
def grants(
    *,
    database: Annotated[
        str,
        typer.Option("--db", help="An EMPTY database: postgresql://... or sqlite:///FILE; else SQLite in a temporary folder."),
    ] = "",
    leases: Annotated[int, typer.Option(min=1, max=100_000, help="Leases in each repetition.")] = 1_000,
    repeats: Annotated[int, typer.Option(min=1, max=100)] = 5,
    as_json: Json = False,
) -> None:
    """Durable grants a second through the whole loop, and the ratio to single-row commits on the same store."""
    logs.configure(Settings(log_level="error"))
    with tempfile.TemporaryDirectory(prefix="sublet-bench-") as folder, Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("grants", total=repeats)
        result = measure(
            url=database or f"sqlite:///{folder}/bench.db",
            folder=Path(folder),
            leases=leases,
            repeats=repeats,
            progress=lambda done: bar.update(task, completed=done),
        )
    show(result, as_json, lambda: _rendered(result))


def _rendered(result: dict[str, Any]) -> RenderableType:
    rows = [
        ("grants through the loop", f"{result['grants_per_s']:,.0f}/s", f"{result['ratio_to_bare']:.2f}"),
        ("with each request's own commit", f"{result['end_to_end_per_s']:,.0f}/s", f"{result['end_to_end_ratio_to_bare']:.2f}"),
        ("bare single-row commits", f"{result['bare_commits_per_s']:,.0f}/s", "1"),
        ("the same by the driver alone", f"{result['driver_commits_per_s']:,.0f}/s", ""),
    ]
    measured = f"{result['store']}, {result['leases']} leases, median of {result['repeats']}"
    return table((measured, "rate", "ratio"), rows, right=("rate", "ratio"))
