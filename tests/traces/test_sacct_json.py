"""`sacct --json` of several parsers, read job by job."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from samples import number, sacct_json, slurm_job

from conftest import Reader
from sublet.core.errors import Invalid
from sublet.traces import Fault, JobTable, Options, read_jobs
from sublet.traces.instants import wall_us


def read(jobs_in: Reader, *jobs: Any, **options: Any) -> JobTable:
    return jobs_in(json.dumps({"jobs": list(jobs), "meta": {}}), **options)


def job(table: JobTable, name: str) -> dict[str, Any]:
    (row,) = table.frame.filter(pl.col("job") == name).iter_rows(named=True)
    return row


@pytest.fixture
def sample(jobs_in: Reader) -> JobTable:
    return jobs_in(sacct_json())


@pytest.mark.parametrize("new", [False, True])
def test_early_and_late_parsers_say_the_same(jobs_in: Reader, new: bool) -> None:  # noqa: FBT001
    table = read(jobs_in, slurm_job(1, new=new, nodes=2, gpus=16))
    assert job(table, "1") == {
        "job": "1", "submit_us": 1714550400_000000, "start_us": 1714554000_000000, "end_us": 1714557600_000000,
        "run_us": 3600_000000, "gpus": 16, "nodes": 2, "gpu_model": "a100", "pool": "gpu", "org": "vision", "user": "ada",
        "name": "train", "status": "completed", "spot": False, "restarts": 0, "line": 1,
    }  # fmt: skip


def test_every_kind_of_job_is_understood(sample: JobTable) -> None:
    assert job(sample, "4")["end_us"] is None and job(sample, "4")["status"] == "running"
    waiting = job(sample, "5")
    assert (waiting["gpus"], waiting["start_us"], waiting["run_us"], waiting["status"]) == (4, None, 0, "pending")
    assert sample.note("cpu_only") == 1
    array = job(sample, "7_3")
    assert (array["pool"], array["spot"]) == ("gpu", True)
    assert (job(sample, "8")["start_us"], job(sample, "8")["run_us"]) == (None, 0)
    assert set(sample.faults) == {
        Fault("is no job: it has no time", 1, (9,)),
        Fault("is no job: an entry is of another kind", 1, (10,)),
    }


def test_a_start_that_is_the_time_of_eligibility_is_found_again(sample: JobTable) -> None:
    """Parsers up to Slurm 23.02 print the eligible time as the start: the job waited two hours and ran one."""
    late = job(sample, "3")
    assert (late["start_us"], late["run_us"]) == (1714557600_000000, 3600_000000)
    assert sample.note("start_repaired") == 1
    assert job(sample, "1")["start_us"] == 1714554000_000000, "a start that fits is left alone"


def test_a_job_without_resources_is_a_fault(jobs_in: Reader) -> None:
    table = read(jobs_in, slurm_job(1, new=True), slurm_job(2, new=True, tres={}))
    assert table.faults == (Fault("tres is empty", 1, (2,)),)


@pytest.mark.parametrize(
    "wrong", [{"user": ["ada"]}, {"time": {"end": 10**30}}, {"state": {}}, {"allocation_nodes": "two"}, {"tres": [1]}]
)
def test_a_job_with_an_entry_of_another_kind_is_a_fault_and_no_accident(jobs_in: Reader, wrong: dict[str, Any]) -> None:
    table = read(jobs_in, slurm_job(1, new=True), slurm_job(2, new=True) | wrong)
    ((fault,), jobs) = table.faults, len(table)
    assert jobs == 1 and fault.lines == (2,) and fault.reason.startswith("is no job: ")


def test_time_on_hold_is_not_taken_for_waiting(jobs_in: Reader) -> None:
    held = {"start": 1714550400, "end": 1714557600, "elapsed": 3600, "suspended": 3600}
    table = read(jobs_in, slurm_job(1, new=True, time=held))
    assert job(table, "1")["start_us"] == 1714550400_000000 and not table.note("start_repaired")


def test_parts_arrays_and_restarts_are_named_as_sacct_names_them(jobs_in: Reader) -> None:
    table = read(
        jobs_in,
        slurm_job(11, new=True, het={"job_id": 10, "job_offset": number(1)}),
        slurm_job(12, new=True, array={"job_id": 12, "task_id": number(None), "task": "0-99%4"}, restart_cnt=2),
        slurm_job(13, new=False, array={"job_id": 13, "task_id": 0, "task": None}),
    )
    assert set(table.frame["job"]) == {"10+1", "12_[0-99%4]", "13_0"}
    assert job(table, "12_[0-99%4]")["restarts"] == 2


def test_runs_of_a_requeued_job_are_one_job(jobs_in: Reader) -> None:
    first = slurm_job(1, new=True, state="PREEMPTED")
    second = slurm_job(1, new=True, time={"submission": 1714557601, "start": 1714560000, "end": 1714563600})
    table = read(jobs_in, first, second)
    assert job(table, "1") | {"line": 0} == job(table, "1") | {
        "line": 0,
        "restarts": 1,
        "run_us": 7200_000000,
        "end_us": 1714563600_000000,
    }


def test_hours_are_utc_until_the_site_says_its_zone(jobs_in: Reader) -> None:
    there = read(jobs_in, slurm_job(1, new=True))
    assert there.note("clock") == 1
    moved = read(jobs_in, slurm_job(1, new=True), zone="Asia/Shanghai")
    assert moved.note("clock") == 0
    assert moved.submit_us[0] - there.submit_us[0] == 8 * 3600_000000
    assert moved.submit_us[0] == wall_us("2024-05-01T16:00:00", field="test")
    with pytest.raises(Invalid, match="no time zone 'Mars/Olympus'") as refusal:
        read(jobs_in, slurm_job(1, new=True), zone="Mars/Olympus")
    assert refusal.value.field == "zone"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"meta": {"submission": 1}, "jobs": 5}', "'jobs' is no list"),
        ('{"jobs": [{"time": {"submission": 1}}', "it breaks off"),
        ('{"jobs": [{"time": {"submission": 1', "it breaks off or is damaged"),
        ('{"jobs": [{"submission": oh no}' + " " * 200 + "]}", "it breaks off or is damaged"),
        ('{"jobs": [{"submission": 1} {"submission": 1}]}', "'{' stands where ']' should"),
        ('{"jobs": [{"submission": 1}]}', "no job in .* can be used .*:1: is no job: it has no time"),
        ('{"jobs": [], "was": "submission"}', "no job in .* can be used .it has no rows"),
    ],
)
def test_what_is_no_log_of_jobs_is_refused(jobs_in: Reader, text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        jobs_in(text, format="sacct_json")
    assert refusal.value.field == "trace" and "jobs" in str(refusal.value.hint)


def test_a_large_file_is_read_job_by_job_and_says_how_far_it_is(tmp_path: Path) -> None:
    many = [slurm_job(n, new=bool(n % 2), name="é" * 300) for n in range(6_000)]
    file = tmp_path / "sacct.json"
    file.write_text(json.dumps({"errors": [], "jobs": many}, indent=2, ensure_ascii=False))
    shares: list[float] = []
    table = read_jobs(file, Options(progress=lambda _, share: shares.append(share)))
    assert len(table) == 6_000 and table.frame["name"].unique().to_list() == ["é" * 300]
    assert len(shares) > 5 and shares == sorted(shares) and shares[-1] == 1.0
