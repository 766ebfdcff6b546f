"""What a person may say about a file that the file does not say itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from sublet.core.errors import Invalid

Progress = Callable[[str, float], None]
"""Called now and then with what is being done and which share of it is done, 0 to 1."""

PoolBy = Literal["given", "gpu_model", "all"]
"""A job's pool: what its format calls a pool, its GPU model, or one pool for everything."""

SPOT_WORDS = frozenset({"spot", "preemptible", "preempt", "scavenge", "scavenger", "besteffort", "best_effort", "be"})
"""Names of classes, queues or qualities of service that mark a job as giving way; compared in lower case."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to read one file; the defaults fit every format.

    `columns` maps our names to the file's, `units` gives the unit of a column by our name; only tables take them.
    `zone` is the site's time zone (`Europe/Berlin`) for files whose times count from the Unix epoch or are in UTC; `origin`
    the wall time at zero of a trace with a clock of its own. `until` is the wall time, or the seconds on such a clock, at
    which the trace ends; without it the reader finds it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    gpus_per_worker: bool = False
    trace: str | None = None
    pool: PoolBy = "given"
    spot: frozenset[str] = SPOT_WORDS
    zone: str | None = None
    origin: str | None = None
    until: str | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse what no reader could follow; columns and units are checked by the formats that take them."""
        if self.pool not in get_args(PoolBy):
            raise Invalid(f"there is no pool {self.pool!r}", field="pool", hint=f"one of {', '.join(get_args(PoolBy))}")

    def tell(self, what: str, share: float) -> None:
        """Report progress to whoever asked for it."""
        if self.progress is not None:
            self.progress(what, share)
