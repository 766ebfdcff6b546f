"""Settings: one file, the environment over it, and no misspelt key goes unnoticed."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from sublet.app import settings
from sublet.core.errors import Invalid


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SUBLET_PORT", "SUBLET_CONFIG", "SUBLET_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_is_needed() -> None:
    found = settings.load(environ={})
    assert found.base_url == "http://127.0.0.1:7440"
    assert found.database_url == f"sqlite:///{Path('sublet-data').resolve() / 'sublet.db'}"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sublet.toml").write_text('port = 1\nlog_format = "json"\n')
    monkeypatch.setenv("SUBLET_PORT", "2")
    found = settings.load()
    assert found.port == 2 and found.log_format == "json"
    assert settings.changed(found, {"port": 3}).port == 3


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(Invalid, match="no settings file"):
        settings.load(Path("nope.toml"))
    with pytest.raises(Invalid, match="no settings file"):
        settings.load(environ={"SUBLET_CONFIG": "nope.toml"})


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        ("tick_mss = 5\n", "tick_mss", "tick_ms"),
        ("banana = 5\n", "banana", "the settings are"),
        ("tick_ms = 0\n", "tick_ms", "SUBLET_TICK_MS"),
        ('log_level = "loud"\n', "log_level", "sublet.toml"),
        ("x = [", "config", "TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_way_out(text: str, field: str, hint: str) -> None:
    Path("sublet.toml").write_text(text)
    with pytest.raises(Invalid) as told:
        settings.load(environ={})
    assert told.value.field == field and hint in str(told.value.hint)


def test_a_misspelt_variable_is_named_and_others_variables_are_left_alone() -> None:
    with pytest.raises(Invalid, match="SUBLET_PROT") as told:
        settings.load(environ={"SUBLET_PROT": "5"})
    assert told.value.hint == "did you mean SUBLET_PORT?"
    settings.load(environ={"SUBLET_TASK_ID": "x", "SUBLET_URL": "y", "SUBLET_CHECKPOINT_DIR": "/z"})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        settings.load(environ={}).port = 5


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:7440"), ("::1", "http://[::1]:7440")])
def test_the_address_is_one_that_can_be_called(host: str, url: str) -> None:
    assert settings.Settings(host=host).base_url == url
    assert settings.Settings(host=host, public_url="https://gpu.example/").base_url == "https://gpu.example"
