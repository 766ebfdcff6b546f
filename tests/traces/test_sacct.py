"""`sacct --parsable2`: jobs and steps, arrays and parts, runs put back in the queue, old and new resource strings."""

import gzip
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import SACCT

from conftest import Reader
from sublet.core.errors import Invalid
from sublet.traces import Fault, JobTable, read_jobs
from sublet.traces.instants import wall_us
from sublet.traces.slurm_runs import joined_runs
from sublet.traces.tres import from_gres, from_tres, gpus_of_gres, gpus_of_tres

HEADER = "JobID|Submit|Start|End|State|NNodes|AllocTRES|ReqTRES"
JOB = "{id}|2024-05-01T10:00:00|2024-05-01T10:05:00|2024-05-01T12:05:00|COMPLETED|1|gres/gpu=8|gres/gpu=8"


def at(text: str) -> int:
    return wall_us(f"2024-05-01T{text}", field="test")


def job(table: JobTable, name: str) -> dict[str, object]:
    (row,) = table.frame.filter(pl.col("job") == name).iter_rows(named=True)
    return row


@pytest.fixture
def sample(jobs_in: Reader) -> JobTable:
    return jobs_in(SACCT)


def test_a_gang_counts_all_its_gpus_and_every_field_finds_its_column(sample: JobTable) -> None:
    assert job(sample, "101") == {
        "job": "101", "submit_us": at("10:00:00"), "start_us": at("10:05:00"), "end_us": at("12:05:00"),
        "run_us": 7_200_000_000, "gpus": 16, "nodes": 2, "gpu_model": "a100", "pool": "gpu", "org": "vision", "user": "ada",
        "name": "train", "status": "completed", "spot": False, "restarts": 0, "line": 2,
    }  # fmt: skip


def test_the_hour_of_the_day_is_the_sites(sample: JobTable) -> None:
    hours = sample.frame["submit_us"].cast(pl.Datetime("us")).dt.hour()
    assert sample.clock == "local" and set(hours) == {10, 11, 12}


def test_steps_are_counted_as_steps_and_not_as_faults(sample: JobTable) -> None:
    assert sample.note("steps") == 2
    assert not any("batch" in name or "extern" in name for name in sample.frame["job"])


def test_tasks_of_arrays_and_parts_of_heterogeneous_jobs_are_jobs(sample: JobTable) -> None:
    assert job(sample, "102_4")["status"] == "failed"
    waiting = job(sample, "102_[5-10%2]")
    assert (waiting["status"], waiting["start_us"], waiting["end_us"], waiting["run_us"], waiting["gpus"]) == (
        "pending",
        None,
        None,
        0,
        1,
    )
    assert sample.note("array") == 1
    part = job(sample, "105+0")
    assert (part["gpus"], part["gpu_model"], part["pool"], part["spot"]) == (6, "a100+v100", "gpu", True)


def test_a_name_with_bars_does_no_harm_at_the_end_of_the_line(sample: JobTable) -> None:
    assert job(sample, "102_4")["name"] == "sweep|with|bars"


def test_runs_of_a_requeued_job_are_one_job(sample: JobTable) -> None:
    low = job(sample, "107")
    assert (low["submit_us"], low["start_us"], low["end_us"]) == (at("11:00:00"), at("11:01:00"), at("13:00:00"))
    assert (low["run_us"], low["restarts"], low["status"], low["spot"]) == (5_400_000_000, 1, "completed", True)
    assert sample.note("merged") == 1


def test_a_number_used_again_much_later_is_another_job(jobs_in: Reader) -> None:
    later = JOB.format(id=5).replace("2024-05", "2024-07")
    table = jobs_in("\n".join([HEADER, JOB.format(id=5), later]))
    assert len(table) == 2 and table.frame["restarts"].to_list() == [0, 0] and not table.note("merged")


def test_three_runs_without_run_times_sum_up_what_they_ran(jobs_in: Reader) -> None:
    runs = [("10:00:00", "10:10:00", "10:40:00"), ("10:40:01", "11:00:00", "11:10:00"), ("11:10:01", "Unknown", "Unknown")]
    states = ("NODE_FAIL", "REQUEUED", "PENDING")
    rows = [
        "|".join(["7", *(f"2024-05-01T{time}" if time != "Unknown" else time for time in times), state, "1", "", "gres/gpu=8"])
        for times, state in zip(runs, states, strict=True)
    ]
    table = jobs_in("\n".join([HEADER, JOB.format(id=8), *rows]))
    again = job(table, "7")
    assert (again["restarts"], again["status"], again["end_us"], again["start_us"]) == (2, "pending", None, at("10:10:00"))


def test_records_of_neighbouring_months_put_together_count_once(jobs_in: Reader) -> None:
    runs_on = JOB.format(id=5).replace("2024-05-01T12:05:00|COMPLETED", "Unknown|RUNNING")
    table = jobs_in("\n".join([HEADER, runs_on, HEADER, JOB.format(id=5), JOB.format(id=6)]))
    assert table.frame["job"].to_list() == ["5", "6"] and job(table, "5")["status"] == "completed"
    assert table.rows == 3 and table.note("merged") == 1, "a repeated line of names is no row"


