"""What the engine needs of a cluster, whichever way it is reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sublet.core.errors import SubletError
from sublet.engines.slurm.jobs import Job
from sublet.engines.slurm.nodes import Node

WARN_SIGNAL = "USR2"
"""Sent to the batch script when Slurm itself preempts the job (needs `preempt_send_user_signal`)."""
WAKE_SIGNAL = "USR1"
"""Makes the batch script read its orders now."""


class Refused(SubletError):
    """Slurm answered, and will not do it as it was asked."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A batch job. `nodes` is where it shall run, `gres` what it gets on each of them."""

    name: str
    comment: str
    script: str
    nodes: Sequence[str]
    gres: str
    cpus: int  # on each node
    memory_mib: int  # on each node
    minutes: int
    output: str
    partition: str
    account: str
    qos: str
    warn_s: int = 60
    held: bool = False


class Transport(Protocol):
    """One way to a cluster. Each call may raise `Unavailable`; then nobody knows whether it took effect."""

    def version(self) -> str:
        """Slurm's own word for its release."""

    def jobs(self) -> list[Job]:
        """Every job that Slurm still remembers, of all users, in one call."""

    def nodes(self) -> list[Node]:
        """Every node."""

    def address(self, node: str) -> str:
        """The name or address by which slurmctld reaches a node."""

    def submit(self, job: Submission) -> int:
        """Queue a job; its number. Not idempotent: the caller looks first. Raises `Refused`."""

    def signal(self, jobs: Sequence[int], name: str) -> None:
        """Signal the batch scripts of these jobs; those that are gone are no error."""

    def cancel(self, jobs: Sequence[int]) -> None:
        """End these jobs; those that are gone are no error."""
