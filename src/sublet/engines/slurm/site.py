"""What the engine is told about a cluster: how it is reached and where leases go in it."""

from dataclasses import dataclass
from pathlib import Path

from sublet.core.errors import Invalid

POLL_LEAST_S = 0.2
POLL_MOST_S = 4.0
POLL_SHARE = 10
"""A look at the queue waits so many times the length of the last one, between the two bounds above: it never takes more
than a tenth of one core of slurmctld, and the longest wait stays below the pool's `detection_us` of 5 s."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and our place in it. `shared` is a directory that this machine and every node see under the same path."""

    shared: Path
    partition: str = "surplus"
    account: str = ""  # `{tenant}` in it stands for the tenant's id: an account, and so a limit, for each
    qos: str = ""
    rest_url: str = ""  # slurmrestd; empty: the command-line tools
    token_file: Path | None = None  # its JWT, read again when it changes
    user: str = ""  # whose token it is; empty: the user we run as
    python: str = "python3"  # of the nodes, 3.11 or later
    programs: str = ""  # a folder that the nodes see, with a `python` that has this package; empty: the one on their PATH
    epilog: bool = False  # the nodes run Sublet's epilog: no hand-over is clean without its word
    installation: str = "sublet"  # tells our jobs from another installation's in the same cluster
    timeout_s: float = 10.0
    held: bool = False  # leases are queued and never start: for measurements

    def check(self) -> None:
        """Raise `Invalid` for what can never work."""
        if not self.shared.is_absolute():
            hint = "a directory that all nodes mount, such as /home/sublet/leases"
            raise Invalid(f"{self.shared} is not an absolute path", field="slurm_shared", hint=hint)
        if self.rest_url and self.token_file is None:
            hint = "write one with `scontrol token lifespan=...`"
            raise Invalid("slurmrestd takes no call without a token", field="slurm_token_file", hint=hint)


def account_of(cluster: Cluster, tenant: str) -> str:
    """Whom a tenant's lease is charged to in Slurm; empty: the user's default account."""
    return cluster.account.replace("{tenant}", tenant)


def mark_of(cluster: Cluster, run: str) -> str:
    """The comment by which the job of a run is found again: stable over every crash of ours."""
    return f"sublet:{cluster.installation}:{run}"


def run_of(cluster: Cluster, comment: str) -> str | None:
    """The run whose job has this comment; None for a job that is not ours."""
    prefix = f"sublet:{cluster.installation}:"
    return comment.removeprefix(prefix) if comment.startswith(prefix) else None