def test_a_job_cancelled_while_it_waited_asked_for_gpus_and_never_ran(sample: JobTable) -> None:
    gone = job(sample, "108")
    assert (gone["gpus"], gone["start_us"], gone["end_us"], gone["run_us"], gone["status"]) == (
        4,
        None,
        at("11:50:00"),
        0,
        "cancelled",
    )


def test_a_running_job_has_no_end_whatever_it_has_run_so_far(sample: JobTable) -> None:
    on = job(sample, "109")
    assert (on["start_us"], on["end_us"], on["run_us"], on["status"]) == (at("12:30:00"), None, None, "running")
    assert sample.note("still_running") == 2


def test_bad_lines_are_counted_by_reason_with_their_place(sample: JobTable) -> None:
    assert set(sample.faults) == {
        Fault("has 5 fields, not 16", 1, (17,)),
        Fault("Submit is no date", 1, (13,)),
        Fault("has no resources, or counts them by task", 1, (16,)),
        Fault("Submit is empty", 1, (18,)),
        Fault("ends before it starts", 1, (14,)),
    }


def test_an_end_that_nobody_wrote_down_is_a_fault_unless_the_run_time_tells(jobs_in: Reader) -> None:
    lost = JOB.format(id=9).replace("2024-05-01T12:05:00", "Unknown")
    table = jobs_in("\n".join([HEADER, JOB.format(id=8), lost]))
    assert table.faults == (Fault("has ended, but when is not said", 1, (3,)),)
    timed = jobs_in("\n".join([HEADER + "|ElapsedRaw", JOB.format(id=8) + "|7200", lost + "|60"]))
    assert job(timed, "9")["end_us"] == at("10:06:00")


def test_clocks_that_were_set_back_do_not_make_a_fault(jobs_in: Reader) -> None:
    autumn = "9|2024-10-27T02:40:00|2024-10-27T02:50:00|2024-10-27T02:20:00|COMPLETED|1|gres/gpu=8|gres/gpu=8"
    table = jobs_in("\n".join([HEADER + "|ElapsedRaw", autumn + "|1800", JOB.format(id=8) + "|7200"]))
    night = job(table, "9")
    assert not table.faults and table.note("clock_change") == 1
    assert night["run_us"] == 1_800_000_000 and night["end_us"] == wall_us("2024-10-27T03:20:00", field="test")


def test_old_slurm_counts_generic_resources_by_node(jobs_in: Reader) -> None:
    header = "JobID|Submit|Start|End|State|NNodes|AllocGRES|ReqGRES|"
    rows = [
        "1|2017-01-04T16:57:11|2017-01-04T16:57:11|2017-01-04T18:00:00|COMPLETED|3|gpu:4|gpu:4|",
        "2|2017-01-04T16:57:12|2017-01-04T16:57:12|2017-01-04T18:00:00|COMPLETED|2||PER_NODE:gpu:k80:2|",
        "3|2017-01-04T16:57:13|2017-01-04T16:57:13|2017-01-04T18:00:00|COMPLETED|2||PER_TASK:gpu:2|",
        "4|2017-01-04T16:57:14|2017-01-04T16:57:14|2017-01-04T18:00:00|COMPLETED|1|craynetwork:1|craynetwork:1|",
    ]
    table = jobs_in("\n".join([header, *rows]))
    assert table.frame.select("job", "gpus", "gpu_model").rows() == [("1", 12, None), ("2", 4, "k80")]
    assert table.note("cpu_only") == 1 and table.faults == (Fault("has no resources, or counts them by task", 1, (4,)),)


def test_field_names_may_be_written_in_any_case_and_order(jobs_in: Reader) -> None:
    table = jobs_in(
        "state|nnodes|alloctres|jobid|submit|end|start\nCOMPLETED|2|gres/gpu=16|1|2024-05-01T10:00:00|2024-05-01T12:00:00|2024-05-01T11:00:00\n"
    )
    assert table.frame.select("job", "gpus", "nodes", "run_us").rows() == [("1", 16, 2, 3_600_000_000)]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("JobID|Start|End|State|AllocTRES", "has no column Submit"),
        ("JobID|Submit|Start|End|State", "has no column AllocTRES"),
    ],
)
def test_fields_that_are_needed_are_asked_for(jobs_in: Reader, header: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        jobs_in(header + "\n" + "|".join("1" for _ in header.split("|")) + "\n")
    assert refusal.value.field == "trace" and "JobID, Submit, Start, End, State" in str(refusal.value.hint)


def test_a_field_that_is_there_twice_is_refused(jobs_in: Reader) -> None:
    with pytest.raises(Invalid, match="has the field Submit twice") as refusal:
        jobs_in(f"{HEADER}|submit\n{JOB.format(id=1)}|2024-05-01T10:00:00\n")
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("option", "field"),
    [({"units": {"submit": "s"}}, "unit"), ({"trace": "x"}, "trace"), ({"gpus_per_worker": True}, "gpus_per_worker")],
)
def test_options_that_only_tables_take_are_refused(jobs_in: Reader, option: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid, match="format sacct takes no") as refusal:
        jobs_in(SACCT, **option)
    assert refusal.value.field == field and refusal.value.hint


