"""What is wrong with the data, counted: rows that could not be used, what was assumed, and jobs that are not in the replay."""

from dataclasses import dataclass

from sublet.advice.study.curves import At, at_of
from sublet.advice.study.question import Question
from sublet.core.units import HOUR_US


@dataclass(frozen=True, slots=True)
class FaultPart:
    """Rows that could not be used for one reason, and where the first few stand."""

    reason: str
    rows: int
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NotePart:
    """Something to keep in mind; `left_out` counts rows that are no job because of it."""

    kind: str
    count: int
    says: str
    left_out: int


@dataclass(frozen=True, slots=True)
class GapPart:
    """A stretch of which the trace knows nothing."""

    begins: At
    ends: At
    hours: float


@dataclass(frozen=True, slots=True)
class LeftPart:
    """Jobs or rows of a pool that are not in the replay as they are in the trace."""

    pool: str
    kind: str
    count: int
    says: str


@dataclass(frozen=True, slots=True)
class Defects:
    """All of it. `replayed` counts the jobs that the replay runs, the owner's and those marked as spot."""

    rows: int
    replayed: int
    faults: tuple[FaultPart, ...]
    notes: tuple[NotePart, ...]
    gaps: tuple[GapPart, ...]
    left: tuple[LeftPart, ...]


def defects_of(question: Question) -> Defects:
    """What reading found."""
    return Defects(
        rows=question.rows,
        replayed=sum(len(layout.jobs) + len(layout.spot.jobs) for layout in question.layouts),
        faults=tuple(FaultPart(fault.reason, fault.rows, fault.lines) for fault in question.faults),
        notes=tuple(NotePart(note.kind, note.count, note.says, note.left_out) for note in question.notes),
        gaps=tuple(
            GapPart(at_of(question, gap.from_us), at_of(question, gap.to_us), (gap.to_us - gap.from_us) / HOUR_US)
            for gap in question.gaps
        ),
        left=tuple(
            LeftPart(layout.pool, left.kind, left.count, str(left)) for layout in question.layouts for left in layout.left
        ),
    )
