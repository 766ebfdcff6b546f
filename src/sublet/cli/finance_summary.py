"""What a finance report says, on a terminal: its paragraph, a line a year, break-evens, claims, and where the rest is."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.markup import escape
from rich.text import Text

from sublet.advice.finance.report import Report
from sublet.advice.finance.saved import DOCUMENT, PAGE, TABLES_FOLDER, WORKBOOK
from sublet.advice.study.words import money, number, price, share
from sublet.cli.output import Markup, table
from sublet.core.units import MICRO

HEADINGS = ("year", "leased GPU-h", "revenue", "contribution", "left at full cost", "depreciation recovered", "margin")
PROSE_WIDTH = 100
VERDICTS = {"holds": "green", "fails": "red", "holds_if": "yellow"}


def summary(report: Report) -> RenderableType:
    """All but where it is."""
    return Group(
        Text(),
        prose(" ".join(report.headline.sentences)),
        *(prose(f"! {warning}", "yellow") for warning in report.headline.warnings),
        Text(),
        table(HEADINGS, _years(report), right=HEADINGS[1:]),
        Text(),
        *_breaks(report),
        *_actual(report),
        *_claims(report),
        Text(),
    )


def prose(text: str, style: str = "") -> RenderableType:
    """Sentences in lines that the eye can follow."""
    return Constrain(Text(text, style=style), PROSE_WIDTH)


def where(folder: Path | None) -> str:
    """Where the rest is; lines that are not to be folded, so that they can be copied."""
    if folder is None:
        return "[dim]page, workbook, JSON and CSV: add --out FOLDER[/]"
    return (
        f"report    [bold]{escape(str(folder / PAGE))}[/]\nworkbook  {escape(str(folder / WORKBOOK))}\ndata      "
        f"{escape(str(folder / DOCUMENT))}, {escape(str(folder / TABLES_FOLDER))}/*.csv"
    )


def _years(report: Report) -> Iterator[tuple[str, ...]]:
    currency = report.scenario.currency
    for line in report.years:
        yield (
            line.name,
            number(line.flows.leased_gpu_h),
            money(line.flows.revenue_micro / MICRO, currency),
            money(line.flows.contribution_micro / MICRO, currency),
            money(line.flows.full_margin_micro / MICRO, currency),
            "-" if line.recovered_bps is None else share(line.recovered_bps / 10_000),
            "-" if line.lift_bps is None else f"{line.lift_bps:+.1f} bps",
        )


def _breaks(report: Report) -> Iterator[RenderableType]:
    found, currency = report.break_even, report.scenario.currency
    parts = []
    for said, micro in (("incremental", found.price_incremental_micro), ("full cost", found.price_full_micro)):
        parts.append(f"{said} {'no price' if micro is None else price(micro / MICRO, currency)}")
    yield prose(
        f"Break-even list price of a GPU-hour: {', '.join(parts)}; now {price(report.scenario.price_micro / MICRO, currency)}."
    )
    shares = [
        f"{said} {'no share' if part is None else share(part)}"
        for said, part in (
            ("people and software", found.share_programme), ("what the idle part costs", found.share_idle),
            ("the whole fleet", found.share_fleet),
        )
    ]  # fmt: skip
    yield prose(f"Share leased that pays {', '.join(shares)}; now {share(report.scenario.leased_share)}.")
    paid = found.setup_month or "not in these months"
    yield prose(f"Setup of {money(found.setup_micro / MICRO, currency)} is paid back: {paid}.")


def _actual(report: Report) -> Iterator[RenderableType]:
    if report.actual is None:
        return
    currency = report.scenario.currency

    def said(name: str, value: float) -> str:
        return money(value / MICRO, currency) if name.endswith("_micro") else number(value)

    rows = [
        (one.name.removesuffix("_micro"), said(one.name, one.assumed), said(one.name, one.actual))
        for one in report.actual.lines
    ]
    yield Text()
    yield table((f"{report.actual.begins} to {report.actual.ends}", "scenario", "books"), rows, right=("scenario", "books"))


def _claims(report: Report) -> Iterator[RenderableType]:
    for one in report.claims:
        yield Text()
        verdict = Markup(f"[bold {VERDICTS[one.verdict]}]{one.verdict.replace('_', ' ')}[/]")
        yield Text.from_markup(f"[bold]{one.id}[/]  {verdict}  {escape(one.claim)}")
        yield prose(f"    ours: {one.ours}")
        yield prose(f"    assumed: {one.assumption}", "dim")
        if one.condition:
            yield prose(f"    it holds: {one.condition}", "dim")
