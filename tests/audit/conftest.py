"""The command line in an empty folder, and a page of a report in a real Chromium with the network off."""

from pathlib import Path

import pytest
from histories import mixed

from command_line import ROOT, Sublet, at_home, captured
from doors import doors_on_sqlite
from sublet.cli.app import run

__all__ = ["doors_on_sqlite"]


@pytest.fixture
def sublet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in an empty folder that holds a history of every kind of group."""
    home = at_home(tmp_path, monkeypatch, columns=160)
    mixed(home / "jobs.csv")
    return captured(capsys)


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an audit's report."""
    folder = tmp_path_factory.mktemp("audited")
    jobs = mixed(folder / "jobs.csv")
    assert run(("audit", str(jobs), "--json", "--out", str(folder / "report")), ROOT) == 0
    return folder / "report"
