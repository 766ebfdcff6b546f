"""What a run of the `sublet` command in this process did, for the tests of the command line."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sublet.api.server import document
from sublet.cli.app import run
from sublet.cli.root import Root
from sublet.gateway.process import Process
from sublet.serving import Server

ROOT = Root(open_server=Server, openapi=document, open_gateway=Process)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The one JSON document on stderr."""
        return dict(json.loads(self.err)["error"])


Sublet = Callable[..., Ran]


def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch, *, columns: int) -> Path:
    """An empty folder in which commands run, with no settings of anybody's, on a terminal of so many columns."""
    home = folder / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("COLUMNS", str(columns))
    return home


def captured(capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in this process, with what it prints captured."""

    def sublet(*arguments: str) -> Ran:
        code = run(arguments, ROOT)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return sublet