def test_dates_need_no_origin(jobs_in: Reader) -> None:
    with pytest.raises(Invalid, match="has dates of its own") as refusal:
        jobs_in(SACCT, origin="2024-05-01")
    assert refusal.value.field == "origin"


def test_a_packed_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join([HEADER, *(JOB.format(id=f"{n}{random.random()}") for n in range(20_000))]).encode())
    broken = tmp_path / "sacct.gz"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Invalid, match="cannot be read as text") as refusal:
        read_jobs(broken)
    assert refusal.value.field == "trace" and refusal.value.hint


def test_output_without_its_first_line_is_not_taken_for_a_job(jobs_in: Reader) -> None:
    with pytest.raises(Invalid, match="no format that is known"):
        jobs_in(JOB.format(id=1) + "\n")


def test_a_long_log_that_begins_in_the_middle_is_complete_from_where_it_was_asked_for(jobs_in: Reader) -> None:
    """What `sacct --starttime` shows: everything that ran after it, and of what was submitted earlier only what lasted."""
    asked, rows = np.datetime64("2024-05-11T00:00:00"), [HEADER]
    for number in range(3_000):
        submit = np.datetime64("2024-05-01T00:00:00") + np.timedelta64(10 * number, "m")
        end = submit + np.timedelta64(2 if number % 300 else 11 * 24, "h")
        if end >= asked:
            rows.append(f"{number}|{submit}|{submit}|{end}|COMPLETED|1|gres/gpu=1|gres/gpu=1")
    table = jobs_in("\n".join(rows))
    assert 0 <= table.from_us - wall_us("2024-05-11", field="test") < 3_600_000_000
    assert table.note("before_start") >= 5


NOT_GPUS = ["cpu", "mem", "node", "billing", "gres/gpumem", "gres/gpuutil", "gres/shard"]
tres = st.lists(st.tuples(st.sampled_from(NOT_GPUS), st.integers(0, 999)), max_size=5)
models = st.dictionaries(st.sampled_from(["a100", "v100", "a100_1g.5gb"]), st.integers(1, 16), max_size=3)


@given(others=tres, typed=models, total=st.booleans(), seed=st.integers())
def test_gpus_of_a_tres_string_do_not_hang_on_order_or_on_other_resources(
    *, others: list[tuple[str, int]], typed: dict[str, int], total: bool, seed: int
) -> None:
    parts = [f"{name}={count}" for name, count in others] + [f"gres/gpu:{name}={count}" for name, count in typed.items()]
    parts += [f"gres/gpu={sum(typed.values())}"] if total else []
    random.Random(seed).shuffle(parts)
    text = ",".join(parts)
    expected = (sum(typed.values()), "+".join(sorted(typed)) or None)
    assert gpus_of_tres(text) == expected
    assert from_tres(pl.Series([text, None])).rows() == [expected, (None, None)]


@pytest.mark.parametrize(
    ("text", "nodes", "expected"),
    [
        ("gpu:a100:8(S:0-1)", 1, (8, "a100")),
        ("gpu:a100:4(S:0-1,4-5),mps:100", 2, (8, "a100")),
        ("gpu:2", 3, (6, None)),
        ("gpu", 2, (2, None)),
        ("gres:gpu:2", 1, (2, None)),
        ("gpu:a100", 1, (1, "a100")),
        ("gpu:a100:4,gpu:v100:4", 1, (8, "a100+v100")),
        ("PER_JOB:gpu:2", 5, (2, None)),
        ("PER_SOCKET:gpu:2", 5, (None, None)),
        ("gpu:A100_80GB:8(S:0-1),shard:A100_80GB:640(S:0-1)", 1, (8, "A100_80GB")),
        ("gpu:fake1:1(S:0),gpu:fake2:1(S:0)", 1, (2, "fake1+fake2")),
        ("(null)", 1, (0, None)),
        ("N/A", 1, (0, None)),
        ("", 1, (0, None)),
    ],
)
def test_gpus_of_a_gres_string(text: str, nodes: int, expected: tuple[int | None, str | None]) -> None:
    assert gpus_of_gres(text, nodes) == expected
    assert from_gres(pl.Series([text]), pl.Series([nodes])).rows() == [expected]


def test_counts_beyond_all_measure_are_faults_and_no_accident(jobs_in: Reader) -> None:
    huge = JOB.format(id=2).replace("gres/gpu=8|", f"gres/gpu={10**21}|").replace("|1|", f"|{10**12}|")
    table = jobs_in("\n".join([HEADER, JOB.format(id=1), huge]))
    assert table.faults == (Fault("AllocTRES is above 1,000,000", 1, (3,)),)


def test_jobs_that_occur_once_are_left_as_they_are() -> None:
    frame = pl.DataFrame({"job": ["1", "2"], "submit_us": [1, 2], "end_us": [2, 3]})
    found, notes = joined_runs(frame)
    assert found is frame and notes == ()
