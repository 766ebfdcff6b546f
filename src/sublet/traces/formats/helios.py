"""SenseTime's Helios (`cluster_log.csv` of Venus, Saturn, Earth, Uranus) and Shanghai AI Lab's Acme, which has its columns.

Both are Slurm logs in local time; `gpu_num` counts over all nodes. A job's pool is its virtual cluster, where the log has one.
Acme writes its times in UTC: give the zone `Asia/Shanghai` to have the site's hours.
"""

from sublet.traces.assemble import Draft, assembled
from sublet.traces.cells import Read, numbers, times, whole_gpus, words
from sublet.traces.files import Sample, require, table
from sublet.traces.job_table import JobTable
from sublet.traces.options import Options
from sublet.traces.sieve import faulty

NAME = "helios"
SAYS = "SenseTime Helios cluster_log.csv; Acme trace_seren.csv and trace_kalos.csv"
EXPECTED = "cluster_log.csv has the columns job_id, user, gpu_num, node_num, state, submit_time, start_time, end_time, and vc"

_WORDS = {"job": "job_id", "user": "user", "status": "state"}
_COUNTS = {"gpus": "gpu_num", "workers": "node_num"}
_TIMES = {"submit": "submit_time", "start": "start_time", "end": "end_time"}
_NEEDED = (*_WORDS.values(), *_COUNTS.values(), *_TIMES.values())


def detect(seen: Sample, _options: Options) -> bool:
    """The file has the columns of the log."""
    return seen.has(*_NEEDED)


def read(seen: Sample, options: Options) -> JobTable:
    """The jobs of one cluster."""
    require(seen.columns, _NEEDED, path=seen.path, expected=EXPECTED)
    cluster = {"pool": "vc", "org": "vc"} if seen.has("vc") else {}
    raw = table(seen, columns=list(dict.fromkeys((*_NEEDED, *cluster.values()))))
    got = numbers(words(Read(raw.frame), _WORDS | cluster), _COUNTS)
    got = times(got, _TIMES, dict.fromkeys(_TIMES, "iso"), options)
    good, faults = faulty(got.frame, got.bad)
    names = {"gpus": "gpu_num"} | {f"{ours}_us": theirs for ours, theirs in _TIMES.items()}
    draft = Draft(
        path=seen.path, format=NAME, frame=good.with_columns(*whole_gpus("gpus", "workers", per_worker=False)), rows=raw.rows,
        clock="local", expected=EXPECTED, faults=raw.faults + faults, names=names,
    )  # fmt: skip
    return assembled(draft, options)
