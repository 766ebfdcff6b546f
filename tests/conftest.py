"""What every test may ask for: an empty, migrated database, once on SQLite and once on PostgreSQL, and a browser."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from or_skip import or_skip
from postgres_server import NoServer, administer, server
from sublet.store.database import Database

PLAYED = frozenset({"demo", "faults", "sim", "slurm", "study"})
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_TEMPLATE = "sublet_template"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole days and replays show what comes of all lines together, not which are reached; measured they take twice as long."""
    for item in items:
        if PLAYED & {folder.name for folder in item.path.parents}:
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real server with a migrated template; tests that need one are skipped where there is none, with the reason."""
    with or_skip(server(), NoServer) as url:
        administer(url, f"CREATE DATABASE {_TEMPLATE}")
        template = Database(f"{url}/{_TEMPLATE}")
        template.migrate()
        template.close()
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file."""
    path = tmp_path_factory.mktemp("template") / "sublet.db"
    template = Database(f"sqlite:///{path}")
    template.migrate()
    template.close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of its own for each test."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "sublet.db")
        yield f"sqlite:///{path}"
        return
    yield request.getfixturevalue("postgres_db")


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[str]:
    """The URL of a migrated, empty database on PostgreSQL."""
    name = f"sublet_{next(_numbers)}"
    administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    yield f"{postgres_url}/{name}"
    administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(db_url: str) -> Iterator[Database]:
    """A migrated, empty database."""
    opened = Database(db_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's Chromium; tests that need it are skipped where there is none, with the reason."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


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
