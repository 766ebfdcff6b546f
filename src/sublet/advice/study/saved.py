"""The folder of a report: a page to read, a document for programs, and the tables behind both.

A folder that holds something is left alone unless that is forced; even then only files of these names are written.
"""

import os
from collections.abc import Callable
from pathlib import Path

from sublet.advice.folder import put
from sublet.advice.study.document import text_of
from sublet.advice.study.page import page_of
from sublet.advice.study.report import Report
from sublet.advice.study.result import Study
from sublet.advice.study.tables import TABLES
from sublet.core.errors import Conflict, Unavailable

PAGE, DOCUMENT, TABLES_FOLDER = "index.html", "study.json", "tables"


class Folder:
    """Where one report goes. Opening it makes the folder, so that a place that cannot be had is known before the work."""

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self._made = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            held = any(path.iterdir())
        except OSError as error:
            reason = "it is a file" if path.is_file() else error.strerror
            raise Conflict(f"{path} cannot be used: {reason}", field="out", hint="choose another folder: --out") from error
        if held and not force:
            hint = "choose another folder with --out, or write over the report in it with --force"
            raise Conflict(f"{path} is not empty", field="out", hint=hint)
        if not os.access(path, os.W_OK | os.X_OK):
            raise Conflict(f"{path} cannot be written to", field="out", hint="choose another folder: --out")

    def give_up(self) -> None:
        """Take an empty folder away again that was made for nothing."""
        if self._made and not any(self.path.iterdir()):
            self.path.rmdir()

    def save(self, report: Report, study: Study, tell: Callable[[float], None]) -> None:
        """Write everything, the page last: where it is, the rest is there, too."""
        try:
            (self.path / TABLES_FOLDER).mkdir(exist_ok=True)
            for done, (name, make) in enumerate(TABLES.items()):
                tell(done / (len(TABLES) + 2))
                put(self.path / TABLES_FOLDER / f"{name}.parquet", make(study).write_parquet)
            text, page = text_of(report), page_of(report)
            put(self.path / DOCUMENT, lambda part: part.write_text(text, encoding="utf-8"))
            put(self.path / PAGE, lambda part: part.write_text(page, encoding="utf-8"))
        except OSError as error:
            hint = "make room, or choose another folder: --out"
            raise Unavailable(f"{self.path} cannot be written: {error.strerror}", field="out", hint=hint) from error
        tell(1.0)
