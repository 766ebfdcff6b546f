"""The report as tables: the same rows in a workbook and in CSV files. Amounts are in whole units of the currency, exact.

In the workbook sums are formulas, so that a reader can follow each one and change a line; beside each formula stands the
value that it comes to, for programs that do not calculate.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import xlsxwriter

from sublet.advice.finance.chance import LEVELS
from sublet.advice.finance.report import Report
from sublet.app.export.figures import cell, decimal
from sublet.core.finance.accounts import Flows

Cell = str | int | float | Decimal | None

MONTH_LINES = (
    "revenue", "refund", "credit", "energy", "wear", "operations", "margin", "selling", "programme", "contribution",
    "depreciation", "standing", "full_margin", "received", "fleet_depreciation", "fleet_standing", "capex", "disposal",
    "result",
)  # fmt: skip
FORMULAS: Mapping[str, str] = {
    "margin": "{revenue}-{refund}-{credit}-{energy}-{wear}-{operations}",
    "contribution": "{margin}-{selling}-{programme}",
    "full_margin": "{contribution}-{depreciation}-{standing}",
    "result": "{contribution}-{fleet_depreciation}-{fleet_standing}",
}
"""Lines that follow from others in the same row."""
STAND = ("assets", "receivable", "cash", "equity")
FIXED = datetime(2020, 1, 1, tzinfo=UTC)
"""The workbook's date: the same report gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its headings, and its rows."""

    name: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def months(report: Report) -> Sheet:
    """A row a month, all lines of the accounts."""
    lines = tuple(
        (
            line.month, line.gpus, decimal_of(line.price_micro), line.flows.capacity_gpu_h, line.flows.leased_gpu_h,
            *(_amount(line.flows, name) for name in MONTH_LINES),
            *(decimal_of(getattr(line, f"{name}_micro")) for name in STAND),
        )
        for line in report.months
    )  # fmt: skip
    return Sheet("months", ("month", "gpus", "list_price", "capacity_gpu_h", "leased_gpu_h", *MONTH_LINES, *STAND), lines)


def bands(report: Report) -> Sheet:
    """Quantiles of each month."""
    names = tuple(f"q{level * 100:g}" for level in LEVELS)
    rows: list[tuple[Cell, ...]] = []
    for band in report.chance.bands if report.chance else ():
        for line, levels in zip(report.months, band.levels, strict=True):
            rows.append((band.name, line.month, *(decimal_of(level) for level in levels)))
    return Sheet("bands", ("what", "month", *names), tuple(rows))


def tornado(report: Report) -> Sheet:
    """Each assumption at its two values; then each unknown alone."""
    rows: list[tuple[Cell, ...]] = [
        (one.what, one.unit.replace("{currency}", report.scenario.currency), one.now, one.value,
         decimal_of(one.contribution_micro), decimal_of(one.full_margin_micro))
        for one in report.turned
    ]  # fmt: skip
    return Sheet("tornado", ("what", "unit", "now", "turned_to", "contribution_year", "full_margin_year"), tuple(rows))


def alone(report: Report) -> Sheet:
    """The width of the band with one unknown alone."""
    rows = [
        (one.name, decimal_of(one.low_micro), decimal_of(one.high_micro))
        for one in (report.chance.alone if report.chance else ())
    ]
    return Sheet("alone", ("unknown", "contribution_year_q5", "contribution_year_q95"), tuple(rows))


def units(report: Report) -> Sheet:
    """A GPU-hour of each generation."""
    parts = ("energy", "wear", "operations", "idle_energy", "upkeep", "staff", "depreciation")
    rows: list[tuple[Cell, ...]] = [
        (one.name, one.gpus, *(decimal_of(getattr(one, f"{part}_micro")) for part in parts), decimal_of(one.full_micro),
         decimal_of(one.list_price_micro))
        for one in report.units
    ]  # fmt: skip
    return Sheet("units", ("generation", "gpus", *parts, "full_cost", "list_price"), tuple(rows))


def claims(report: Report) -> Sheet:
    """A row a claim."""
    rows = [(one.id, one.claim, one.verdict, one.ours, one.assumption, one.condition, one.source) for one in report.claims]
    return Sheet("claims", ("id", "claim", "verdict", "our_figure", "assumption", "it_holds", "source"), tuple(rows))


def actual(report: Report) -> Sheet:
    """What the scenario said, and what the books say."""
    rows: list[tuple[Cell, ...]] = []
    for one in report.actual.lines if report.actual else ():
        scale = 1e6 if one.name.endswith("_micro") else 1.0
        rows.append((one.name.removesuffix("_micro"), one.assumed / scale, one.actual / scale))
    return Sheet("actual", ("line", "scenario", "books"), tuple(rows))


