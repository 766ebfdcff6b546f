"""The `sublet` command: its parts, and how its errors reach people and programs.

Exit codes: 0 done, 1 our mistake or interrupted work, 2 wrong input or a refusal, 3 no control plane answers.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer._click.exceptions import ClickException, UsageError  # typer carries its own click

import sublet
from sublet.app.complaints import InvalidFields
from sublet.cli import (
    audit,
    audit_log,
    backup,
    blocks,
    catalogue,
    decide,
    events,
    finance,
    gateway,
    keys,
    leases,
    ledger,
    market,
    models,
    offers,
    owner,
    pools,
    requests,
    residency,
    server,
    sites,
    slurm,
    study,
    tenants,
)
from sublet.cli.client import ApiError, Unreachable
from sublet.cli.output import errors
from sublet.cli.root import Root
from sublet.core.errors import SubletError

app = typer.Typer(
    name="sublet",
    help="Lease out the GPUs that sit idle, and hand them back the moment their owner needs them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PARTS = (
    server,
    gateway,
    backup,
    study,
    audit,
    decide,
    catalogue,
    finance,
    offers,
    leases,
    blocks,
    market,
    owner,
    pools,
    sites,
    models,
    residency,
    audit_log,
    tenants,
    keys,
    ledger,
    requests,
    events,
    slurm,
)
for part in PARTS:
    part.register(app)


def _version(wanted: bool) -> None:  # noqa: FBT001 (typer's callback)
    if wanted:
        typer.echo(f"sublet {sublet.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    *, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False
) -> None:
    del version


def run(arguments: Sequence[str], root: Root) -> int:
    """Run one command line; returns the exit code."""
    as_json = "--json" in arguments
    try:
        code = app(list(arguments), standalone_mode=False, obj=root, prog_name="sublet")
    except ApiError as refusal:
        _tell(refusal.problem, as_json)
        return 2 if 400 <= refusal.status < 500 or refusal.status == 503 else 1  # 503 says what is in the way, too
    except Unreachable as error:
        _tell(_problem_of(error, 503), as_json)
        return 3
    except SubletError as error:
        _tell(_problem_of(error, 422), as_json)
        return 2
    except ClickException as error:
        _tell({"title": "The command line", "status": 400, "detail": error.format_message(), "hint": _help_of(error)}, as_json)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        errors.print("[dim]stopped; nothing more was done[/]")
        return 130
    return code if isinstance(code, int) else 0


def _problem_of(error: SubletError, status: int) -> dict[str, Any]:
    several = error.complaints if isinstance(error, InvalidFields) else ()
    told = [{"field": c.field, "message": c.message, "hint": c.hint, "line": c.line} for c in several]
    return {"status": status, "detail": error.message, "field": error.field, "hint": error.hint, "errors": told}


def _help_of(error: ClickException) -> str:
    context = error.ctx if isinstance(error, UsageError) else None
    return f"`{context.command_path if context else 'sublet'} --help` shows what it takes"


def _tell(problem: Mapping[str, Any], as_json: bool) -> None:  # noqa: FBT001 (passed on)
    if as_json:
        sys.stderr.write(json.dumps({"error": dict(problem)}) + "\n")
        return
    several = problem.get("errors") or []
    field = f"{problem['field']}: " if problem.get("field") and not several else ""
    errors.print(f"[bold red]error[/]  {escape(field + str(problem['detail']))}", soft_wrap=True)
    for one in several:
        line = f"line {one['line']}: " if one.get("line") else ""
        hint = f" [dim]({escape(one['hint'])})[/]" if one.get("hint") else ""
        errors.print(f"       {escape(line + one['field'])}: {escape(one['message'])}{hint}", soft_wrap=True)
    if problem.get("hint") and not several:
        errors.print(f"  [bold]fix[/]  {escape(str(problem['hint']))}", soft_wrap=True)
