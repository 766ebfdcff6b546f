"""A fine-tuning job: a batch lease that trains an adapter of a model, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sublet.core.ids import LeaseId, ModelName, TenantId, TuningId
from sublet.core.lease import HELD, Lease


class TuningState(StrEnum):
    """What is decided of a job; while it is open its lease says how it is doing."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Tuning:
    """One job. `asked` are the fields of `weights.tune.Asked` that were given."""

    id: TuningId
    tenant: TenantId
    model: ModelName
    lease: LeaseId
    training_file: str
    created_us: int
    state: TuningState = TuningState.OPEN
    asked: Mapping[str, int | float] = field(default_factory=dict)
    finished_us: int | None = None
    result: ModelName | None = None
    trained_tokens: int | None = None
    error: str = ""


def status(tuning: Tuning, lease: Lease | None) -> str:
    """In OpenAI's words: queued while its lease waits, also after a reclaim; running while it holds GPUs."""
    if tuning.state is not TuningState.OPEN:
        return tuning.state.value
    return "running" if lease is not None and lease.state in HELD else "queued"