def assumptions(report: Report) -> Sheet:
    """Every assumption."""
    rows = [(one.name, _text(one.value), one.unit, one.says, one.source) for one in report.assumptions]
    return Sheet("assumptions", ("name", "value", "unit", "what_it_is", "from"), tuple(rows))


SHEETS: tuple[Callable[[Report], Sheet], ...] = (months, bands, tornado, alone, units, claims, actual, assumptions)
"""All tables; those without a row are left out."""


def tables(report: Report) -> tuple[Sheet, ...]:
    """The tables of a report that have something in them."""
    return tuple(sheet for make in SHEETS if (sheet := make(report)).rows)


def csv_of(sheet: Sheet) -> str:
    """A table as CSV. Text that a spreadsheet would take for a formula is made harmless."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(sheet.headings)
    for row in sheet.rows:
        writer.writerow([cell(value) if isinstance(value, str) else _text(value) for value in row])
    return buffer.getvalue()


def workbook_of(report: Report) -> bytes:
    """All tables as one workbook."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties({"title": report.scenario.title, "created": FIXED.replace(tzinfo=None)})
    looks = {
        "head": book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"}),
        "amount": book.add_format({"num_format": "#,##0.00"}),
        "count": book.add_format({"num_format": "#,##0"}),
        "text": book.add_format({"text_wrap": True, "valign": "top"}),
        "sum": book.add_format({"num_format": "#,##0.00", "bold": True}),
    }
    _answer(book, report, looks)
    for sheet in tables(report):
        _write(book, sheet, looks)
    book.close()
    return buffer.getvalue()


def _answer(book: Any, report: Report, looks: Mapping[str, Any]) -> None:
    """The first sheet: the paragraph."""
    page = book.add_worksheet("answer")
    page.set_column(0, 0, 110)
    page.write_string(0, 0, f"{report.scenario.title}, {report.scenario.starts} to {report.scenario.ends}", looks["head"])
    for nth, sentence in enumerate((*report.headline.sentences, *report.headline.warnings), 1):
        page.write_string(nth, 0, sentence, looks["text"])
    page.write_string(
        nth + 2, 0, f"Amounts in {report.scenario.currency}. Made by sublet finance, Sublet {report.version}.", looks["text"]
    )


def _write(book: Any, sheet: Sheet, looks: Mapping[str, Any]) -> None:
    page = book.add_worksheet(sheet.name)
    page.freeze_panes(1, 1)
    for column, heading in enumerate(sheet.headings):
        page.write_string(0, column, heading, looks["head"])
        long = any(len(text) > 24 for row in sheet.rows if isinstance(text := row[column], str))
        page.set_column(column, column, 48 if long else 18)
    for row, values in enumerate(sheet.rows, 1):
        for column, value in enumerate(values):
            _cell(page, row, column, value, looks)
    if sheet.name == "months":
        _formulas(page, sheet, looks)


def _cell(page: Any, row: int, column: int, value: Cell, looks: Mapping[str, Any]) -> None:
    if value is None:
        return
    if isinstance(value, str):
        page.write_string(row, column, value, looks["text"])
    elif isinstance(value, int):
        page.write_number(row, column, value, looks["count"])
    else:
        page.write_number(row, column, float(value), looks["amount"])


def _formulas(page: Any, sheet: Sheet, looks: Mapping[str, Any]) -> None:
    """Sums of a row, and all months below each other."""
    letters = {heading: _letter(nth) for nth, heading in enumerate(sheet.headings)}
    for row, values in enumerate(sheet.rows, 1):
        for name, formula in FORMULAS.items():
            cells = {heading: f"{letter}{row + 1}" for heading, letter in letters.items()}
            column = sheet.headings.index(name)
            page.write_formula(row, column, "=" + formula.format(**cells), looks["amount"], float(values[column] or 0))
    last = len(sheet.rows) + 1
    page.write_string(last, 0, "all", looks["head"])
    for name in ("capacity_gpu_h", "leased_gpu_h", *MONTH_LINES):
        column = sheet.headings.index(name)
        total = sum(Decimal(str(row[column])) for row in sheet.rows)
        page.write_formula(last, column, f"=SUM({letters[name]}2:{letters[name]}{last})", looks["sum"], float(total))


def _letter(column: int) -> str:
    """A, B, ... Z, AA, ..."""
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def _amount(flows: Flows, name: str) -> Cell:
    return decimal_of(getattr(flows, f"{name}_micro"))


def decimal_of(micro: int) -> Decimal:
    """Whole units, exact to the micro-unit."""
    return Decimal(decimal(micro))


def _text(value: Any) -> str:
    """A value of a CSV cell."""
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)
