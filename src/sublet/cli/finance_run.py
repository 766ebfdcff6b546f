"""`sublet finance` at work: a scenario becomes a report, printed, written, or both."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sublet.advice.finance import actual as books
from sublet.advice.finance import read as scenarios
from sublet.advice.finance import shipped
from sublet.advice.finance.actual import Actual
from sublet.advice.finance.document import text_of
from sublet.advice.finance.report import Report, Wanted, base_of, report_of
from sublet.advice.finance.saved import save
from sublet.advice.folder import usable
from sublet.app.complaints import meant
from sublet.cli.client import connect
from sublet.cli.finance_summary import summary, where
from sublet.cli.output import console, errors, parse_instant, show, table, write_text
from sublet.cli.study_stages import Stages
from sublet.core.errors import Invalid

SHOW = "show"


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    scenario: str | None
    name: str | None
    listed: bool
    claims: bool
    paths: int | None
    seed: int | None
    from_ledger: bool
    begin: str | None
    end: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where the answer goes."""

    out: Path | None
    force: bool
    as_json: bool


def run(asked: Asked, target: Target) -> int:
    """Answer one command line; the exit code."""
    if asked.listed:
        _list(as_json=target.as_json)
        return 0
    if asked.scenario is None:
        hint = f"name a TOML file or a shipped one: {', '.join(shipped.NAMES)}; `sublet finance show NAME` prints one"
        raise Invalid("no scenario is given", field="scenario", hint=hint)
    if asked.scenario == SHOW:
        _show(asked.name, as_json=target.as_json)
        return 0
    if asked.name is not None:
        raise Invalid(f"{asked.name!r} is one scenario too many", field="scenario", hint="give one")
    try:
        report = _made(asked, asked.scenario, target)
    except KeyboardInterrupt:
        errors.print("[dim]stopped; no report was written[/]")
        return 130
    if target.as_json:
        write_text(text_of(report))
    else:
        console.print(summary(report))
        console.print(where(target.out), soft_wrap=True)
    return 0


def _made(asked: Asked, scenario: str, target: Target) -> Report:
    """The report, which is then in its folder, too."""
    if (asked.begin or asked.end) and not asked.from_ledger:
        raise Invalid("--from and --to choose a period of the books", field="from", hint="add --from-ledger")
    if target.out is not None:
        usable(target.out, force=target.force)
    with Stages(errors, lines=not target.as_json) as stages:
        found = scenarios.read(scenario)
        actual: Actual | None = None
        if asked.from_ledger:
            actual, found = _against_books(found, asked, stages.tell)
        wanted = Wanted(
            paths=found.file.paths if asked.paths is None else asked.paths,
            seed=found.file.seed if asked.seed is None else asked.seed,
            claims=asked.claims,
        )
        report = report_of(found, wanted, stages.tell, actual)
        if target.out is not None:
            stages.tell("writing the report", 0.0)
            save(report, target.out)
    return report


def _against_books(found: scenarios.Asked, asked: Asked, tell: Callable[[str, float], None]) -> tuple[Actual, scenarios.Asked]:
    tell("reading the books", 0.0)
    begin = parse_instant(asked.begin, option="--from")
    end = parse_instant(asked.end, option="--to")
    from_us = books.begins_us(found) if begin is None else begin
    to_us = time.time_ns() // 1_000 if end is None else end
    if to_us <= from_us:
        hint = "set `starts` of the scenario to a month that has begun, or give --from"
        raise Invalid("the period of the books is empty: its end is not after its beginning", field="to", hint=hint)
    with connect() as client:
        statements = client.get("/v1/statement", from_us=from_us, to_us=to_us)["items"]
    return books.compared(found, base_of(found.scenario).accounts, statements, from_us, to_us)


def _list(*, as_json: bool) -> None:
    rows = list(shipped.NAMES.items())
    data = {"items": [{"name": name, "what": what} for name, what in rows]}
    show(data, as_json, lambda: table(("scenario", "what it is"), rows))


def _show(name: str | None, *, as_json: bool) -> None:
    if name is None or name not in shipped.NAMES:
        said = "no shipped scenario is named" if name is None else f"there is no shipped scenario {name!r}"
        hint = meant(name or "", list(shipped.NAMES))
        raise Invalid(said, field="name", hint=hint)
    text = shipped.text(name)
    show({"name": name, "toml": text}, as_json, lambda: write_text(text))
