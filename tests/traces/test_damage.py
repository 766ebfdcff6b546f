"""Whatever happens to a file, the answer is a table that adds up or a refusal, never an accident."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import SAMPLES

from sublet.core.errors import Invalid
from sublet.traces import JobTable, demand_of, read_trace
from sublet.traces.findings import rows_left_out

DAMAGE = [
    "",
    "nan",
    "-1",
    "1e30",
    "x",
    "None",
    "9" * 20,
    "2024-05-01T10:00:00",
    '"',
    "|",
    ",",
    "\t",
    "null",
    "{}",
    "[]",
    "é",
    "\r",
    "\n",
]

damages = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([0, 1, 3, 10, 40]), st.sampled_from(DAMAGE)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=damages)
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, name: str, done: list[tuple[float, int, str]]) -> None:
    file = SAMPLES[name].write(tmp_path)
    text = file.read_text()
    for where, length, put in done:
        at = int(where * len(text))
        text = text[:at] + put + text[at + length :]
    file.write_text(text)
    refused: Invalid | None = None
    try:
        table = read_trace(file, format=name)
    except Invalid as refusal:
        refused = refusal
    if refused is not None:
        assert refused.field and refused.hint
    elif isinstance(table, JobTable):
        assert table.rows == len(table) + rows_left_out(table.faults, table.notes)
        assert (demand_of(table).frame["gpus"].drop_nulls() >= 0).all()
