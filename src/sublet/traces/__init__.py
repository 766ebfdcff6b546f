"""Readers of traces: whatever the file, one table of jobs or of demand, with everything that was left out counted."""

from sublet.traces.demand_table import DEMAND, DemandTable, demand_of
from sublet.traces.findings import NOTES, Fault, Gap, Note
from sublet.traces.formats import FORMATS, read_jobs, read_trace
from sublet.traces.job_table import JOBS, JobTable, jobs_of
from sublet.traces.mapping import mapping
from sublet.traces.nodes import Inventory, NodeGroup, read_nodes, written_nodes
from sublet.traces.options import Options

__all__ = [
    "DEMAND",
    "FORMATS",
    "JOBS",
    "NOTES",
    "DemandTable",
    "Fault",
    "Gap",
    "Inventory",
    "JobTable",
    "NodeGroup",
    "Note",
    "Options",
    "demand_of",
    "jobs_of",
    "mapping",
    "read_jobs",
    "read_nodes",
    "read_trace",
    "written_nodes",
]
