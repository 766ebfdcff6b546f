"""Schemathesis against the real app: no 5xx and no undocumented answer, whatever is sent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sublet.api.server import create_app, document
from sublet.app import keys, logging
from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.settings import Settings
from sublet.engines.fake import FakeEngine
from sublet.store.database import Database

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The app of a small running world: a tenant, a lease that runs, a job of the owner."""
    data_dir: Path = tmp_path_factory.mktemp("world")
    logging.configure(Settings(log_level="error"))
    configured = Settings(data_dir=data_dir)
    clock = Clock()
    database = Database(configured.database_url)
    plane = ControlPlane(configured, database, FakeEngine(clock=clock.now_us, gpus=4), clock)
    with database.write() as tx:
        file = keys.ensure_owner_key(tx, data_dir, now_us=clock.now_us())
    assert file is not None
    plane.start()
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(plane))
    schema.config.headers = {"Authorization": f"Bearer {file.read_text().strip()}"}
    yield schema
    plane.stop()
    database.close()


OPERATIONS = [(method, path) for path, operations in document()["paths"].items() for method in operations]


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS])
def test_no_server_error_and_no_undocumented_answer(described: Any, method: str, path: str) -> None:
    operation = described[path][method]

    @given(data=st.data())
    @settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def positive(data: Any) -> None:
        case = data.draw(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        case.call_and_validate(checks=CHECKS)

    @given(data=st.data())
    @settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def negative(data: Any) -> None:
        case = data.draw(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        case.call_and_validate(checks=CHECKS)

    positive()
    if operation.body or list(operation.query) or list(operation.path_parameters):
        negative()
