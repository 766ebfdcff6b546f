"""Batches: many requests in a file, answered within a day at half price, when nobody else needs the replicas."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sublet.core.ids import TenantId
from sublet.core.transitions import walked
from sublet.core.units import DAY_US

WINDOW_US = DAY_US
LINES_MAX = 50_000


class BatchState(StrEnum):
    """Where a batch is, in OpenAI's words."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class BatchEvent(StrEnum):
    """What may happen to a batch."""

    READ = "read"  # every line is a request
    REFUSE = "refuse"  # some line is none
    ANSWER = "answer"  # every line has its answer or its error
    FINISH = "finish"  # the files are complete
    EXPIRE = "expire"
    CANCEL = "cancel"
    STOP = "stop"  # nothing of it runs any more


_S, _E = BatchState, BatchEvent
BATCH_NEXT: Mapping[tuple[BatchState, BatchEvent], BatchState] = {
    (_S.VALIDATING, _E.READ): _S.IN_PROGRESS,
    (_S.VALIDATING, _E.REFUSE): _S.FAILED,
    (_S.VALIDATING, _E.CANCEL): _S.CANCELLING,
    (_S.VALIDATING, _E.EXPIRE): _S.EXPIRED,
    (_S.IN_PROGRESS, _E.ANSWER): _S.FINALIZING,
    (_S.IN_PROGRESS, _E.CANCEL): _S.CANCELLING,
    (_S.IN_PROGRESS, _E.EXPIRE): _S.EXPIRED,
    (_S.FINALIZING, _E.FINISH): _S.COMPLETED,
    (_S.CANCELLING, _E.STOP): _S.CANCELLED,
}
LIVE = frozenset({_S.VALIDATING, _S.IN_PROGRESS, _S.FINALIZING, _S.CANCELLING})


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands. `instants` says when it entered each state."""

    id: str
    tenant: TenantId
    key: str
    endpoint: str
    input_file: str
    created_us: int
    expires_us: int
    state: BatchState = BatchState.VALIDATING
    output_file: str = ""
    error_file: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[Mapping[str, object], ...] = ()
    total: int = 0
    completed: int = 0
    failed: int = 0
    instants: Mapping[str, int] = field(default_factory=dict)
    gateway: str = ""  # which works on it
    seen_us: int = 0  # when that one last said so


def step_batch(batch: Batch, event: BatchEvent, *, at_us: int) -> Batch:
    """The batch after `event`; raises `IllegalStep` if the table has no such step."""
    state = walked(BATCH_NEXT, batch.state, [event], "batch", batch.id)
    return replace(batch, state=state, instants={**batch.instants, state.value: at_us})
