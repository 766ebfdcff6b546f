"""What commands print: a table for people, or one JSON document for programs. Errors go to stderr either way."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from sublet.core.units import HOUR_US, MICRO, MINUTE_US, SECOND_US

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_ROOMY_WIDTH = 120
_PIPED_WIDTH = 200  # a table in a pipe or a file is not folded to a terminal that is not there


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return Console(stderr=stderr, highlight=False, width=width)


console = _console(stderr=False)
errors = _console(stderr=True)
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
_STATES = {
    "active": "green",
    "noticed": "yellow",
    "paused": "yellow",
    "ended": "dim",
    "stopping": "magenta",
    "handover": "magenta",
    "running": "green",
}


def show(data: Any, as_json: bool, render: Callable[[], RenderableType | None]) -> None:  # noqa: FBT001 (each command passes its flag)
    """Print `data` as JSON, or what `render` makes of it."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
        return
    made = render()
    if made is not None:
        console.print(made)


def write_text(text: str) -> None:
    """Print text as it is."""
    sys.stdout.write(text)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    roomy: Sequence[str] = (),
    empty: str = "nothing",
) -> RenderableType:
    """A plain table; `right` names the columns of numbers, `roomy` those that a narrow terminal does without.

    Cells are text, not markup, unless they come from `styled`.
    """
    made = Table(box=None, pad_edge=False, header_style="bold dim")
    shown = [heading not in roomy or console.width >= _ROOMY_WIDTH for heading in headings]
    for nth, heading in enumerate(headings):  # names stay whole, so that they can be copied
        if shown[nth]:
            made.add_column(heading, justify="right" if heading in right else "left", overflow="fold", no_wrap=nth == 0)
    count = 0
    for row in rows:
        cells = [cell if isinstance(cell, Markup) else escape(str(cell)) for cell in row]
        made.add_row(*(cell for cell, wanted in zip(cells, shown, strict=True) if wanted))
        count += 1
    return made if count else f"[dim]{escape(empty)}[/]"


class Markup(str):
    """Text that carries rich's markup."""

    __slots__ = ()


def state(name: str) -> Markup:
    """A state in its colour."""
    colour = _STATES.get(name, "cyan")
    return Markup(f"[{colour}]{name}[/]")


def money(micro: int, currency: str, *, places: int = 2) -> str:
    """An amount, rounded for the eye; exact amounts are in `--json`."""
    sign = _SIGNS.get(currency)
    minus = "-" if micro < 0 else ""
    amount = f"{abs(micro) / MICRO:,.{places}f}"
    return f"{minus}{sign}{amount}" if sign else f"{minus}{amount} {currency}"


def price(micro: int | None, currency: str) -> str:
    """A price of one GPU-hour."""
    return "-" if micro is None else money(micro, currency, places=4)


def duration(us: int | None) -> str:
    """A length of time in its largest two units."""
    if us is None:
        return "-"
    if us < MINUTE_US:
        return f"{us / SECOND_US:.3g} s"
    if us < HOUR_US:
        return f"{us // MINUTE_US} min {us % MINUTE_US // SECOND_US:02d} s" if us % MINUTE_US else f"{us // MINUTE_US} min"
    if us < 48 * HOUR_US:
        return f"{us // HOUR_US} h {us % HOUR_US // MINUTE_US:02d} min" if us % HOUR_US else f"{us // HOUR_US} h"
    return f"{us / (24 * HOUR_US):.1f} d"


def instant(us: int | None) -> str:
    """An instant, UTC, to the second."""
    return "-" if us is None else datetime.fromtimestamp(us / SECOND_US, UTC).strftime("%Y-%m-%d %H:%M:%S")


def parse_instant(text: str | None, *, option: str) -> int | None:
    """An instant that a person wrote: `2026-11-01`, `2026-11-01T12:00`, UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date: write 2026-11-01 or 2026-11-01T12:00", param_hint=option) from None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * SECOND_US)


def agree(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something costs or ends; `--yes` answers."""
    if yes:
        return
    if as_json:
        raise typer.BadParameter("with --json nobody is asked: add --yes to agree", param_hint="--yes")
    typer.confirm(question, abort=True, err=True)
