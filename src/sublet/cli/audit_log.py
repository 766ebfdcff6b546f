"""The audit log: shown, exported, and proven unchanged."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sublet.app import audit_log
from sublet.cli.client import connect
from sublet.cli.output import Json, instant, show, table
from sublet.core.audit_log import Tampered
from sublet.core.errors import Invalid

Head = Annotated[str | None, typer.Option(help="The hash that the last entry must have, as you noted it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    log = typer.Typer(name="audit-log", help="What was decided about residency, in a chain of hashes.", no_args_is_help=True)
    log.command("show")(entries)
    log.command("verify")(verify)
    log.command("export")(export)
    app.add_typer(log)


def entries(
    after: Annotated[int, typer.Option(min=0, help="Those after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 100,
    *,
    as_json: Json = False,
) -> None:
    """Entries, the oldest first."""
    with connect() as client:
        found = client.get("/v1/audit-log", after=after, limit=limit)
    rows = [
        (one["seq"], instant(one["at_us"]), one["kind"], _about(one["document"]), one["hash"][:12]) for one in found["items"]
    ]
    headings = ("no.", "when (UTC)", "what", "about", "hash")
    show(found, as_json, lambda: table(headings, rows, right=("no.",), empty="no entries"))


def _about(document: Any) -> str:
    """What an entry says, in a line."""
    if not isinstance(document, dict) or "bound" not in document:
        return json.dumps(document)
    lines = []
    for bound in document["bound"]:
        who = ", ".join(bound["subjects"][:3]) or "a request"
        more = f" and {len(bound['subjects']) - 3} more" if len(bound["subjects"]) > 3 else ""
        denied = [said["rule"] for judged in bound["judgements"] for said in judged["verdicts"] if not said["allows"]]
        places = ", ".join(dict.fromkeys(judged["place"]["name"] for judged in bound["judgements"]))
        word = "allowed" if bound["allowed"] else f"denied ({', '.join(dict.fromkeys(denied))})"
        lines.append(f"{who}{more}: {word} at {places}")
    return "; ".join(lines)


def verify(
    file: Annotated[Path | None, typer.Option(help="An export, proven without any control plane.")] = None,
    head: Head = None,
    *,
    as_json: Json = False,
) -> None:
    """Follow the whole chain; exit code 1 at the first entry that is not as it was written."""
    if file is not None:
        found = _of_file(file, head)
    else:
        with connect() as client:
            found = client.get("/v1/audit-log/verify", head=head)
    show(found, as_json, lambda: _verified(found))
    if not found["whole"]:
        raise typer.Exit(1)


def _verified(found: dict[str, Any]) -> str:
    if found["whole"]:
        return f"{found['entries']} entries, unchanged; head {found['head']}"
    return f"[red]tampered[/]: {found['finding']} ({found['hint']})"


def _of_file(file: Path, head: str | None) -> dict[str, Any]:
    try:
        found = audit_log.verify_file(file, head=head)
    except Tampered as error:
        return {"whole": False, "entries": None, "head": None, "finding": error.message, "hint": error.hint}
    return {"whole": True, "entries": found.entries, "head": found.head, "finding": None, "hint": None}


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    *,
    as_json: Json = False,
) -> None:
    """Every entry as a line of JSON; `verify --file` proves it anywhere, with the head that is printed."""
    with connect() as client:
        lines = client.raw("/v1/audit-log/export").content
    try:
        out.write_bytes(lines)
    except OSError as error:
        raise Invalid(f"{out} cannot be written: {error.strerror}", field="--out", hint="choose another file") from error
    found = _of_file(out, None)
    if not found["whole"]:
        show(found, as_json, lambda: f"[red]tampered[/]: {found['finding']}")
        raise typer.Exit(1)
    told = {"file": str(out), **found}
    show(told, as_json, lambda: f"{found['entries']} entries written to {out}; note the head elsewhere: {found['head']}")
