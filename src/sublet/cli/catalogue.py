"""`sublet catalogue`: the prices that decisions are made with, and newer ones from public formats."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sublet.cli.output import Json, console, show, table
from sublet.core.errors import Conflict, Invalid, Unavailable

commands = typer.Typer(help="The prices that `sublet decide` uses, and newer ones from public formats.", no_args_is_help=True)
TIMEOUT_S = 60.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="catalogue")


@commands.command("list")
def list_(*, as_json: Json = False) -> int:
    """What is shipped: providers, offers, and how old their prices are."""
    from sublet.advice.decide import catalogue  # noqa: PLC0415 (polars, which no other command has to wait for)
    from sublet.advice.decide.formats import FORMATS  # noqa: PLC0415 (the same)

    frame = catalogue.shipped_table()
    rows = [dict(row) for row in catalogue.by_provider(frame).iter_rows(named=True)]
    data: dict[str, Any] = {"items": rows, "formats": {name: says for name, (_, says) in FORMATS.items()}}
    headings = ("provider", "offers", "regions", "spot", "as_of", "source")
    show(data, as_json, lambda: table(headings, [[row[name] for name in headings] for row in rows], right=headings[1:4]))
    return 0


@commands.command()
def refresh(
    source: Annotated[str, typer.Argument(help="A file or an https address.")],
    *,
    kind: Annotated[str, typer.Option("--format", help="skypilot, azure_retail or aws_spot_advisor.")],
    provider: Annotated[str, typer.Option("--provider", help="Whose prices these are: aws, gcp, azure, lambda.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table that is written; for `sublet decide --prices`.")],
    base: Annotated[
        Path | None,
        typer.Option("--base", help="A table whose rows are kept where the new one says nothing; else the shipped one."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a table that is there.")] = False,
    as_json: Json = False,
) -> int:
    """Read newer prices in a public format and write a table for `sublet decide --only-mine --prices`."""
    from sublet.advice.decide import catalogue, formats  # noqa: PLC0415 (polars, which no other command has to wait for)

    if out.exists() and not force:
        raise Conflict(f"{out} is there", field="out", hint="choose another file with --out, or write over it with --force")
    text = _text(source)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    made = formats.table_of(text, kind, provider=provider.lower(), as_of=today, source=source)
    known = catalogue.shipped_table() if base is None else catalogue.table(base)
    whole = formats.joined(catalogue.in_columns(known), made)
    try:
        whole.write_csv(out) if out.suffix == ".csv" else whole.write_parquet(out)
    except OSError as error:
        raise Unavailable(f"{out} cannot be written: {error.strerror}", field="out", hint="choose another file") from error
    data = {"read": len(made), "rows": len(whole), "out": str(out)}
    show(data, as_json, lambda: f"{len(made):,} rows of {provider} read; {len(whole):,} rows in {out}")
    if not as_json:
        console.print(f"[dim]use them: sublet decide workload.yaml --only-mine --prices {out}[/]", soft_wrap=True)
    return 0


def _text(source: str) -> str:
    """The text of a file or of an address."""
    if source.startswith("http://"):
        raise Invalid(f"{source} is not secure", field="source", hint="give an https address, or a file")
    if source.startswith("https://"):
        return _fetched(source)
    try:
        return Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Invalid(f"{source} cannot be read: {reason}", field="source", hint="check the path") from error


def _fetched(address: str) -> str:
    import httpx  # noqa: PLC0415 (only where somebody asks for an address)

    try:
        answer = httpx.get(address, timeout=TIMEOUT_S, follow_redirects=True)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        hint = "fetch it another way and give the file"
        raise Unavailable(f"{address} cannot be had: {error}", field="source", hint=hint) from error
    return answer.text
