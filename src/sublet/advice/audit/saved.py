"""The folder of an audit: a page to read and a document for programs."""

from pathlib import Path

from sublet.advice.audit.document import document, text_of
from sublet.advice.audit.page import page_of
from sublet.advice.audit.report import Report
from sublet.advice.folder import save_files

PAGE, DOCUMENT = "index.html", "audit.json"


def save(report: Report, path: Path) -> None:
    """Write both, the page last: where it is, the rest is there, too."""
    save_files(path, {DOCUMENT: text_of(document(report)).encode(), PAGE: page_of(report).encode()})
