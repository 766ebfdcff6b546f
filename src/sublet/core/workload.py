"""What runs on a lease or as a job of the owner: a value the engine obeys."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CHECKPOINTED_EXIT = 85
"""Exit code that says "I saved a checkpoint, restart me" (HTCondor's convention)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a workload serves a model, and the bearer token that its server asks for."""

    model: str
    tier: str
    url: str  # what the official clients call the base URL
    secret: str
    slots: int  # requests it works on at once


@dataclass(frozen=True, slots=True)
class Workload:
    """A command with its surroundings. `setup` runs before `run` in the same shell and sandbox."""

    run: str
    setup: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    notice_signal: str = "TERM"
    checkpoints: bool = False  # the task declares that it saves and resumes
    memory_mib: int | None = None
    processes: int | None = None
    max_seconds: int | None = None
    webhook: str | None = None  # told of notices, too
    reads: tuple[str, ...] = ()  # files and folders of the owner that it may read; never a tenant's to choose
    endpoint: Endpoint | None = None  # of a lease that serves a model
