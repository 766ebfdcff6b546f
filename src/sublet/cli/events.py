"""The journal."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from sublet.cli.client import connect
from sublet.cli.output import Json, console, instant, show, table


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    app.command()(events)


def events(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as things happen; with --json, one document a line.")
    ] = False,
    after: Annotated[int | None, typer.Option(min=0, help="Those after this number.")] = None,
    lease: Annotated[str | None, typer.Option(help="Only those of one lease.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="So many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """What happened, and why."""
    with connect() as client:
        if follow:
            for event in client.events(after):
                if lease in {None, event["lease"]}:
                    _line(event, as_json)
            return
        found = client.get("/v1/events", after=after, lease=lease, limit=limit)
    rows = (
        (one["seq"], instant(one["at_us"]), one["kind"], one["lease"] or one["pool"] or one["tenant"], one["reason"])
        for one in found["items"]
    )
    show(found["items"], as_json, lambda: table(("no.", "when (UTC)", "what", "of", "why"), rows, right=("no.",)))


def _line(event: dict[str, Any], as_json: bool) -> None:  # noqa: FBT001 (passed on)
    if as_json:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
        return
    who = event["lease"] or event["pool"] or event["tenant"] or ""
    console.print(f"[dim]{instant(event['at_us'])}[/] [bold]{event['kind']:<18}[/] {escape(who)} {escape(event['reason'])}")
