"""The API of a control plane on a fake engine, once on SQLite and once on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import Doors, open_doors
from sublet.store.database import Database


@pytest.fixture
def doors(database: Database, tmp_path: Path) -> Iterator[Doors]:
    with open_doors(database, tmp_path / "data") as opened:
        yield opened
