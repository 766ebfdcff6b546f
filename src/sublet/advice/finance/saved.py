"""The folder of a report: a page to read, a workbook, a document for programs, and its tables as CSV.

A folder that holds something is left alone unless that is forced; even then only files of these names are written.
"""

from pathlib import Path

from sublet.advice.finance.document import text_of
from sublet.advice.finance.page import page_of
from sublet.advice.finance.report import Report
from sublet.advice.finance.sheets import csv_of, tables, workbook_of
from sublet.advice.folder import save_files

PAGE, WORKBOOK, DOCUMENT, TABLES_FOLDER = "index.html", "finance.xlsx", "finance.json", "tables"


def save(report: Report, path: Path) -> None:
    """Write everything, the page last: where it is, the rest is there, too."""
    files = {f"{TABLES_FOLDER}/{sheet.name}.csv": csv_of(sheet).encode() for sheet in tables(report)}
    files |= {WORKBOOK: workbook_of(report), DOCUMENT: text_of(report).encode(), PAGE: page_of(report).encode()}
    save_files(path, files)
