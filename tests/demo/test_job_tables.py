"""Job tables: what is read, what is left out and counted, and what is refused with the place named."""

from pathlib import Path

import polars as pl
import pytest

from sublet.core.errors import Invalid
from sublet.demo.run import PACKAGED
from sublet.traces import Fault, read_jobs


def csv(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "jobs.csv"
    file.write_text(text)
    return file


def test_a_csv_file_is_read_in_order_of_submission_and_parts_of_gpus_are_rounded_up(tmp_path: Path) -> None:
    table = read_jobs(csv(tmp_path, "job,submit_s,duration_s,gpus\nb,20,5,0.5\na, 10.5 ,60,8\n"))
    assert table.submit_us.tolist() == [10_500_000, 20_000_000]
    assert table.duration_us.tolist() == [60_000_000, 5_000_000]
    assert table.gpus.tolist() == [8, 1]
    assert table.faults == ()


def test_parquet_and_csv_give_the_same_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"submit_s": [1, 2], "duration_s": [3.5, 4.0], "gpus": [1, 2]})
    frame.write_parquet(tmp_path / "jobs.parquet")
    frame.write_csv(tmp_path / "jobs.csv")
    one, other = read_jobs(tmp_path / "jobs.parquet"), read_jobs(tmp_path / "jobs.csv")
    for name in ("submit_us", "duration_us", "gpus"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_rows_that_cannot_be_used_are_counted_with_their_reason_and_first_line(tmp_path: Path) -> None:
    rows = [
        "submit_s,duration_s,gpus",
        "0,10,1",
        "1,soon,1",
        "2,,1",
        "3,10,0",
        "4,-1,1",
        "5,x,1",
        "6,10,nan",
        "-7,1,1",
        "8,9,2",
    ]
    table = read_jobs(csv(tmp_path, "\n".join(rows)))
    assert len(table) == 2
    assert set(table.faults) == {
        Fault("duration_s is no number", 2, 3),
        Fault("duration_s is empty", 1, 4),
        Fault("gpus is not above 0", 1, 5),
        Fault("duration_s is not above 0", 1, 6),
        Fault("gpus is no number", 1, 8),
        Fault("submit_s is negative", 1, 9),
    }


def test_instants_in_milliseconds_are_refused_and_not_taken_for_seconds(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"jobs.csv:2: submit_s is above"):
        read_jobs(csv(tmp_path, "submit_s,duration_s,gpus\n1690000000000,10,1\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("submit_s,run,gpus\n1,2,3\n", "no column duration_s; its columns are: submit_s, run, gpus"),
        ("a,b\n1,2\n", "no column submit_s and no column duration_s and no column gpus"),
        ("submit_s,duration_s,gpus\n", "no job in .* can be used"),
        ("submit_s,duration_s,gpus\n1,2,many\n", r"jobs\.csv:2: gpus is no number"),
        ("", "cannot be read as CSV"),
    ],
)
def test_a_table_without_use_is_refused_naming_the_column_or_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        read_jobs(csv(tmp_path, text))
    assert refusal.value.field == "trace" and refusal.value.hint


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no file"):
        read_jobs(tmp_path / "nothing.csv")
    with pytest.raises(Invalid, match="neither Parquet nor CSV"):
        read_jobs(tmp_path / "jobs.xlsx")
    broken = tmp_path / "jobs.parquet"
    broken.write_bytes(b"PAR1 and then something else")
    with pytest.raises(Invalid, match="cannot be read as Parquet"):
        read_jobs(broken)
    pl.DataFrame({"submit_s": [["1"]], "duration_s": [1], "gpus": [1]}).write_parquet(broken)
    with pytest.raises(Invalid, match=r"column submit_s of .* holds List"):
        read_jobs(broken)


def test_the_packaged_day_is_small_whole_and_attributed() -> None:
    table = read_jobs(PACKAGED)
    assert len(table) == 227 and table.faults == ()
    assert PACKAGED.stat().st_size < 40_000
    assert "ElasticFlow" in PACKAGED.with_name("ATTRIBUTION.md").read_text()
