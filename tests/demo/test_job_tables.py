"""The job table that the demo plays if it is given none, and what it says to a trace that is none."""

from pathlib import Path

import pytest

from sublet.core.errors import Invalid
from sublet.demo.run import PACKAGED
from sublet.traces import read_jobs


def test_the_packaged_day_is_small_whole_and_attributed() -> None:
    table = read_jobs(PACKAGED)
    assert len(table) == 227 and table.faults == ()
    assert PACKAGED.stat().st_size < 40_000
    assert "ElasticFlow" in PACKAGED.with_name("ATTRIBUTION.md").read_text()


def test_every_job_of_the_packaged_day_ran_and_started_when_it_was_submitted() -> None:
    table = read_jobs(PACKAGED)
    assert (table.duration_us > 0).all()
    assert table.note("start_unknown") == 227 and table.clock == "relative"


def test_a_file_that_is_no_trace_is_refused_with_field_and_way_out(tmp_path: Path) -> None:
    other = tmp_path / "prices.csv"
    other.write_text("provider,usd_h\nx,1\n")
    with pytest.raises(Invalid, match="its columns are: provider, usd_h") as refusal:
        read_jobs(other)
    assert refusal.value.hint and "sacct" in refusal.value.hint
