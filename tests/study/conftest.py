"""The command line, small traces, and one study that many tests look at."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small

from command_line import Ran, Sublet
from sublet.advice.study import question as questions
from sublet.advice.study.result import Study, Wanted
from sublet.advice.study.run import study
from sublet.api.server import document
from sublet.cli.app import run
from sublet.cli.root import Root
from sublet.core.units import DAY_US
from sublet.serving import Server
from sublet.sim.policies import OURS

ROOT = Root(open_server=Server, openapi=document)


@pytest.fixture
def sublet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in an empty folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)

    def ran(*arguments: str) -> Ran:
        code = run(arguments, ROOT)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return ran


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of jobs with dates."""
    return small.write(tmp_path_factory.mktemp("trace") / "jobs.csv", small.as_table(small.jobs()))


@pytest.fixture(scope="session")
def asked() -> tuple[str, ...]:
    """What is said of the trace in most tests."""
    return (*(word for one in small.NODES for word in ("--capacity", one)), "--warm-up", small.WARM_UP, "--workers", "1")


@pytest.fixture(scope="session")
def made(trace: Path, asked: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished report over all policies, with its sensitivity."""
    folder = tmp_path_factory.mktemp("made") / "report"
    assert run(("study", str(trace), *asked, "--out", str(folder)), ROOT) == 0
    return folder


@pytest.fixture(scope="session")
def found(trace: Path) -> Study:
    """A study as a value: nothing leased and our policy."""
    question = questions.asked(questions.Files(trace, capacity=small.NODES), warm_up_us=4 * DAY_US)
    wishes = Wanted(policies=("nothing_leased", OURS), judged=("window_max_quantile",), sensitivity=False, workers=1)
    return study(question, wishes, lambda *_: None)


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
