"""From settings to a way into the cluster, with the version asked first."""

from sublet.core.errors import Invalid
from sublet.engines.slurm.either import Either
from sublet.engines.slurm.rest import Rest
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.tools import Tools
from sublet.engines.slurm.transport import Transport
from sublet.engines.slurm.versions import PARSERS, parser_of


def connect(cluster: Cluster) -> Transport:
    """The way to this cluster. Raises `Invalid` where there is none or its Slurm is not known."""
    cluster.check()
    try:
        tools = Tools(timeout_s=cluster.timeout_s)
    except Invalid:
        if not cluster.rest_url:
            raise
        return _rest_alone(cluster)
    parser = parser_of(tools.version())
    return Either(Rest(cluster, parser), tools) if cluster.rest_url else tools


def _rest_alone(cluster: Cluster) -> Transport:
    """Without the tools the daemon itself has to say which Slurm it is, in whichever version it answers."""
    *others, newest = sorted(PARSERS.values())
    del others
    rest = Rest(cluster, newest)
    parser_of(rest.version())
    return rest
