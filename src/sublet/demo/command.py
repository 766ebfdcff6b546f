"""`sublet demo`: the command."""

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sublet.app import logging as logs
from sublet.app.settings import Settings
from sublet.cli.output import Json
from sublet.cli.root import root_of
from sublet.demo.options import Options

if TYPE_CHECKING:
    from sublet.demo.figures import Summary
    from sublet.demo.stage import Stage

_DEFAULT = Options()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    context: typer.Context,
    *,
    slots: Annotated[int, typer.Option(help="Slots of the fleet.")] = _DEFAULT.slots,
    speed: Annotated[float, typer.Option(help="Seconds of the trace for each real second.")] = _DEFAULT.speed,
    hours: Annotated[float, typer.Option(help="How much of the trace is played: its last hours.")] = _DEFAULT.hours,
    trace: Annotated[
        Path | None, typer.Option(help="Your own jobs: Parquet or CSV with submit_s, duration_s, gpus; else the packaged day.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides bids, tasks and their instants.")] = _DEFAULT.seed,
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept; made anew by each run.")] = _DEFAULT.data_dir,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the API and the page; 0 takes a free one.")] = 0,
    plain: Annotated[bool, typer.Option("--plain", "--no-view", help="Lines instead of the live view.")] = False,
    engine: Annotated[str, typer.Option(help="`slurm`: the cluster that your settings name; else this machine.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Stay up after the day, so that the page can be looked at.")] = False,
    as_json: Json = False,
) -> int:
    """Play a compressed day: real processes, three tenants, reclaims, invoices. Takes about a minute and needs no set-up."""
    from sublet.demo import report  # noqa: PLC0415 (a control plane and a trace, which other commands need not load)
    from sublet.demo.run import run_demo  # noqa: PLC0415

    options = Options(slots, speed, hours, trace, seed, data_dir, port, live=not plain, keep=keep, engine=engine)
    logs.configure(Settings(log_level="error"))
    screen = Console(stderr=as_json, highlight=False)

    def then(stage: "Stage", summary: "Summary") -> None:
        if as_json:
            sys.stdout.write(json.dumps(summary.document(), indent=2) + "\n")
            sys.stdout.flush()
        else:
            report.show(screen, summary)
        report.where(screen, summary, stage.page_url if keep else None)
        if keep:
            _stay()

    try:
        summary = run_demo(options, root_of(context).open_server, screen=screen, then=then)
    except KeyboardInterrupt:
        screen.print("[dim]stopped; nothing of the demo runs any more[/]")
        return 130
    in_order = summary.conserved and summary.billed_matches and summary.ledger_balanced and not summary.findings
    return 0 if in_order and not summary.owner.promises_broken else 1


def _stay() -> None:
    """Wait for Ctrl-C."""
    try:
        signal.pause()
    except KeyboardInterrupt:
        return
