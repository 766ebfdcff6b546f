"""How a job ended, in one set of words, whatever the scheduler called it."""

from collections.abc import Mapping, Sequence

import polars as pl

from sublet.traces.findings import Note, counted

STATUSES = (
    "completed", "failed", "cancelled", "timeout", "reclaimed", "node_fail", "running", "pending", "unknown",
)  # fmt: skip
ENDED = ("completed", "failed", "cancelled", "timeout", "reclaimed", "node_fail")
"""After these a job has an end; a trace that does not say which is at fault."""

SLURM: Mapping[str, str] = {
    "completed": "completed",
    "failed": "failed",
    "out_of_memory": "failed",
    "boot_fail": "failed",
    "launch_failed": "failed",
    "reconfig_fail": "failed",
    "cancelled": "cancelled",
    "revoked": "cancelled",
    "timeout": "timeout",
    "deadline": "timeout",
    "preempted": "reclaimed",
    "node_fail": "node_fail",
    "running": "running",
    "completing": "running",
    "suspended": "running",
    "resizing": "running",
    "signaling": "running",
    "stage_out": "running",
    "stopped": "running",
    "pending": "pending",
    "configuring": "pending",
    "requeue_fed": "pending",
    "requeue_hold": "pending",
    "resv_del_hold": "pending",
    "special_exit": "pending",
    "requeued": "unknown",  # the end of one run; the next is another record
}
"""Slurm's words, as `sacct` prints them, in lower case."""

WORDS: Mapping[str, str] = {
    **SLURM,
    "pass": "completed",
    "passed": "completed",
    "succeeded": "completed",
    "success": "completed",
    "finished": "completed",
    "terminated": "completed",
    "done": "completed",
    "killed": "cancelled",
    "canceled": "cancelled",
    "error": "failed",
    "oom": "failed",
    "evicted": "reclaimed",
    "reclaimed": "reclaimed",
    "interrupted": "reclaimed",
    "waiting": "pending",
    "queued": "pending",
    "unknown": "unknown",
}
"""The words of all formats together; none is used for two things."""


def statuses(frame: pl.DataFrame, words: Mapping[str, str] = WORDS) -> tuple[pl.DataFrame, tuple[Note, ...]]:
    """The frame with its `status` in our words. Words that we do not know become `unknown` and are named in a note.

    Only the first word counts: Slurm writes `CANCELLED by 1000`, and a `+` where it had no room for that.
    """
    said = frame["status"].str.to_lowercase().str.extract(r"^\s*([a-z_]+)", 1)
    ours = said.replace_strict(words, default="unknown", return_dtype=pl.String)
    known = ours.zip_with((said.is_not_null() | frame["status"].is_null()).fill_null(value=False), pl.Series(["unknown"]))
    known = known.zip_with(frame["status"].is_not_null(), pl.Series([None], dtype=pl.String))
    strange = frame["status"].filter(~said.is_in(list(words)).fill_null(value=False) & frame["status"].is_not_null())
    notes: tuple[Note, ...] = ()
    if len(strange):
        names = ", ".join(sorted(strange.unique())[:5])
        text = f"{counted(len(strange), 'job')} with a status that we do not know ({names}): taken as unknown"
        notes = (Note("unknown_status", len(strange), text),)
    return frame.with_columns(known.alias("status")), notes


def is_spot(columns: Sequence[str], spot: frozenset[str]) -> pl.Expr:
    """Whether one of the columns (class, queue, quality of service) has a word that marks a job as giving way."""
    if not columns:
        return pl.lit(value=False)
    marks = [pl.col(name).str.to_lowercase().is_in(sorted(spot)).fill_null(value=False) for name in columns]
    return pl.any_horizontal(marks)
