"""Any table of jobs: columns and units by name, what follows from what, and what is a fault."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from samples import TABLE

from conftest import Reader
from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US
from sublet.traces import Fault, JobTable, Options, mapping, read_jobs
from sublet.traces.instants import wall_us


def job(table: JobTable, name: str) -> dict[str, object]:
    (row,) = table.frame.filter(pl.col("job") == name).iter_rows(named=True)
    return row


def test_jobs_come_in_order_of_submission_and_parts_of_gpus_are_rounded_up(jobs_in: Reader) -> None:
    table = jobs_in("job_id,submit_s,duration_s,gpus\nb,20,5,0.5\na, 10.5 ,60,8\n")
    assert table.frame["job"].to_list() == ["a", "b"]
    assert table.submit_us.tolist() == [10_500_000, 20_000_000]
    assert table.duration_us.tolist() == [60_000_000, 5_000_000]
    assert table.gpus.tolist() == [8, 1]
    assert table.faults == () and table.note("parts") == 1
    assert all(array.dtype == np.int64 for array in (table.submit_us, table.duration_us, table.gpus))


def test_parquet_and_text_with_any_separator_give_the_same_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"submit_s": [1, 2], "duration_s": [3.5, 4.0], "gpus": [1, 2], "user": ["x,y", None]})
    frame.write_parquet(tmp_path / "jobs.parquet")
    for name, separator in (("jobs.csv", ","), ("jobs.tsv", "\t"), ("jobs.txt", ";")):
        frame.write_csv(tmp_path / name, separator=separator)
        one, other = read_jobs(tmp_path / "jobs.parquet"), read_jobs(tmp_path / name)
        assert one.frame.drop("line", "job").equals(other.frame.drop("line", "job"))
    assert (one.frame["line"].to_list(), other.frame["line"].to_list()) == ([1, 2], [2, 3])


def test_times_that_are_not_given_follow_from_the_others(jobs_in: Reader) -> None:
    rows = ["job_id,submit_s,start_s,end_s,duration_s,gpus,status"]
    rows += [
        "all,0,10,30,15,1,",
        "run,1,10,30,,1,",
        "end,2,10,,20,1,",
        "start,3,,30,20,1,",
        "none,4,,,20,1,",
        "never,5,,30,,1,Killed",
    ]
    table = jobs_in("\n".join(rows))
    found = {
        name: [us / 1e6 if us is not None else None for us in times]
        for name, *times in table.frame.select("job", "start_us", "end_us", "run_us").rows()
    }
    assert found == {
        "all": [10, 30, 15],  # was suspended for 5 s
        "run": [10, 30, 20],
        "end": [10, 30, 20],
        "start": [10, 30, 20],
        "none": [None, 24, 20],  # as if it had started when it was submitted
        "never": [None, 30, 0],
    }
    assert table.note("start_unknown") == 1


def test_a_job_without_submission_was_there_before_and_one_without_end_goes_on(jobs_in: Reader) -> None:
    table = jobs_in(TABLE)
    early, always, on = (job(table, name) for name in "cdb")
    assert (early["submit_us"], early["end_us"], early["run_us"]) == (0, 50_000_000, None)
    assert (always["submit_us"], always["start_us"], always["end_us"]) == (0, None, None)
    assert (on["end_us"], on["run_us"], on["gpus"], on["spot"]) == (None, None, 1, True)
    assert (table.note("times_unknown"), table.note("still_running"), table.note("before_start")) == (1, 2, 2)
    assert job(table, "e")["run_us"] == 0, "it waited, and was withdrawn"
    assert (job(table, "n")["submit_us"], table.note("negative_queue")) == (80_000_000, 1)


def test_where_no_column_can_say_that_a_job_goes_on_an_empty_cell_is_a_fault(jobs_in: Reader) -> None:
    table = jobs_in("submit_s,duration_s,gpus,status\n0,10,1,\n1,,1,\n2,,1,Running\n,5,1,\n")
    assert set(table.faults) == {Fault("duration_s is empty", 1, (3,)), Fault("submit_s is empty", 1, (5,))}
    assert table.frame["status"].to_list() == [None, "running"]


def test_rows_that_cannot_be_used_are_counted_with_their_reason_and_first_lines(jobs_in: Reader) -> None:
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
    rows += ["9,10,inf", "10,1,2000000", "11,1e12,1", *["12,?,1"] * 6]
    table = jobs_in("\n".join(rows))
    assert len(table) == 2 and table.note("cpu_only") == 1
    assert set(table.faults) == {
        Fault("duration_s is no number", 8, (3, 7, 14, 15, 16)),
        Fault("duration_s is empty", 1, (4,)),
        Fault("duration_s is negative", 1, (6,)),
        Fault("gpus is no number", 1, (11,)),
        Fault("gpus is empty", 1, (8,)),
        Fault("gpus is above 1,000,000", 1, (12,)),
        Fault("submit_s is negative", 1, (9,)),
        Fault("duration_s is above a hundred years", 1, (13,)),
    }
    assert table.rows == 18


def test_instants_in_milliseconds_are_refused_and_not_taken_for_seconds(jobs_in: Reader) -> None:
    with pytest.raises(Invalid, match=r"trace\.txt:2: submit_s is after the year 2286: is it in a finer unit\?"):
        jobs_in("submit_s,duration_s,gpus\n1690000000000,10,1\n")
    table = jobs_in("submit_s,duration_s,gpus\n1690000000000,10,1\n", units={"submit": "epoch_ms"})
    assert table.submit_us.tolist() == [1_690_000_000_000_000] and table.clock == "local"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("submit_s,run,gpus\n1,2,3\n", "no column duration_s; its columns are: submit_s, run, gpus"),
        ("submit_s,duration_s,gpus\n", r"no job in .* can be used \(it has no rows\)"),
        ("submit_s,duration_s,gpus\n1,2,many\n", r"trace\.txt:2: gpus is no number"),
        ("submit_s,duration_s,gpus\n1,2,0\n", r"can be used \(1 job without a GPU: left out\)"),
        ('submit_s,duration_s,gpus\n1,2,3,"4,5"\n', "cannot be read as CSV"),
    ],
)
def test_a_table_without_use_is_refused_naming_the_column_or_the_line(jobs_in: Reader, text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        jobs_in(text)
    assert refusal.value.field == "trace" and refusal.value.hint


def test_lines_of_another_length_are_faults(jobs_in: Reader) -> None:
    table = jobs_in("submit_s,duration_s,gpus\n0,1,1\n1,2,3,4\n\n2,3\n4,5,6\n")
    assert table.gpus.tolist() == [1, 6]
    assert table.faults == (Fault("has 2 fields, not 3", 1, (5,)), Fault("has 4 fields, not 3", 1, (3,)))


def test_a_column_that_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "jobs"
    pl.DataFrame({"submit_s": [["1"]], "duration_s": [1], "gpus": [1]}).write_parquet(file)
    with pytest.raises(Invalid, match=r"column submit_s holds List.*, not times"):
        read_jobs(file)
    pl.DataFrame({"submit_s": [1], "duration_s": [1], "gpus": [True]}).write_parquet(file)
    with pytest.raises(Invalid, match="column gpus holds Boolean, not numbers"):
        read_jobs(file)


OTHERS = (
    "JobName,Queue,When,Until,Cards,Pods\nx,q1,2024-05-01 10:00:00,2024-05-01T11:30:00.5,2,4\ny,q2,2024-05-01 09:00:00Z,,1,1\n"
)


def test_columns_of_any_name_and_dates_are_mapped_to_ours(jobs_in: Reader) -> None:
    columns = {"job": "JobName", "pool": "Queue", "submit": "When", "end": "Until", "gpus": "Cards", "workers": "Pods"}
    table = jobs_in(OTHERS, columns=columns)
    assert table.clock == "local" and table.pools == ("q1", "q2")
    assert job(table, "x")["end_us"] == wall_us("2024-05-01T11:30:00", field="test") + 500_000
    assert job(table, "x")["gpus"] == 2
    gang = jobs_in(OTHERS, columns=columns, gpus_per_worker=True)
    assert (job(gang, "x")["gpus"], job(gang, "x")["nodes"]) == (8, 4)


def test_what_is_said_to_be_utc_is_moved_to_the_zone_of_the_site_and_nothing_else_is(jobs_in: Reader) -> None:
    table = jobs_in(OTHERS, columns={"submit": "When", "end": "Until", "gpus": "Cards", "job": "JobName"}, zone="Europe/Berlin")
    assert job(table, "x")["submit_us"] == wall_us("2024-05-01T10:00:00", field="test")
    assert job(table, "y")["submit_us"] == wall_us("2024-05-01T11:00:00", field="test")


@pytest.mark.parametrize(
    ("unit", "value", "clock", "us"),
    [
        ("s", "7200", "relative", 2 * HOUR_US),
        ("ms", "7200000", "relative", 2 * HOUR_US),
        ("us", "7200000000", "relative", 2 * HOUR_US),
        ("min", "120", "relative", 2 * HOUR_US),
        ("h", "2", "relative", 2 * HOUR_US),
        ("epoch", "7200", "local", 2 * HOUR_US),
        ("epoch_ms", "7200000", "local", 2 * HOUR_US),
        ("iso", "1970-01-01T02:00:00", "local", 2 * HOUR_US),
        ("iso", "1970-01-01 02:00", "local", 2 * HOUR_US),
        ("iso", "1970-01-02", "local", 24 * HOUR_US),
        ("iso", "1970-01-01T02:00:00+09:00", "local", 2 * HOUR_US),
    ],
)
def test_every_unit_of_time_is_read(jobs_in: Reader, unit: str, value: str, clock: str, us: int) -> None:
    table = jobs_in(f"submit_s,duration_s,gpus\n{value},1,1\n", units={"submit": unit, "run": "ms"})
    assert (table.submit_us.tolist(), table.clock, table.duration_us.tolist()) == ([us], clock, [1_000])


def test_dates_of_a_parquet_file_are_read_with_and_without_their_zone(tmp_path: Path) -> None:
    when = pl.Series(["2024-05-01T10:00:00"]).str.to_datetime()
    for name, column, hour in (
        ("naive", when, 10),
        ("utc", when.dt.replace_time_zone("UTC"), 19),
        ("there", when.dt.replace_time_zone("Asia/Tokyo"), 10),
    ):
        pl.DataFrame({"submit_s": column, "duration_s": [60], "gpus": [1]}).write_parquet(tmp_path / name)
        table = read_jobs(tmp_path / name, Options(zone="Asia/Tokyo"))
        assert table.submit_us.tolist() == [wall_us(f"2024-05-01T{hour}:00:00", field="test")], name


def test_a_trace_with_a_clock_of_its_own_gets_the_origin_it_is_told(jobs_in: Reader) -> None:
    text = "submit_s,duration_s,gpus\n3600,1,1\n7200,1,1\n"
    assert jobs_in(text).clock == "relative"
    told = jobs_in(text, origin="2024-03-01", until="2024-03-01T01:30")
    assert told.clock == "local"
    assert told.submit_us.tolist() == [wall_us("2024-03-01T01:00:00", field="test")] and told.note("late") == 1


def test_half_nodes_are_rounded_up_worker_by_worker(jobs_in: Reader) -> None:
    text = "job_id,submit_s,duration_s,gpus,workers\na,0,1,1.5,3\nb,1,1,9,2\nc,2,1,0.5,\n"
    assert jobs_in(text).frame.select("gpus", "nodes").rows() == [(3, 3), (9, 2), (1, 1)]
    assert jobs_in(text, gpus_per_worker=True).frame.select("gpus", "nodes").rows() == [(6, 3), (18, 2), (1, 1)]
    assert jobs_in(text, units={"gpus": "8"}).frame["gpus"].to_list() == [12, 72, 4]


def test_workers_that_cannot_be_are_faults(jobs_in: Reader) -> None:
    text = "submit_s,duration_s,gpus,workers\n0,1,1,1\n1,1,1,0\n2,1,1,1e20\n3,1,-0.25,1\n4,1,1,9999999\n"
    table = jobs_in(text, gpus_per_worker=True)
    assert set(table.faults) == {
        Fault("workers is not above 0", 1, (3,)),
        Fault("workers is no number", 1, (4,)),
        Fault("gpus is negative", 1, (5,)),
        Fault("gpus is above 1,000,000", 1, (6,)),
    }
    assert jobs_in(text).faults[-1] == Fault("workers is above 1,000,000", 1, (6,))


def test_one_of_several_traces_has_to_be_chosen(jobs_in: Reader) -> None:
    text = "trace,submit_s,duration_s,gpus\nx,1,1,1\ny,2,1,2\ny,3,1,3\n"
    with pytest.raises(Invalid, match="holds several traces: x, y") as refusal:
        jobs_in(text)
    assert refusal.value.field == "trace"
    table = jobs_in(text, trace="y")
    assert table.gpus.tolist() == [2, 3] and table.note("other_trace") == 1 and table.rows == 3
    with pytest.raises(Invalid, match="has no trace 'z'") as refusal:
        jobs_in(text, trace="z")
    assert refusal.value.hint == "it has x, y"
    with pytest.raises(Invalid, match="no column that names a trace"):
        jobs_in("submit_s,duration_s,gpus\n1,1,1\n", trace="x")


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"columns": {"colour": "gpus"}}, "column", "there is no column 'colour' to map"),
        ({"units": {"colour": "s"}}, "unit", "there is no column 'colour' to map"),
        ({"columns": {"gpus": "Cards"}}, "column", "has no column Cards"),
        ({"units": {"submit": "weeks"}}, "unit", "'weeks' is no unit of time"),
        ({"units": {"gpus": "many"}}, "unit", "'many' is no unit of GPUs"),
        ({"units": {"run": "iso"}}, "unit", "duration_s is a length of time"),
        ({"units": {"submit": "epoch"}}, "unit", "submit_s holds dates and start_s counts"),
        ({"until": "tomorrow"}, "until", "'tomorrow' is no number of seconds"),
        ({"until": "-5"}, "until", "the trace begins at day 0.00, after its end -5"),
        ({"origin": "noon"}, "origin", "'noon' is no date"),
        ({"pool": "colour"}, "pool", "there is no pool 'colour'"),
    ],
)
def test_options_that_lead_nowhere_are_refused_by_name(
    jobs_in: Reader, options: dict[str, object], field: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        jobs_in("submit_s,start_s,duration_s,gpus\n1,2,3,4\n", format="table", **options)
    assert refusal.value.field == field and refusal.value.hint


def test_a_mapping_is_read_from_the_command_line() -> None:
    assert mapping(["submit=When:iso", "gpus = Cards:0.01", "end=a:b"]) == (
        {"submit": "When", "gpus": "Cards", "end": "a:b"},
        {"submit": "iso", "gpus": "0.01"},
    )
    for wrong in ("submit", "=x", "submit="):
        with pytest.raises(Invalid, match="does not name two columns") as refusal:
            mapping([wrong])
        assert refusal.value.field == "column" and refusal.value.hint
    with pytest.raises(Invalid, match="column submit is given twice"):
        mapping(["submit=a", "submit=b"])


def test_words_for_a_status_are_ours_and_strange_ones_are_named(jobs_in: Reader) -> None:
    words = ["Pass", "CANCELLED by 1000", "OUT_OF_ME+", "preempted", "Wobbly", ""]
    rows = "\n".join(f"{n},10,1,{word}" for n, word in enumerate(words))
    table = jobs_in(f"submit_s,duration_s,gpus,status\n{rows}\n")
    assert table.frame["status"].to_list() == ["completed", "cancelled", "unknown", "reclaimed", "unknown", None]
    (note,) = [note for note in table.notes if note.kind == "unknown_status"]
    assert note.count == 2 and "Wobbly" in note.says


def test_restarts_of_a_table_are_its_own_and_a_job_may_be_known_by_its_start_alone(jobs_in: Reader) -> None:
    table = jobs_in("start,end_s,gpus,restarts\n1,5,1,3\n2,6,1,\n", columns={"start": "start"}, format="table")
    assert table.frame.select("submit_us", "restarts").rows() == [(1_000_000, 3), (2_000_000, 0)]
    assert table.note("submit_unknown") == 2


def test_a_trace_without_any_time_is_refused(jobs_in: Reader) -> None:
    with pytest.raises(Invalid, match="no job of the trace has any time") as refusal:
        jobs_in("submit_s,end_s,gpus\n,,1\n,,2\n")
    assert refusal.value.hint
    with pytest.raises(Invalid, match="has no column gpus and no column submit_s and no column duration_s"):
        jobs_in("a,b\n1,2\n", format="table")


def test_jobs_without_an_end_for_a_month_are_doubted(jobs_in: Reader) -> None:
    day = 86_400
    table = jobs_in(f"submit_s,start_s,end_s,gpus\n0,0,,1\n{20 * day},{20 * day},,1\n{40 * day},{40 * day},{41 * day},1\n")
    assert (table.note("still_running"), table.note("long_running")) == (2, 1)
