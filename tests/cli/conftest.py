"""The command line against a real API, run in this process with what it prints captured."""

from pathlib import Path

import pytest

from command_line import Sublet, at_home, captured
from doors import Doors, doors_on_sqlite

__all__ = ["doors_on_sqlite"]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in an empty directory, with nobody to answer."""
    at_home(tmp_path, monkeypatch, columns=200)
    monkeypatch.setenv("SUBLET_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("SUBLET_API_KEY", raising=False)
    return captured(capsys)


@pytest.fixture
def sublet(offline: Sublet, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> Sublet:
    """`sublet` as the owner."""
    monkeypatch.setenv("SUBLET_URL", doors.url)
    monkeypatch.setenv("SUBLET_API_KEY", doors.owner_key)
    return offline


@pytest.fixture
def as_acme(sublet: Sublet, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> Sublet:
    """`sublet` as the tenant acme."""
    key = doors.tenant("acme").headers["Authorization"].split()[1]
    monkeypatch.setenv("SUBLET_API_KEY", key)
    return sublet
