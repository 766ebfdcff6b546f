"""What the tests of the readers share: writing a text to a file and reading it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sublet.traces import JobTable, Options, read_jobs

Reader = Callable[..., JobTable]


@pytest.fixture
def jobs_in(tmp_path: Path) -> Reader:
    """Reads a text as a trace of jobs, with any options by name."""

    def read(text: str, *, name: str = "trace.txt", format: str | None = None, **options: object) -> JobTable:  # noqa: A002
        file = tmp_path / name
        file.write_text(text)
        return read_jobs(file, Options(**options), format=format)  # type: ignore[arg-type]

    return read
