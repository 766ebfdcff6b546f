"""From an order to a batch job: exactly these nodes, so many GPUs on each, and a share of what else they have."""

from collections.abc import Mapping

from sublet.engines.local.rundir import RunDir
from sublet.engines.protocol import StartOrder
from sublet.engines.slurm.nodes import Node
from sublet.engines.slurm.site import Cluster, account_of, mark_of
from sublet.engines.slurm.transport import Submission

MINUTE_US = 60_000_000
SPARE_MINUTES = 2
"""How long after the engine's own deadlines Slurm's time limit ends a job; it looks twice a minute."""
OPEN_ENDED_MINUTES = 7 * 24 * 60
"""The time limit of a lease without a term: an owner's scheduler plans better around jobs that say when they end."""
MEMORY_SHARE = 0.9
"""Of a node's memory, so that the owner's small jobs without GPUs find room beside a full house of leases."""


def submission(
    cluster: Cluster, order: StartOrder, nodes: Mapping[str, Node], script: str, run: RunDir, *, now_us: int
) -> Submission:
    """The job of a run. Which of a node's GPUs it gets is Slurm's to choose; how many, and where, is the order's."""
    first, mask = order.placement[0]
    gpus, node = mask.bit_count(), nodes[first]
    share = gpus / node.gpus
    memory = order.workload.memory_mib or int(node.memory_mib * MEMORY_SHARE * share)
    owner = order.is_owner
    return Submission(
        name=f"sublet-{order.task}",
        comment=mark_of(cluster, order.run),
        script=script,
        nodes=[node for node, _ in order.placement],
        gres=f"gpu:{node.gpu_type}:{gpus}" if node.gpu_type != "gpu" else f"gpu:{gpus}",
        cpus=max(1, int(node.cpus * share)),
        memory_mib=max(1, memory),
        minutes=_minutes(order, now_us),
        output=str(run.complaints),
        partition="" if owner else cluster.partition,
        account="" if owner else account_of(cluster, order.tenant),
        qos="" if owner else cluster.qos,
        held=cluster.held,
    )


def _minutes(order: StartOrder, now_us: int) -> int:
    ends = [] if order.kill_at_us is None else [order.kill_at_us - now_us]
    if order.workload.max_seconds is not None:
        ends.append(order.workload.max_seconds * 1_000_000)
    if not ends:
        return OPEN_ENDED_MINUTES
    return max(0, -(-min(ends) // MINUTE_US)) + SPARE_MINUTES
