"""Whether a running cluster has what leases need, point by point, each with the way out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sublet.core.errors import SubletError
from sublet.engines.slurm import configuration, net, shipping
from sublet.engines.slurm.configuration import Configuration
from sublet.engines.slurm.nodes import Node
from sublet.engines.slurm.rest import Rest
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.tools import Tools
from sublet.engines.slurm.versions import parser_of

MIN_JOB_AGE_S = 60
_PROBE = (
    "import sys, os; assert sys.version_info >= (3, 11), sys.version; assert os.access(sys.argv[1], os.W_OK), 'not writable'"
)


class Grade(StrEnum):
    """How much a point matters."""

    FINE = "fine"
    ADVICE = "advice"
    MISSING = "missing"  # leases do not work, or the owner is not safe, without it


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that was looked at."""

    name: str
    grade: Grade
    said: str
    way_out: str = ""


def points(cluster: Cluster, *, user: str, probe: bool) -> list[Point]:
    """Everything that was found; it ends where nothing further can be asked. `probe`: run a small job, too."""
    try:
        cluster.check()
        tools = Tools(timeout_s=cluster.timeout_s)
        version = tools.version().strip()
        parser_of(version)
        told = configuration.read(cluster, tools)
        nodes = tools.nodes()
    except SubletError as error:
        return [Point("Slurm", Grade.MISSING, error.message, error.hint or "")]
    found = [Point("Slurm", Grade.FINE, f"{version}; the controller answers")]
    found += [_nodes(nodes), *_partition(cluster, told), *_preemption(cluster, told), _memory(told), _shared(cluster)]
    found += [_account(cluster, told, tools, user), *_rest(cluster, version)]
    if probe:
        found.append(_probed(cluster, tools))
    return found


def _nodes(nodes: list[Node]) -> Point:
    fit = [node for node in nodes if node.gpus and not node.problem]
    gpus = sum(node.gpus for node in fit)
    kinds = ", ".join(sorted({node.gpu_type for node in fit}))
    if not fit:
        way_out = "Gres=gpu:TYPE:N on the nodes' lines of slurm.conf, GresTypes=gpu, and gres.conf on the nodes"
        return Point("GPUs", Grade.MISSING, "no node with GPUs is fit for use", way_out)
    return Point(
        "GPUs", Grade.FINE, f"{gpus} ({kinds}) on {len(fit)} nodes; {len(nodes) - len(fit)} nodes are unfit or without"
    )


def _partition(cluster: Cluster, told: Configuration) -> Iterator[Point]:
    name, ours = cluster.partition, told.partition
    if not ours:
        yield Point("partition", Grade.MISSING, f"there is no partition {name}", "`sublet slurm plan` prints its line")
        return
    up = ours.get("State") == "UP"
    yield Point("partition", Grade.FINE if up else Grade.MISSING, f"{name} is {ours.get('State')}", "" if up else "State=UP")
    tier = int(ours.get("PriorityTier", "1"))
    level = [other["PartitionName"] for other in told.others if int(other.get("PriorityTier", "1")) <= tier]
    if level:
        said = f"{', '.join(level)} do not stand above {name} (PriorityTier={tier}): leases queue beside the owner's jobs"
        yield Point("priority", Grade.MISSING, said, f"PriorityTier=0 for {name}, or more than {tier} for the others")
    else:
        yield Point("priority", Grade.FINE, f"every other partition stands above {name}")


