"""What an owner adds to a cluster before the first lease: lines for slurm.conf, and the commands around them.

Nothing of his own partitions changes. Leases queue in a partition of their own below all of them, so that they never stand
before a job of his in the queue, and Slurm may preempt them when Sublet is gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sublet.engines.slurm.configuration import Configuration
from sublet.engines.slurm.nodes import Node
from sublet.engines.slurm.site import Cluster


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, where, and why."""

    where: str
    why: str
    lines: tuple[str, ...]


def steps(cluster: Cluster, told: Configuration, nodes: Iterable[Node], *, notice_s: int, user: str) -> list[Step]:
    """All of them, those that the cluster has already left out."""
    found = [_preemption(told), _warning(told), _partition(cluster, told, nodes, notice_s), *_accounts(cluster, told, user)]
    found.append(
        Step(
            "the controller, as a service that is always restarted",
            "keeps Slurm's own preemption off while Sublet lives, so that the leases end whose end loses least",
            (f"sublet slurm net > /usr/local/sbin/sublet-net && chmod +x {_NET} && {_NET}",),
        )
    )
    found.append(
        Step(
            "optional: every node, then `slurm_epilog = true` in sublet.toml",
            "root looks at each node when a lease has left it; without it the job's own agent and Slurm vouch for that",
            ("sublet slurm epilog > /etc/slurm/sublet-epilog && chmod +x /etc/slurm/sublet-epilog", _EPILOG),
        )
    )
    return [step for step in found if step.lines]


_NET = "/usr/local/sbin/sublet-net"
_EPILOG = "Epilog=/etc/slurm/sublet-epilog     # in slurm.conf; if you have one, call this at its end"
_CONF = "slurm.conf, then `scontrol reconfigure`"


def _preemption(told: Configuration) -> Step:
    lines = []
    if told.values.get("PreemptType", "preempt/none") not in {"preempt/partition_prio", "preempt/qos"}:
        lines.append("PreemptType=preempt/partition_prio")
    if told.values.get("PreemptMode", "OFF") == "OFF":
        lines.append("PreemptMode=REQUEUE")
    return Step(_CONF, "lets a partition preempt one below it; your own keep what they have", tuple(lines))


def _warning(told: Configuration) -> Step:
    have = told.values.get("SlurmctldParameters", "")
    have = "" if have in {"", "(null)"} else f"{have},"
    lines = () if told.sends_warning else (f"SlurmctldParameters={have}preempt_send_user_signal",)
    return Step(_CONF, "a lease hears of Slurm's own preemption when its grace begins, not when it ends", lines)


def _partition(cluster: Cluster, told: Configuration, nodes: Iterable[Node], notice_s: int) -> Step:
    if told.partition:
        return Step(_CONF, "", ())
    names = ",".join(sorted(node.name for node in nodes if node.gpus)) or "ALL"
    line = (
        f"PartitionName={cluster.partition} Nodes={names if len(names) < 200 else 'ALL'} PriorityTier=0 PreemptMode=REQUEUE"
        f" GraceTime={notice_s} MaxTime=UNLIMITED OverSubscribe=NO State=UP"
    )
    return Step(_CONF, "where leases queue: below every partition of yours, whose PriorityTier is 1 or more", (line,))


def _accounts(cluster: Cluster, told: Configuration, user: str) -> list[Step]:
    if "associations" not in told.values.get("AccountingStorageEnforce", "").lower():
        return []
    account = cluster.account or "leases"
    lines = (
        f"sacctmgr -i add account {account} description=leases organization=sublet",
        f"sacctmgr -i add user {user} account={account}",
    )
    why = (
        f"the cluster wants an association; set slurm_account = {account!r} in sublet.toml, and limits with GrpTRES=gres/gpu=N"
    )
    return [Step("the accounting database", why, lines)]
