"""Published traces: what each says of gangs, parts of GPUs, attempts, and jobs that its window cuts."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from samples import ALIBABA_SPOT, HELIOS, OPENB, PAI_JOBS, PAI_TASKS, SAMPLES, attempt, philly, philly_job

from conftest import Reader
from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US, SECOND_US
from sublet.traces import Fault, JobTable, demand_of, read_jobs
from sublet.traces.formats.pai2020 import JOBS, TASKS
from sublet.traces.instants import wall_us


def job(table: JobTable, name: str) -> dict[str, Any]:
    (row,) = table.frame.filter(pl.col("job").str.starts_with(name)).iter_rows(named=True)
    return row


def wall(text: str) -> int:
    return wall_us(text, field="test")


# Alibaba, spot


def test_alibabas_gangs_count_gpus_times_workers_and_its_spot_jobs_give_way(jobs_in: Reader) -> None:
    table = jobs_in(ALIBABA_SPOT)
    gang = job(table, "437260")
    assert (gang["gpus"], gang["nodes"], gang["spot"], gang["pool"], gang["org"]) == (16, 16, True, "A100-SXM4-80GB", "57")
    assert (job(table, "437261")["gpus"], job(table, "437261")["spot"]) == (752, False)
    assert job(table, "253689")["gpus"] == 4 and table.note("parts") == 1
    assert table.clock == "relative" and set(table.faults) == {
        Fault("gpu_request is no number", 1, (11,)),
        Fault("worker_num is not above 0", 1, (8,)),
        Fault("submit_time is empty", 1, (9,)),
        Fault("duration is empty", 1, (7,)),
        Fault("duration is negative", 1, (10,)),
    }


def test_many_jobs_that_end_in_the_traces_last_instant_go_on(jobs_in: Reader) -> None:
    header, *_ = ALIBABA_SPOT.splitlines()
    rows = [f"{n},1,A10,1,1,1,{n * 600},{60_000 - n * 600 if n % 4 == 0 else 30},HP" for n in range(100)]
    table = jobs_in("\n".join([header, *rows]))
    assert (table.until_us, table.note("still_running")) == (60_000 * SECOND_US, 25)
    assert table.frame["end_us"].null_count() == table.frame["run_us"].null_count() == 25
    assert demand_of(table).frame["gpus"].to_list()[-1] == 25
    few = jobs_in("\n".join([header, *rows[64:]]))
    assert few.until_us == table.until_us and few.note("still_running") == 0, "nine may happen to end together"


# PAI


@pytest.fixture
def pai(tmp_path: Path) -> JobTable:
    return read_jobs(SAMPLES["pai2020"].write(tmp_path))


def test_pais_tasks_are_joined_to_jobs_and_percent_become_gpus_by_instance(pai: JobTable) -> None:
    many = job(pai, "aa3f")
    assert (many["gpus"], many["nodes"], many["gpu_model"], many["pool"], many["status"]) == (4, 3, "T4", "T4", "failed")
    assert (many["name"], many["user"], many["line"]) == ("worker", "58540f191766", 2)
    assert many["end_us"] - many["start_us"] == 230 * SECOND_US, "from the first task with a GPU to the last"
    assert (job(pai, "4b3f")["gpus"], pai.note("parts"), pai.note("merged"), pai.note("cpu_only")) == (1, 2, 2, 1)
    assert (job(pai, "bb3f")["end_us"], job(pai, "bb3f")["status"]) == (None, "running")
    assert (job(pai, "cc3f")["start_us"], job(pai, "cc3f")["run_us"], job(pai, "cc3f")["gpus"]) == (None, 0, 8)
    assert set(pai.faults) == {Fault("inst_num is not above 0", 1, (9,)), Fault("has ended, but when is not said", 1, (10,))}


def test_pais_hours_are_those_of_shanghai_and_submissions_those_of_the_job_table(pai: JobTable) -> None:
    assert job(pai, "4b3f")["submit_us"] == 1_739_150 * SECOND_US + 8 * HOUR_US
    assert pai.clock == "local" and pai.note("clock") > 0


def test_without_the_job_table_a_job_is_submitted_when_it_is_launched(tmp_path: Path) -> None:
    file = tmp_path / "pai_task_table.csv"
    file.write_text(PAI_TASKS)
    table = read_jobs(file)
    assert job(table, "4b3f")["submit_us"] == job(table, "4b3f")["start_us"]
    assert table.note("submit_unknown") == len(table) == 4
    assert Fault("start_time is empty", 1, (6,)) in table.faults, "one that waits has no time at all"


def test_the_job_table_leads_to_the_task_table_beside_it(tmp_path: Path, pai: JobTable) -> None:
    assert read_jobs(tmp_path / "pai_job_table.csv").frame.equals(pai.frame)
    (tmp_path / "pai_task_table.csv").unlink()
    with pytest.raises(Invalid, match="does not say how many GPUs") as refusal:
        read_jobs(tmp_path / "pai_job_table.csv")
    assert refusal.value.hint and "pai_task_table.csv" in refusal.value.hint


def test_a_line_of_column_names_makes_no_difference(tmp_path: Path, pai: JobTable) -> None:
    (tmp_path / "pai_task_table.csv").write_text(",".join(TASKS) + "\n" + PAI_TASKS)
    (tmp_path / "pai_job_table.csv").write_text(",".join(JOBS) + "\n" + PAI_JOBS)
    named = read_jobs(tmp_path / "pai_task_table.csv")
    assert named.frame.drop("line").equals(pai.frame.drop("line"))
    assert (named.frame["line"] == pai.frame["line"] + 1).all()


# Philly


def test_phillys_attempts_are_runs(jobs_in: Reader) -> None:
    table = jobs_in(philly())
    twice = job(table, "application_1")
    assert (twice["submit_us"], twice["start_us"]) == (wall("2017-10-07T01:11:39"), wall("2017-10-07T01:12:09"))
    assert twice["end_us"] == wall("2017-10-09T06:53:12")
    assert twice["run_us"] == (74 + 2 * 86_400 + 5 * 3_600 + 39 * 60 + 42) * SECOND_US
    assert (twice["restarts"], twice["gpus"], twice["nodes"], twice["pool"], twice["status"]) == (
        1,
        16,
        2,
        "ee9e8c",
        "completed",
    )


def test_a_philly_job_without_a_last_end_goes_on_and_one_without_attempts_is_left_out(jobs_in: Reader) -> None:
    table = jobs_in(philly())
    assert (job(table, "application_2")["end_us"], job(table, "application_2")["status"]) == (None, "running")
    assert (table.note("gpus_unknown"), table.note("cpu_only")) == (1, 1)
    lost = job(table, "application_4")
    assert (lost["start_us"], lost["run_us"]) == (None, None), "the log lost its start: it may have run"
    assert set(table.faults) == {
        Fault("is no job: a time is no date", 1, (5,)),
        Fault("is no job: it has no attempts", 1, (6,)),
        Fault("ends before it starts", 1, (9,)),
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([1], "is no job: an entry is of another kind"),
        ([philly_job("1", "2017-10-07 01:11:39", [{"start_time": None, "end_time": None}])], "is no job: it has no detail"),
        ([philly_job("1", "2017-10-07 01:11:39", [])], "1 job without an attempt, so without known GPUs: left out"),
        ([philly_job("1", None, [attempt("2017-10-07 04:00:00", "None", 0)])], "1 job without a GPU: left out"),  # type: ignore[arg-type]
    ],
)
def test_a_philly_log_without_a_usable_job_is_refused(jobs_in: Reader, wrong: list[Any], said: str) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        jobs_in(json.dumps(wrong), format="philly")
    assert refusal.value.hint and "cluster_job_log" in refusal.value.hint


# Helios, Acme


def test_helios_is_a_slurm_log_in_local_time(jobs_in: Reader) -> None:
    table = jobs_in(HELIOS)
    gang = job(table, "1425512")
    assert (gang["gpus"], gang["nodes"], gang["pool"], gang["org"], gang["status"]) == (16, 2, "vchbv", "vchbv", "failed")
    assert gang["submit_us"] == wall("2020-06-09T18:41:27") and table.clock == "local"
    assert job(table, "1425514")["status"] == "node_fail" and job(table, "1425515")["status"] == "unknown"
    assert (table.note("unknown_status"), table.note("negative_queue"), table.note("cpu_only")) == (1, 1, 1)
    assert set(table.faults) == {
        Fault("start_time is no date", 1, (7,)),
        Fault("has ended, but when is not said", 1, (8,)),
    }


def test_a_log_that_is_cut_at_its_last_submission_ends_there(jobs_in: Reader) -> None:
    header, first, *_ = HELIOS.splitlines()
    many = [
        first.replace("1425511", str(n)).replace("18:41:01,2020-06-09 18:41:01", f"18:{n}:01,2020-06-09 18:{n}:01")
        for n in range(10, 50)
    ]
    table = jobs_in("\n".join([header, *many]))
    assert table.until_us == wall("2020-06-09T18:49:01"), "after it there are only ends, for half a day"
    assert table.note("cut") == 40 and job(table, "10")["run_us"] == 38_708 * SECOND_US, "what it ran stays known"
    few = jobs_in("\n".join([header, *many[:20]]))
    assert few.until_us == wall("2020-06-10T04:55:09"), "a handful of jobs has no usual silence"


def test_acme_has_the_same_columns_and_times_in_utc(jobs_in: Reader) -> None:
    text = (
        "job_id,user,node_num,gpu_num,cpu_num,mem_per_pod_GB,shared_mem_per_pod,type,state,submit_time,start_time,end_time,"
        "fail_time,stop_time,duration,queue,gpu_time\n"
        "dlctk696s0jbvitv,uf794,8,64,960,1000,100.0,Other,FAILED,2023-05-17 11:00:58+00:00,2023-05-17 11:01:08+00:00,"
        "2023-05-17 11:01:16+00:00,2023-05-17 11:01:16+00:00,,18,10.0,1152.0\n"
    )
    there = job(jobs_in(text, zone="Asia/Shanghai"), "dlctk")
    assert (there["gpus"], there["nodes"], there["pool"]) == (64, 8, "all")
    assert there["submit_us"] == wall("2023-05-17T19:00:58") and there["run_us"] == 8 * SECOND_US
    assert job(jobs_in(text), "dlctk")["submit_us"] == wall("2023-05-17T11:00:58")


# openb


def test_openbs_pods_may_share_a_gpu_and_best_effort_gives_way(jobs_in: Reader) -> None:
    table = jobs_in(OPENB)
    assert table.frame["gpus"].to_list() == [1, 1, 8, 1, 1, 1] and table.note("parts") == 2
    assert job(table, "openb-pod-0017")["gpu_model"] == "V100M16|V100M32" and table.pools == ("all",)
    assert table.frame.filter("spot")["job"].to_list() == ["openb-pod-0033", "openb-pod-0061"]
    never = job(table, "openb-pod-0061")
    assert (never["status"], never["start_us"], never["run_us"]) == ("cancelled", None, 0)
    assert job(table, "openb-pod-0043")["status"] == "unknown", "deleted while it ran"
    assert set(table.faults) == {Fault("num_gpu is no number", 1, (10,)), Fault("ends before it starts", 1, (9,))}


def test_pods_that_run_in_the_last_instant_go_on(jobs_in: Reader) -> None:
    header, *_ = OPENB.splitlines()
    rows = [f"p{n},1,1,1,1000,,LS,Running,{n},9000,{n}" for n in range(10)]
    table = jobs_in("\n".join([header, *rows]))
    assert table.note("still_running") == 10 and set(table.frame["status"]) == {"running"}
