"""From settings to an engine on a cluster."""

from sublet.core.errors import Invalid
from sublet.engines.slurm import configuration
from sublet.engines.slurm.configuration import Configuration
from sublet.engines.slurm.connect import connect
from sublet.engines.slurm.engine import SlurmEngine
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.tools import Tools


def make(cluster: Cluster) -> SlurmEngine:
    """The engine on this cluster; raises `Invalid` for what can never work and `Unavailable` if nobody answers."""
    transport = connect(cluster)
    try:
        told = configuration.read(cluster, Tools(timeout_s=cluster.timeout_s))
    except Invalid:  # no tools here: slurmrestd does not tell of the configuration
        told = Configuration(epilog=cluster.epilog)
    else:
        if not told.partition:
            hint = "`sublet slurm plan` prints what to add to slurm.conf"
            raise Invalid(f"the cluster has no partition {cluster.partition!r}", field="slurm_partition", hint=hint)
    return SlurmEngine(cluster, transport, told)
