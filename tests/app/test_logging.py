"""Logs: one line an event, and no secret in any of them."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from sublet.app import logging as logs
from sublet.app.settings import Settings


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    logging.basicConfig(force=True)


def test_json_lines_carry_their_facts_and_hide_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"))
    structlog.get_logger().info("key_made", scope="owner", secret="sk_abc", api_key="sk_def")
    structlog.get_logger().debug("not_told")
    logging.getLogger("uvicorn.error").warning("port %s", 5)
    told, foreign = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert told["event"] == "key_made" and told["scope"] == "owner" and told["level"] == "info" and told["timestamp"]
    assert told["secret"] == told["api_key"] == "***"
    assert foreign["event"] == "port 5"


def test_an_error_shows_its_chain_and_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings())

    def fail() -> None:
        hidden = "sk_local"
        raise ValueError(len(hidden))

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")
    text = capsys.readouterr().err
    assert "ValueError: 8" in text and "sk_local" not in text
