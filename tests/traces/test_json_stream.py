"""Elements of a list in a JSON file, against reading the file at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sublet.core.errors import Invalid
from sublet.traces import json_stream
from sublet.traces.json_stream import elements

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(values, max_size=8), around=st.tuples(values, values), chunk=st.integers(1, 40), pretty=st.booleans())
def test_it_gives_what_the_whole_file_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wanted: list[Any], around: tuple[Any, Any], chunk: int, pretty: bool
) -> None:
    style: dict[str, Any] = {"indent": 1 if pretty else None, "ensure_ascii": pretty}
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    file = tmp_path / "file.json"
    file.write_text(json.dumps({"x": around[0], "jobs": wanted, "y": around[1]}, **style))
    assert list(elements(file, "jobs", expected="")) == wanted
    file.write_text(json.dumps(wanted, **style))
    assert list(elements(file, None, expected="")) == wanted


def test_damage_in_the_middle_is_found_at_once_and_not_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 1_000)
    file = tmp_path / "file.json"
    file.write_text("[1, {2" + " " * 100_000 + "]")
    told: list[float] = []
    with pytest.raises(Invalid, match="damaged"):
        list(elements(file, None, expected="", told=told.append))
    assert told == [pytest.approx(0.01, abs=0.001)]


def test_an_element_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 1_000)
    monkeypatch.setattr(json_stream, "ELEMENT_MAX", 5_000)
    file = tmp_path / "file.json"
    file.write_text('["' + "a" * 100_000)
    with pytest.raises(Invalid, match="256 million"):
        list(elements(file, None, expected=""))


def test_a_file_with_another_top_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text('{"a": 1}')
    with pytest.raises(Invalid, match="does not begin with a list"):
        list(elements(file, None, expected=""))
    with pytest.raises(Invalid, match="has no list 'jobs'"):
        list(elements(file, "jobs", expected=""))
