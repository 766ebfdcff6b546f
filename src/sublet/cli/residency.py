"""Residency: whether a task's data may be somewhere, and by which rules."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from sublet.cli.client import connect
from sublet.cli.output import Json, Markup, show, table
from sublet.cli.task import Given, Tenant, document

_WORDS = {True: Markup("[green]allow[/]"), False: Markup("[red]deny[/]")}


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    residency = typer.Typer(name="residency", help="Whether data may be somewhere at all.", no_args_is_help=True)
    residency.command("check")(check)
    residency.command("rules")(rules)
    residency.command("words")(words)
    app.add_typer(residency)


def check(
    file: Annotated[Path | None, typer.Argument(metavar="TASK.yaml", help="A task file.")] = None,
    given: Given = None,
    tenant: Tenant = None,
    site: Annotated[str | None, typer.Option(help="This site only.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Every verdict about a task before it is asked for; exit code 1 if it may be nowhere. Writes nothing."""
    body = document(file, run=None if file else "true", given=given or [], env=[])
    with connect() as client:
        found = client.post("/v1/residency/check", body, tenant=tenant, site=site)
    show(found, as_json, lambda: _checked(found))
    if not found["allowed"]:
        raise typer.Exit(1)


def _checked(found: dict[str, Any]) -> RenderableType:
    if not found["places"]:
        return "no pool could run it: `sublet pool ls` shows what there is"
    parts: list[RenderableType] = []
    for place in found["places"]:
        word = "[green]may be there[/]" if place["allowed"] else "[red]may not be there[/]"
        parts.append(f"[bold]{escape(place['site'])}[/] ({escape(place['accelerator'] or 'no GPUs')}): {word}")
        rows = [
            (_WORDS[verdict["allows"]], verdict["rule"], _why(verdict))
            for judged in place["judgements"]
            for verdict in judged["verdicts"]
        ]
        parts += [table(("", "rule", "why"), rows, empty="it states nothing that a rule could bind"), ""]
    return Group(*parts[:-1])


def _why(verdict: dict[str, Any]) -> Markup:
    """The reason, and below a denial the way out."""
    way_out = f"\n[dim]way out: {escape(verdict['hint'])}[/]" if verdict["hint"] else ""
    return Markup(f"{escape(verdict['reason'])}{way_out}")


def rules(*, as_json: Json = False) -> None:
    """All rules, with their sources and the days of their lists."""
    with connect() as client:
        found = client.get("/v1/residency/rules")
    told = table(
        ("rule", "what it says", "source", "as of"),
        [(one["name"], one["says"], one["source"]["title"], one["source"]["as_of"]) for one in found["items"]],
    )
    lists = table(
        ("list", "source", "as of"),
        [(one["name"], one["source"]["title"], one["source"]["as_of"]) for one in found["lists"]],
    )
    show(found, as_json, lambda: Group(told, "", lists, "", "[dim]This is engineering, not legal advice.[/]"))


def words(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="bloc, regime, data, safeguard, certification.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """The words that tasks and sites may state, beside the countries of ISO 3166."""
    with connect() as client:
        found = [one for one in client.get("/v1/residency/words")["items"] if kind in {None, one["kind"]}]
    rows = [
        (one["name"], one["kind"], " and ".join(one["said_by"]), one["title"], one["source"]["as_of"] if one["source"] else "")
        for one in found
    ]
    headings = ("word", "kind", "said by", "what it is", "as of")
    show(found, as_json, lambda: table(headings, rows, roomy=("as of",), empty="no such kind"))