def _preemption(cluster: Cluster, told: Configuration) -> Iterator[Point]:
    kind, mode = told.values.get("PreemptType", ""), told.values.get("PreemptMode", "OFF")
    able = kind in {"preempt/partition_prio", "preempt/qos"} and not mode.startswith("OFF")
    said = f"PreemptType={kind}, PreemptMode={mode}"
    way_out = "" if able else "`sublet slurm plan` prints the lines; without them nobody helps the owner while Sublet is down"
    yield Point("preemption", Grade.FINE if able else Grade.MISSING, said, way_out)
    watched = net.runs(cluster, now_s=time.time())
    own = told.partition.get("PreemptMode", "OFF")
    if watched:
        yield Point("safety net", Grade.FINE, f"sublet-net runs; Slurm's own preemption is {own} now")
    elif own == "OFF":
        said = f"PreemptMode=OFF for {cluster.partition} and no sublet-net that would switch it on"
        yield Point("safety net", Grade.MISSING, said, "`sublet slurm net` prints the script; or PreemptMode=REQUEUE")
    else:
        said = f"PreemptMode={own} always: Slurm preempts by its own order before a plan of ours can choose"
        yield Point("safety net", Grade.ADVICE, said, "`sublet slurm net` prints a script that keeps it off while Sublet lives")
    if told.sends_warning:
        yield Point("warning", Grade.FINE, f"a lease that Slurm preempts is told {told.grace_s} s before")
    else:
        said = "a lease that Slurm itself preempts hears nothing before its end"
        yield Point("warning", Grade.ADVICE, said, "SlurmctldParameters=preempt_send_user_signal")


def _memory(told: Configuration) -> Point:
    text = told.values.get("MinJobAge", "300").split()[0]
    seconds = int(text) if text.isdigit() else 0
    if seconds < MIN_JOB_AGE_S:
        said = f"Slurm forgets a job {seconds} s after its end: a control plane that was down longer cannot see how it ended"
        return Point("memory", Grade.ADVICE, said, "MinJobAge=300 (Slurm's default)")
    return Point("memory", Grade.FINE, f"Slurm tells of a job for {seconds} s after its end")


def _shared(cluster: Cluster) -> Point:
    try:
        shipping.writable(cluster.shared)
    except OSError as error:
        way_out = "slurm_shared must be a directory that this user can write"
        return Point("shared directory", Grade.MISSING, f"{cluster.shared}: {error.strerror}", way_out)
    return Point("shared directory", Grade.FINE, f"{cluster.shared} can be written here (--probe: on a node, too)")


def _account(cluster: Cluster, told: Configuration, tools: Tools, user: str) -> Point:
    if "associations" not in told.values.get("AccountingStorageEnforce", "").lower():
        return Point("account", Grade.FINE, "the cluster asks for none")
    mine = configuration.accounts(tools, user) or []
    wanted = cluster.account
    if "{tenant}" in wanted:
        head, tail = wanted.split("{tenant}", 1)
        known = [one for one in mine if one.startswith(head) and one.endswith(tail)]
        said = f"{user} may charge {', '.join(known) or 'no account'} of the form {wanted}"
        return Point("account", Grade.FINE if known else Grade.MISSING, said, "" if known else "one account for each tenant")
    if (wanted and wanted in mine) or (not wanted and mine):
        return Point("account", Grade.FINE, f"{user} may charge {wanted or mine[0]}")
    said = f"{user} may charge {', '.join(mine) or 'no account'}" + (f", not {wanted}" if wanted else "")
    return Point("account", Grade.MISSING, said, "`sublet slurm plan` prints the sacctmgr commands")


def _rest(cluster: Cluster, version: str) -> Iterator[Point]:
    if not cluster.rest_url:
        return
    parser = parser_of(version)
    yield _tried("slurmrestd", lambda: f"{cluster.rest_url} answers ({Rest(cluster, parser).version()}, data {parser})")


def _probed(cluster: Cluster, tools: Tools) -> Point:
    """A job of a second on some node of the partition."""
    words = [f"--partition={cluster.partition}", "--nodes=1", "--ntasks=1", "--time=1", "--immediate=20", "--quiet"]
    words += [f"--account={cluster.account}"] if cluster.account else []
    words += [f"--qos={cluster.qos}"] if cluster.qos else []

    def tried() -> str:
        tools.run("srun", *words, cluster.python, "-c", _PROBE, str(cluster.shared))
        return f"a job ran: {cluster.python} is 3.11 or later there, and {cluster.shared} can be written"

    return _tried("probe", tried)


def _tried(name: str, ask: Callable[[], str]) -> Point:
    try:
        return Point(name, Grade.FINE, ask())
    except SubletError as error:
        return Point(
            name, Grade.MISSING, error.message, error.hint or "look at the node's Python and its mount of slurm_shared"
        )
