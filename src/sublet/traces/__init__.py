"""Readers of job histories: whatever the file, one job table."""

from sublet.traces.table import Fault, JobTable, read_jobs

__all__ = ["Fault", "JobTable", "read_jobs"]
