"""From settings to a way into the cluster, with the version asked first."""

from dataclasses import replace

from sublet.core.errors import Invalid
from sublet.engines.slurm.either import Either
from sublet.engines.slurm.rest import Rest
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.tools import Tools
from sublet.engines.slurm.transport import Transport
from sublet.engines.slurm.versions import PARSERS, parser_of

HURRY_S = 1.0
"""How long slurmrestd may take for what the tools can do as well: while it hangs, the owner waits."""


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
    if not cluster.rest_url:
        return tools
    return Either(Rest(replace(cluster, timeout_s=min(cluster.timeout_s, HURRY_S)), parser), tools)


def _rest_alone(cluster: Cluster) -> Transport:
    """Without the tools the daemon itself has to say which Slurm it is, in whichever version it answers."""
    *others, newest = sorted(PARSERS.values())
    del others
    rest = Rest(cluster, newest)
    parser_of(rest.version())
    return rest
