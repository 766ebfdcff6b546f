"""The API of a control plane on a fake engine: `doors` on SQLite, `everywhere` on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import Doors, open_doors
from sublet.store.database import Database


@pytest.fixture
def doors(sqlite_template: Path, tmp_path: Path) -> Iterator[Doors]:
    """What does not depend on the database."""
    database = Database(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'sublet.db')}")
    with open_doors(database, tmp_path / "data") as opened:
        yield opened
    database.close()


@pytest.fixture
def everywhere(database: Database, tmp_path: Path) -> Iterator[Doors]:
    """What does."""
    with open_doors(database, tmp_path / "data") as opened:
        yield opened
