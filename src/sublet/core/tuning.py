"""A fine-tuning job: a batch lease that trains an adapter of a model, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sublet.core.errors import Invalid
from sublet.core.ids import LeaseId, ModelName, TenantId, TuningId
from sublet.core.lease import HELD, Lease
from sublet.core.model import Model
from sublet.core.residency import Label

RATE = 2e-3
"""The rate of learning where none is asked for: a multiplier of 1."""
BOUNDS: Mapping[str, tuple[float, float]] = {
    "epochs": (1, 50),
    "batch": (1, 256),
    "rate": (1e-6, 0.1),
    "rank": (1, 64),
    "alpha": (0.1, 256),
    "seed": (0, 2**31),
}
"""What may be asked for, least and most."""
END = 1_000_000
"""The attempt under which a job's end is told: after all that a lease can have."""
NAME_MAX = 64
_SUFFIX_MAX = 24


class TuningState(StrEnum):
    """What is decided of a job; while it is open its lease says how it is doing."""

    NEW = "new"  # its lease was not asked for yet
    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = frozenset({TuningState.NEW, TuningState.OPEN})


@dataclass(frozen=True, slots=True)
class Tuning:
    """One job. `asked` are the fields of `weights.tune.Asked` that were given."""

    id: TuningId
    tenant: TenantId
    model: ModelName
    lease: LeaseId | None  # None: as long as it is new
    training_file: str
    created_us: int
    state: TuningState = TuningState.OPEN
    asked: Mapping[str, int | float] = field(default_factory=dict)
    finished_us: int | None = None
    result: ModelName | None = None
    trained_tokens: int | None = None
    error: str = ""
    error_code: str = ""  # for programs; empty: its run failed
    suffix: str = ""  # a part of the made model's name that its tenant chose
    metadata: Mapping[str, str] = field(default_factory=dict)  # its tenant's own
    data: str = ""  # where the job's own copy of the training file lies
    validation_file: str = ""  # by which it is judged what was learnt; empty: none
    validation: str = ""  # where the copy of that lies
    bid_micro: int | None = None  # most for a GPU-hour; None: as for any lease


@dataclass(frozen=True, slots=True)
class Step:
    """Something that a job told. `attempt` 0 is before its lease, `END` its end."""

    attempt: int
    nth: int
    at_us: int
    event: str  # created | started | resumed | step | checkpointed | failed | done, or the state in which it ended
    data: Mapping[str, int | float | str] = field(default_factory=dict)


def status(tuning: Tuning, lease: Lease | None) -> str:
    """In OpenAI's words: queued while its lease waits, also after a reclaim; running while it holds GPUs."""
    if tuning.state is TuningState.NEW:
        return "validating_files"
    if tuning.state is not TuningState.OPEN:
        return tuning.state.value
    return "running" if lease is not None and lease.state in HELD else "queued"


def check_asked(asked: Mapping[str, int | float]) -> None:
    """Raise `Invalid` for what cannot be had."""
    for name, value in asked.items():
        if name not in BOUNDS or not BOUNDS[name][0] <= value <= BOUNDS[name][1]:
            known = ", ".join(f"{one} from {least:g} to {most:g}" for one, (least, most) in BOUNDS.items())
            raise Invalid(f"{name}={value} cannot be had", field="hyperparameters", hint=known)


def check_tunable(base: Model) -> None:
    """Raise `Invalid` for a model whose weights are not here in a form that can be tuned."""
    if not base.path.endswith(".gguf"):
        hint = "fine-tuning takes GGUF models of our small Llama's kind, whose weights are here"
        raise Invalid(f"{base.name} cannot be tuned here", field="model", hint=hint)


def label_of(stated: Label, sites: tuple[str, ...], allowed: tuple[str, ...]) -> Label:
    """What binds the place of a job: what its tenant states of its files, at the sites that its base keeps to.

    `sites` are the base's, empty for any; `allowed` those of them that the tenant's own statement allows.
    """
    if not sites:
        return stated
    if stated.silent:
        return Label(residency=sites)
    return Label(tuple(f"site:{site}" for site in allowed), stated.sensitivity, stated.data, stated.regimes, stated.safeguards)


def made_name(tuning: Tuning) -> ModelName:
    """The name of the model that comes out of a job: `ft-BASE-SUFFIX-ID`, no longer than a name may be."""
    end = f"-{tuning.suffix[:_SUFFIX_MAX]}" * bool(tuning.suffix) + f"-{tuning.id.removeprefix('ftjob-')}"
    return ModelName(f"ft-{tuning.model[: NAME_MAX - 3 - len(end)]}{end}")
