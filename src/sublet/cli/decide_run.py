"""`sublet decide` at work: a workload's file becomes a ranking, printed, written, or both."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from sublet.advice.audit.document import plain
from sublet.advice.decide import catalogue, workload_file
from sublet.advice.decide.document import document, text_of
from sublet.advice.decide.matrix import Matrix, matrix
from sublet.advice.decide.report import Report, report_of, shelf
from sublet.advice.decide.saved import DOCUMENT, PAGE, save
from sublet.advice.decide.workload_file import WorkloadFile
from sublet.advice.folder import usable
from sublet.advice.study.words import length, money, number, price
from sublet.app.complaints import meant
from sublet.cli.assignments import pair
from sublet.cli.finance_summary import prose
from sublet.cli.output import console, errors, show, table, write_text
from sublet.cli.study_stages import Stages
from sublet.core.decide.rank import CRITERIA
from sublet.core.errors import Invalid
from sublet.core.units import MICRO

SHOWN = 12
HEADINGS = ("provider", "offer", "score", "to finish", "a GPU-hour", "takes", "interruptions")


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    workload: Path | None
    prices: tuple[Path, ...]
    providers: Path | None
    rates: tuple[str, ...]
    weights: tuple[str, ...]
    only_mine: bool
    example: bool
    matrix: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where the answer goes."""

    out: Path | None
    force: bool
    as_json: bool


def run(asked: Asked, target: Target) -> int:
    """Answer one command line; the exit code."""
    if asked.example:
        write_text((files("sublet.advice.decide") / "data" / "example.yaml").read_text(encoding="utf-8"))
        return 0
    if asked.matrix:
        show(plain(matrix()), target.as_json, lambda: _matrix(matrix()))
        return 0
    if asked.workload is None:
        hint = "name its YAML file; `sublet decide --example > workload.yaml` makes one"
        raise Invalid("no workload is given", field="workload", hint=hint)
    try:
        report = _made(asked, asked.workload, target)
    except KeyboardInterrupt:
        errors.print("[dim]stopped; no report was written[/]")
        return 130
    if target.as_json:
        write_text(text_of(document(report)))
    else:
        console.print(summary(report))
        console.print(_where(target.out), soft_wrap=True)
    return 0


def _made(asked: Asked, path: Path, target: Target) -> Report:
    """The report, which is then in its folder, too."""
    if target.out is not None:
        usable(target.out, force=target.force)
    with Stages(errors, lines=not target.as_json) as stages:
        file = _weighted(workload_file.read(path), asked.weights)
        rates = dict(_rate(text) for text in asked.rates)
        stages.tell("reading prices", 0.0)
        found = catalogue.catalogue(
            file, tables=asked.prices, providers=asked.providers, rates=rates, shipped=not asked.only_mine
        )
        report = report_of(file, found, shelf(found), stages.tell)
        if target.out is not None:
            stages.tell("writing the report", 0.0)
            save(report, target.out)
    return report


def _weighted(file: WorkloadFile, given: tuple[str, ...]) -> WorkloadFile:
    """The file with weights from the command line."""
    weights = dict(file.weights)
    for text in given:
        name, value = pair(text, "--weight", form="NAME=NUMBER")
        if name not in CRITERIA:
            raise Invalid(f"there is no criterion {name!r}", field="weight", hint=meant(name, list(CRITERIA)))
        weights[name] = _positive(value, "weight", "cost=10")
    return file.model_copy(update={"weights": weights})


def _rate(text: str) -> tuple[str, float]:
    name, value = pair(text, "--rate", form="CUR=RATE")
    rate = _positive(value, "rate", "EUR=1.08")
    if len(name) != 3 or not name.isalpha() or not rate:
        raise Invalid(f"{text!r} is no rate", field="rate", hint="write a currency and what one of it is in yours: EUR=1.08")
    return name.upper(), rate


def _positive(text: str, field: str, example: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no number", field=field, hint=f"write {example}") from error
    if not 0 <= value < 1e6:
        raise Invalid(f"{text} is out of range", field=field, hint=f"a number from 0 on: {example}")
    return value


def summary(report: Report) -> RenderableType:
    """All but where it is."""
    return Group(
        Text(),
        prose(" ".join(report.sentences)),
        *(prose(f"! {warning}", "yellow") for warning in report.warnings),
        Text(),
        table(HEADINGS, _rows(report), right=HEADINGS[2:]),
        Text(),
        table(
            ("would change it", "of", "now", "then", "first would be"),
            _turns(report),
            right=("now", "then"),
            empty="nothing would",
        ),
        Text(),
        table(("left out", "offers", "why"), _closed(report), right=("offers",), empty="nobody was left out"),
        Text(),
    )


def _where(folder: Path | None) -> str:
    """Where the rest is; lines that are not to be folded, so that they can be copied."""
    if folder is None:
        return "[dim]page and JSON: add --out FOLDER[/]"
    return f"report  [bold]{escape(str(folder / PAGE))}[/]\ndata    {escape(str(folder / DOCUMENT))}"


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    for one in report.lines[:SHOWN]:
        offer = one.offer
        yield (
            f"{one.rank}. {offer.provider}", " ".join(part for part in (offer.region, offer.instance, offer.mode) if part),
            f"{one.score:.3f}", money(one.cost_micro / MICRO, report.currency), price(one.gpu_h_micro / MICRO, report.currency),
            length(one.end_h * 3600), number(one.interruptions),
        )  # fmt: skip


def _turns(report: Report) -> Iterator[tuple[str, ...]]:
    for one in report.turns:

        def said(value: float, what: str = one.what) -> str:
            return price(value / MICRO, report.currency) if what == "price" else number(value)

        yield one.what, one.of, said(one.now), said(one.then), one.winner


def _closed(report: Report) -> Iterator[tuple[str, ...]]:
    for one in report.closed[:SHOWN]:
        yield one.provider, f"{one.offers:,}", one.reason


def _matrix(found: Matrix) -> RenderableType:
    rows = [(row.feature, *(cell.says for cell in row.cells)) for row in found.rows]
    source = found.rows[0].cells[0]
    return Group(
        prose(
            f"{found.title}. Cells without another source: {source.source}, {source.as_of}; --json has the source of each.",
            "dim",
        ),
        Text(),
        table(("feature", *found.columns), rows),
    )
