"""What a format of trace files is: a value with a name, a way to recognise it and a way to read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sublet.traces.demand_table import DemandTable
from sublet.traces.files import Sample
from sublet.traces.job_table import JobTable
from sublet.traces.options import Options

Kind = Literal["jobs", "demand"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `detect` looks at the beginning of a file only; `mapped` says whether it takes a mapping of columns."""

    name: str
    says: str
    kind: Kind
    detect: Callable[[Sample, Options], bool]
    read: Callable[[Sample, Options], JobTable | DemandTable]
    mapped: bool = False
