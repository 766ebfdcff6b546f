"""What a reader found besides the rows that it could use: faults, notes and gaps. Nothing is dropped without one of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FIRST = 5
"""So many places of a finding are kept; they are enough to look it up."""

NoteKind = str
NOTES: Mapping[NoteKind, str] = {
    "array": "waiting job arrays that the log shows as one row",
    "before_start": "jobs that were there before the trace began",
    "clock": "how the trace's clock was read",
    "clock_change": "jobs that end before they start because the clocks were set back",
    "cpu_only": "jobs without a GPU; left out",
    "cut": "jobs that go on beyond the end of the trace; cut there",
    "down": "nodes that are down or drained",
    "gap": "stretches in which nothing was logged",
    "gpus_unknown": "jobs whose GPUs the trace does not say; left out",
    "late": "jobs submitted after the end that was asked for; left out",
    "long_running": "jobs without an end that have run for a month or more",
    "merged": "rows that are runs or parts of one job; joined",
    "negative_queue": "jobs that start before they are submitted",
    "node_size": "GPUs of nodes whose size is not known",
    "other_trace": "rows of another trace; left out",
    "parts": "jobs that ask for parts of a GPU; each part counts as a whole one",
    "start_repaired": "starts that follow from the end and the run time",
    "start_unknown": "jobs whose start the trace does not say",
    "steps": "rows that are steps of a job; left out",
    "still_running": "jobs without an end; they run on when the trace ends",
    "submit_unknown": "jobs whose submission the trace does not say",
    "times_unknown": "jobs without any time; taken to be there throughout",
    "uneven": "logs of changes rather than samples",
    "unknown_status": "status words that nobody has told us of",
}
"""Every kind of note, and what it is about."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows that could not be used for one reason. `lines` are the places of the first few, counted as an editor does."""

    reason: str
    rows: int
    lines: tuple[int, ...]

    @property
    def first(self) -> int:
        """The place of the first of them."""
        return self.lines[0]


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reader of the result has to know. `left_out` counts rows that are no job of the table because of it."""

    kind: NoteKind
    count: int
    says: str
    left_out: int = 0

    def __post_init__(self) -> None:
        """Only kinds that are written down."""
        assert self.kind in NOTES, self.kind


@dataclass(frozen=True, slots=True)
class Gap:
    """Instants (µs) between which the trace knows nothing: from the first, up to but without the second."""

    from_us: int
    to_us: int


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 job`, `1,200 jobs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def places(path: object, faults: Iterable[Fault]) -> str:
    """The first place of each fault, as a compiler would name it."""
    return "; ".join(f"{path}:{fault.first}: {fault.reason}" for fault in faults)


def rows_left_out(faults: Iterable[Fault], notes: Iterable[Note]) -> int:
    """How many rows of the file are no job of the table."""
    return sum(fault.rows for fault in faults) + sum(note.left_out for note in notes)
