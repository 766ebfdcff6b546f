"""The API of a control plane on a fake engine: `doors` on SQLite, `everywhere` on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import Doors, doors_on_sqlite, open_doors
from sublet.store.database import Database

__all__ = ["doors_on_sqlite"]


@pytest.fixture
def everywhere(database: Database, tmp_path: Path) -> Iterator[Doors]:
    """What does."""
    with open_doors(database, tmp_path / "data") as opened:
        yield opened
