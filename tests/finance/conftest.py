"""The command line in an empty folder, and a page of a report in a real Chromium with the network off."""

from pathlib import Path

import pytest

from command_line import ROOT, Sublet, at_home, captured
from doors import doors_on_sqlite
from sublet.cli.app import run

__all__ = ["doors_on_sqlite"]


@pytest.fixture
def sublet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in an empty folder."""
    at_home(tmp_path, monkeypatch, columns=160)
    return captured(capsys)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report that has everything in it."""
    folder = tmp_path_factory.mktemp("made") / "report"
    assert run(("finance", "hyperscaler-2026", "--claims", "--paths", "2000", "--json", "--out", str(folder)), ROOT) == 0
    return folder
