"""Records of Slurm as jobs: the runs of a job that was put back in the queue are one job.

Slurm gives a requeued job a new time of submission and a new record under the same number (`sacct --duplicates` shows them
all). The first record's submission is the job's; the last record's status and end are the job's. The same number long after
is another job: a site may start counting anew.
"""

import polars as pl

from sublet.core.units import MINUTE_US
from sublet.traces.findings import Note, counted
from sublet.traces.sieve import LINE

BACK_WITHIN_US = 10 * MINUTE_US
"""A job that is put back in the queue is submitted again when its run ends; give slow daemons so much."""


def joined_runs(records: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """One row a job. What the runs do not share is the first run's, but for its end, status, place, times and restarts."""
    if not records["job"].is_duplicated().any():
        return records, ()
    records, repeated = _once(records)
    ordered = records.sort("job", "submit_us", LINE)
    ordered = ordered.with_columns(pl.col("run_us").fill_null(pl.col("end_us") - pl.col("start_us")))
    same = pl.col("job") == pl.col("job").shift(1)
    back = (pl.col("submit_us") - pl.col("end_us").shift(1)).is_between(-BACK_WITHIN_US, BACK_WITHIN_US).fill_null(value=False)
    runs = ordered.with_columns((~(same & back)).fill_null(value=True).cum_sum().alias("_run"))
    first = {name: pl.col(name).first() for name in records.columns}
    last = {name: pl.col(name).last() for name in ("end_us", "status", "pool", "nodes", "gpu_model") if name in records.columns}
    jobs = runs.group_by("_run", maintain_order=True).agg(
        **first
        | last
        | {
            "start_us": pl.col("start_us").drop_nulls().first(),
            "run_us": pl.when(pl.col("run_us").is_not_null().all()).then(pl.col("run_us").sum()),
            "gpus": pl.col("gpus").max(),
            "restarts": pl.max_horizontal(pl.col("restarts").max(), pl.len() - 1),
        }
    )
    dropped = len(records) - len(jobs)
    if not dropped:
        return records, repeated
    text = f"{counted(dropped, 'record')} of further runs of requeued jobs are joined with the first: asked for throughout"
    return jobs.drop("_run"), (*repeated, Note("merged", dropped, text, left_out=dropped))


def _once(records: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """Each record once: logs of neighbouring months that were put together both have the jobs that ran from one into the other.

    The one that knows an end is kept; of equal ones the last.
    """
    latest = records.sort(pl.col("end_us").is_not_null(), LINE).unique(["job", "submit_us"], keep="last", maintain_order=True)
    dropped = len(records) - len(latest)
    if not dropped:
        return records, ()
    text = f"{counted(dropped, 'record')} repeated: each counts once"
    return latest, (Note("merged", dropped, text, left_out=dropped),)
