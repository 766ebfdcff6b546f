"""The command line in an empty folder, and a page of a report in a real Chromium with the network off."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Ran, Sublet
from doors import doors_on_sqlite
from sublet.api.server import document
from sublet.cli.app import run
from sublet.cli.root import Root
from sublet.serving import Server

ROOT = Root(open_server=Server, openapi=document)

__all__ = ["doors_on_sqlite"]


@pytest.fixture
def sublet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in an empty folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("COLUMNS", "160")

    def ran(*arguments: str) -> Ran:
        code = run(arguments, ROOT)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return ran


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report that has everything in it."""
    folder = tmp_path_factory.mktemp("made") / "report"
    assert run(("finance", "hyperscaler-2026", "--claims", "--paths", "2000", "--json", "--out", str(folder)), ROOT) == 0
    return folder


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """A page of a file in a tab of its own with the network off; what the page complains about fails the test."""
    contexts, complaints = [], []

    def open_page(path: Path, *, width: int = 1280, **context: Any) -> Any:
        made = chromium.new_context(viewport={"width": width, "height": 900}, offline=True, **context)
        contexts.append(made)
        page = made.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else complaints.append(request.url),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn=all]", state="attached")
        return page

    yield open_page
    for one in contexts:
        one.close()
    assert complaints == []
