"""A small file of each format, written as the real ones are, with good rows and every kind of bad one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sublet.traces import Options

SACCT = """\
JobID|JobIDRaw|User|Account|Partition|QOS|Submit|Start|End|ElapsedRaw|State|NNodes|AllocTRES|ReqTRES|Restarts|JobName
101|101|ada|vision|gpu|normal|2024-05-01T10:00:00|2024-05-01T10:05:00|2024-05-01T12:05:00|7200|COMPLETED|2|billing=128,cpu=128,gres/gpu:a100=16,gres/gpu=16,mem=1T,node=2|billing=128,cpu=128,gres/gpu=16,mem=1T,node=2|0|train
101.batch|101.batch||vision|||2024-05-01T10:05:00|2024-05-01T10:05:00|2024-05-01T12:05:00|7200|COMPLETED|1|cpu=64,gres/gpu:a100=8,gres/gpu=8,mem=512G,node=1|||batch
101.extern|101.extern||vision|||2024-05-01T10:05:00|2024-05-01T10:05:00|2024-05-01T12:05:00|7200|COMPLETED|2|billing=128,cpu=128,gres/gpu=16,node=2|||extern
102_4|104|bob|nlp|gpu|normal|2024-05-01T10:30:00|2024-05-01T11:00:00|2024-05-01T11:30:00|1800|FAILED|1|cpu=8,gres/gpu=1,node=1|cpu=8,gres/gpu=1,node=1|0|sweep|with|bars
102_[5-10%2]|102|bob|nlp|gpu|normal|2024-05-01T10:30:00|Unknown|Unknown|0|PENDING|1||cpu=8,gres/gpu=1,node=1|0|sweep
105+0|105|eve|nlp|gpu,large|spot|2024-05-01T11:00:00|2024-05-01T11:00:10|2024-05-01T13:00:10|7200|TIMEOUT|1|gres/gpu:a100=4,gres/gpu:v100=2,gres/gpu=6|gres/gpu=6|0|het
106|106|eve|nlp|cpu|normal|2024-05-01T11:10:00|2024-05-01T11:10:10|2024-05-01T11:20:10|600|COMPLETED|1|billing=8,cpu=8,node=1|cpu=8,node=1|0|prep
107|107|ada|vision|gpu|scavenger|2024-05-01T11:00:00|2024-05-01T11:01:00|2024-05-01T11:31:00|1800|PREEMPTED|1|gres/gpu=8|gres/gpu=8|0|low
107|107|ada|vision|gpu|scavenger|2024-05-01T11:31:01|2024-05-01T12:00:00|2024-05-01T13:00:00|3600|COMPLETED|1|gres/gpu=8|gres/gpu=8|1|low
108|108|ada|vision|gpu|normal|2024-05-01T11:40:00|None|2024-05-01T11:50:00|0|CANCELLED by 1000|1||gres/gpu=4|0|gone
109|109|ada|vision|gpu|normal|2024-05-01T12:00:00|2024-05-01T12:30:00|Unknown|5400|RUNNING|1|gres/gpu=8|gres/gpu=8|0|on
110|110|ada|vision|gpu|normal|last May|2024-05-01T12:30:00|2024-05-01T12:40:00|600|COMPLETED|1|gres/gpu=8|gres/gpu=8|0|bad
111|111|ada|vision|gpu|normal|2024-05-01T12:00:00|2024-05-01T12:30:00|2024-05-01T10:40:00|600|COMPLETED|1|gres/gpu=8|gres/gpu=8|0|bad
112|112|ada|vision|gpu|normal|2024-05-01T12:00:00|2024-05-01T12:30:00|Unknown|600|COMPLETED|1|gres/gpu=8|gres/gpu=8|0|bad
113|113|ada|vision|gpu|normal|2024-05-01T12:00:00|2024-05-01T12:30:00|2024-05-01T12:40:00|600|COMPLETED|1|||0|bad
114|114|ada|vision|gpu
115|115|ada|vision|gpu|normal|Unknown|Unknown|2024-05-01T12:40:00|0|CANCELLED|1||gres/gpu=8|0|bad
"""


def number(value: int | None) -> dict[str, Any]:
    return {"set": value is not None, "infinite": False, "number": value or 0}


def slurm_job(job_id: int, *, new: bool, gpus: int | None = 8, **more: Any) -> dict[str, Any]:
    """A job as `sacct --json` prints it: of an early parser (words and plain numbers) or of a late one."""
    times = {
        "elapsed": 3600,
        "eligible": 1714550400,
        "submission": 1714550400,
        "start": 1714554000,
        "end": 1714557600,
        "suspended": 0,
    }
    state = more.pop("state", "COMPLETED")
    nodes = more.pop("nodes", 1)
    entries = [
        {"type": "cpu", "name": "" if new else None, "id": 1, "count": 8},
        {"type": "node", "name": None, "id": 4, "count": nodes},
    ]
    if gpus:
        entries.append({"type": "gres", "name": "gpu", "id": 1001, "count": gpus})
        entries.append({"type": "gres", "name": "gpu:a100", "id": 1002, "count": gpus})
    return {
        "account": "vision",
        "allocation_nodes": nodes,
        "array": {"job_id": 0, "task_id": number(None) if new else None, "task": ""},
        "het": {"job_id": 0, "job_offset": number(None) if new else None},
        "time": times | more.pop("time", {}),
        "job_id": job_id,
        "name": "train",
        "partition": "gpu",
        "qos": "normal",
        "state": {"current": [state] if new else state, "reason": "None"},
        "steps": [{"time": {"end": number(1)}, "step": {"id": f"{job_id}.batch"}, "tres": {"allocated": entries}}],
        "tres": {"allocated": entries, "requested": entries},
        "user": "ada",
    } | more


def sacct_json() -> str:
    jobs: list[Any] = [
        slurm_job(1, new=False, nodes=2, gpus=16),
        slurm_job(2, new=True, time={"submission": 1714551000}),
        slurm_job(3, new=False, time={"start": 1714550400, "end": 1714561200}),  # the start is the eligible time
        slurm_job(4, new=True, state="RUNNING", time={"end": 0}),
        slurm_job(
            5,
            new=True,
            state="PENDING",
            time={"start": 1714600000, "end": 0, "elapsed": 0},
            tres={"allocated": [], "requested": [{"type": "gres", "name": "gpu", "id": 1001, "count": 4}]},
        ),
        slurm_job(6, new=True, gpus=None),
        slurm_job(7, new=True, array={"job_id": 7, "task_id": number(3), "task": ""}, partition="gpu,large", qos="spot"),
        slurm_job(8, new=True, state="CANCELLED", time={"start": 0, "end": 1714552000, "elapsed": 0}),
        {"job_id": 9, "state": {"current": ["FAILED"]}},
        slurm_job(10, new=True, time={"submission": "yesterday"}),
        slurm_job(11, new=True, state="COMPLETED", time={"end": 0}),
    ]
    return json.dumps(
        {"meta": {"plugin": {"data_parser": "data_parser/v0.0.40"}}, "jobs": jobs, "errors": [], "warnings": []}, indent=1
    )


TABLE = """\
trace,job_id,submit_s,start_s,end_s,duration_s,gpus,gpu_model,workers,org,user,class,status
x,a,0,10,110,100,16,A100,2,vision,ada,HP,Pass
x,b,5,20,,,0.5,A10,1,vision,bob,Spot,
x,c,,,50,,8,A100,1,nlp,eve,HP,Killed
x,d,,,,,4,A100,1,nlp,eve,HP,
x,e,60,,90,,1,A10,1,nlp,eve,BE,Pending
x,f,70,71,72,1,0,,1,nlp,eve,HP,Pass
x,g,80,soon,90,,1,A10,1,nlp,eve,HP,Pass
x,h,81,90,85,,1,A10,1,nlp,eve,HP,Pass
x,i,82,83,99,,many,A10,1,nlp,eve,HP,Pass
x,j,83,84,99,,,A10,1,nlp,eve,HP,Pass
x,k,84,85,99,,-2,A10,1,nlp,eve,HP,Pass
x,l,-5,85,99,,1,A10,1,nlp,eve,HP,Pass
x,m,85,86,,,1,A10,1,nlp,eve,HP,Failed
x,n,86,80,99,,1,A10,1,nlp,eve,HP,Pass
"""

ALIBABA_SPOT = """\
job_name,organization,gpu_model,cpu_request,gpu_request,worker_num,submit_time,duration,job_type
239255,13,A10,20.0,1.0,1,0.0,2764799.0,HP
253689,13,A10,8.0,0.25,4,0.0,2764799.0,HP
437260,57,A100-SXM4-80GB,15.0,1.0,16,958966.0,41060.0,Spot
437261,57,A100-SXM4-80GB,15.0,8.0,94,958966.0,71718.0,HP
437262,57,A100-SXM4-80GB,15.0,0.0,1,958967.0,71718.0,HP
437263,57,A100-SXM4-80GB,15.0,8.0,1,958968.0,,HP
437264,57,A100-SXM4-80GB,15.0,8.0,0,958969.0,10.0,HP
437265,57,A100-SXM4-80GB,15.0,8.0,1,,10.0,HP
437266,57,A100-SXM4-80GB,15.0,8.0,1,958970.0,-10.0,HP
437267,57,A100-SXM4-80GB,15.0,x,1,958970.0,10.0,HP
"""

PAI_TASKS = """\
4b3f04b66a525d2df903eb16,tensorflow,1.0,Terminated,1739162.0,1739200.0,600.0,29.296875,50.0,MISC
aa3f04b66a525d2df903eb16,ps,1.0,Terminated,1739100.0,1739400.0,600.0,29.296875,,
aa3f04b66a525d2df903eb16,worker,2.0,Terminated,1739170.0,1739400.0,400.0,29.296875,50.0,T4
aa3f04b66a525d2df903eb16,evaluator,1.0,Failed,1739180.0,1739300.0,400.0,29.296875,200.0,T4
bb3f04b66a525d2df903eb16,worker,4.0,Running,1739210.0,,400.0,29.296875,100.0,V100
cc3f04b66a525d2df903eb16,PyTorchWorker,1.0,Waiting,,,400.0,29.296875,800.0,V100
dd3f04b66a525d2df903eb16,worker,1.0,Terminated,1739000.0,1739100.0,400.0,29.296875,,MISC
ee3f04b66a525d2df903eb16,worker,1.0,Terminated,1739300.0,1739200.0,400.0,29.296875,100.0,MISC
ff3f04b66a525d2df903eb16,worker,0.0,Terminated,1739300.0,1739400.0,400.0,29.296875,100.0,MISC
003f04b66a525d2df903eb16,worker,1.0,Failed,1739300.0,,400.0,29.296875,100.0,MISC
"""

PAI_JOBS = """\
4b3f04b66a525d2df903eb16,8cb3bec23d14dbde320b6613,58540f191766,Terminated,1739150.0,1739200.0
aa3f04b66a525d2df903eb16,9cb3bec23d14dbde320b6613,58540f191766,Failed,1739090.0,1739400.0
bb3f04b66a525d2df903eb16,acb3bec23d14dbde320b6613,68540f191766,Running,1739205.0,
cc3f04b66a525d2df903eb16,bcb3bec23d14dbde320b6613,68540f191766,Waiting,1739220.0,
ee3f04b66a525d2df903eb16,ccb3bec23d14dbde320b6613,68540f191766,Terminated,1739290.0,1739200.0
003f04b66a525d2df903eb16,dcb3bec23d14dbde320b6613,68540f191766,Failed,1739290.0,
"""


def attempt(start: str | None, end: str | None, *gpus: int) -> dict[str, Any]:
    detail = [{"ip": f"m{n}", "gpus": [f"gpu{i}" for i in range(count)]} for n, count in enumerate(gpus)]
    return {"start_time": start, "end_time": end, "detail": detail}


def philly_job(name: str, submitted: str, attempts: list[Any], status: str = "Pass") -> dict[str, Any]:
    return {
        "status": status,
        "vc": "ee9e8c",
        "jobid": f"application_{name}",
        "attempts": attempts,
        "submitted_time": submitted,
        "user": "ce2f4c",
    }


def philly() -> str:
    two = [
        attempt("2017-10-07 01:12:09", "2017-10-07 01:13:23", 8),
        attempt("2017-10-07 01:13:30", "2017-10-09 06:53:12", 8, 8),
    ]
    jobs = [
        philly_job("1", "2017-10-07 01:11:39", two),
        philly_job("2", "2017-10-07 02:00:00", [attempt("2017-10-07 02:00:10", "None", 1)], "Killed"),
        philly_job("3", "2017-10-07 03:00:00", [], "Killed"),
        philly_job("4", "2017-10-07 04:00:00", [attempt(None, "2017-10-07 05:00:00", 4)], "Failed"),
        philly_job("5", "the seventh", [attempt("2017-10-07 04:00:00", "2017-10-07 05:00:00", 4)]),
        {"status": "Pass", "jobid": "application_6"},
        philly_job("7", "2017-10-07 04:30:00", [attempt("2017-10-07 04:31:00", "2017-10-07 05:00:00")]),
        philly_job("8", "2017-10-07 06:30:00", [attempt("2017-10-07 06:31:00", "2017-10-07 06:00:00", 4)]),
        philly_job("9", "2017-10-07 07:30:00", [attempt("2017-10-07 07:31:00", "2017-10-07 04:00:00", 4)]),
    ]
    return json.dumps(jobs, indent=4)


HELIOS = """\
job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue
1425511,uXBbc,vcJkd,1,1,1,COMPLETED,2020-06-09 18:41:01,2020-06-09 18:41:01,2020-06-10 04:55:09,36848,0
1425512,uVMrF,vchbv,16,16,2,FAILED,2020-06-09 18:41:27,2020-06-09 18:41:27,2020-06-09 18:45:36,249,0
1425513,uzqls,vcpDC,0,1,1,CANCELLED,2020-06-09 18:41:28,2020-06-09 18:41:28,2020-06-17 14:15:21,675233,0
1425514,uzqls,vcpDC,8,1,1,NODE_FAIL,2020-06-09 18:41:29,2020-06-09 18:42:28,2020-06-10 14:15:21,70373,59
1425515,uzqls,vcpDC,8,1,1,ODD,2020-06-09 18:42:29,2020-06-09 18:42:28,2020-06-10 14:15:21,70373,0
1425516,uzqls,vcpDC,8,1,1,COMPLETED,2020-06-09,soon,2020-06-10 14:15:21,70373,0
1425517,uzqls,vcpDC,8,1,1,TIMEOUT,2020-06-09 18:43:29,2020-06-09 18:44:28,None,70373,0
"""

OPENB = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
openb-pod-0000,12000,16384,1,1000,,LS,Running,0,12902960,0
openb-pod-0001,6000,12288,1,460,,LS,Running,427061,12902960,427061
openb-pod-0005,20000,65536,0,0,,LS,Running,2759674,12902960,2759676
openb-pod-0017,88000,327680,8,1000,V100M16|V100M32,Burstable,Succeeded,9437497,10769854,9437497
openb-pod-0033,3152,5600,1,1000,,BE,Failed,9965463,9965645,9965463
openb-pod-0043,6000,18432,1,460,,LS,Running,9980855,10002453,9980855
openb-pod-0061,11908,47104,1,1000,,BE,Pending,10001278,10001403,
openb-pod-0062,11908,47104,1,1000,,BE,Failed,10001278,10001103,10001279
openb-pod-0063,11908,47104,x,1000,,BE,Failed,10001278,10001103,10001279
"""

