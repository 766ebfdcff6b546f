"""What the cluster's own configuration says, as far as leases depend on it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.tools import Tools
from sublet.engines.slurm.transport import Refused

_PAIR = re.compile(r"^\s*([A-Za-z][\w/()]*)\s*=\s?(.*?)\s*$")
_WORD = re.compile(r"([A-Za-z]\w*)=(\S*)")
KILL_WAIT_S = 30
"""Slurm's default."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Of the controller and of our partition. `partition` is empty where it does not exist."""

    values: Mapping[str, str] = field(default_factory=dict)
    partition: Mapping[str, str] = field(default_factory=dict)
    others: tuple[Mapping[str, str], ...] = ()  # the owner's partitions
    epilog: bool = False  # ours runs on the nodes

    @property
    def kill_wait_s(self) -> int:
        """From SIGTERM to SIGKILL when Slurm ends a job."""
        found = re.match(r"\d+", self.values.get("KillWait", ""))
        return int(found[0]) if found else KILL_WAIT_S

    @property
    def grace_s(self) -> int:
        """The notice that Slurm itself gives before it preempts a lease; it may last up to 30 s longer."""
        text = self.partition.get("GraceTime", "0")
        return int(text) if text.isdigit() else 0

    @property
    def sends_warning(self) -> bool:
        """Whether a batch script hears of a preemption when its grace begins."""
        said = f"{self.values.get('SlurmctldParameters', '')},{self.values.get('PreemptParameters', '')}".lower()
        return "send_user_signal" in said

    @property
    def isolation(self) -> str:
        """What separates tenants, in words fit for a contract."""
        cgroups = "cgroup" in self.values.get("TaskPlugin", "") and "cgroup" in self.values.get("ProctrackType", "")
        devices = "Slurm's control groups hold its processes" if cgroups else "Slurm holds its processes by their parents"
        return (
            f"a Slurm job; {devices}; one Unix user for all leases, so no wall between tenants' files on shared storage;"
            " network shared"
        )


def read(cluster: Cluster, tools: Tools) -> Configuration:
    """Ask the controller."""
    values = _pairs(tools.run("scontrol", "show", "config"))
    partitions = [dict(_WORD.findall(line)) for line in tools.run("scontrol", "-a", "-o", "show", "partition").splitlines()]
    ours = next((one for one in partitions if one.get("PartitionName") == cluster.partition), {})
    others = tuple(one for one in partitions if one and one is not ours)
    return Configuration(values, ours, others, epilog=cluster.epilog)


def accounts(tools: Tools, user: str) -> list[str] | None:
    """The accounts that a user may charge; None where there is no accounting to ask."""
    try:
        said = tools.run("sacctmgr", "-n", "-P", "show", "assoc", f"user={user}", "format=Account")
    except (Refused, FileNotFoundError):
        return None
    return sorted(set(filter(None, said.splitlines())))


def _pairs(text: str) -> dict[str, str]:
    found = (_PAIR.match(line) for line in text.splitlines())
    return {pair[1]: pair[2] for pair in found if pair}
