"""The command line, small traces, and one study that many tests look at."""

from pathlib import Path

import pytest
import small

from command_line import ROOT, Sublet, captured
from sublet.advice.study import question as questions
from sublet.advice.study.result import Study, Wanted
from sublet.advice.study.run import study
from sublet.cli.app import run
from sublet.core.units import DAY_US
from sublet.sim.policies import OURS


@pytest.fixture
def sublet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in an empty folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return captured(capsys)


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