USAGE = "at_s,pool,gpus,capacity\n" + "".join(
    f"{60 * minute},{pool},{0 if 100 <= minute < 200 else busy},{size}\n"
    for minute in range(300)
    if not 250 <= minute < 255
    for pool, busy, size in (("a", 5.5 if minute % 2 else 4, 8), ("b", 3, 16))
) + "60,a,1,8\nsoon,a,1,8\n18001,a,,8\n18002,b,-1,16\n"  # fmt: skip


@dataclass(frozen=True)
class Written:
    """The files of a sample, which of them is read, and what is known to be in it."""

    format: str
    files: Mapping[str, str]
    jobs: int  # usable; of a log of demand, whatever it has
    options: Options = field(default_factory=Options)

    def write(self, folder: Path) -> Path:
        """Put the files into a folder; the first is the one to read."""
        for name, text in self.files.items():
            (folder / name).write_text(text)
        return folder / next(iter(self.files))


SAMPLES: Mapping[str, Written] = {
    one.format: one
    for one in (
        Written("sacct", {"sacct.txt": SACCT}, 8),
        Written("sacct_json", {"sacct.json": sacct_json()}, 8),
        Written("table", {"jobs.csv": TABLE}, 6),
        Written("alibaba_spot", {"job_info_df.csv": ALIBABA_SPOT}, 4),
        Written("pai2020", {"pai_task_table.csv": PAI_TASKS, "pai_job_table.csv": PAI_JOBS}, 5),
        Written("philly", {"cluster_job_log": philly()}, 4),
        Written("helios", {"cluster_log.csv": HELIOS}, 4),
        Written("openb", {"openb_pod_list_default.csv": OPENB}, 6),
        Written("usage", {"usage.csv": USAGE}, 0),
    )
}
