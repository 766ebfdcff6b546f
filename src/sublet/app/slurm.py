"""From our settings to what the Slurm engine is told."""

import sys
from pathlib import Path

from sublet.app.settings import Settings
from sublet.core.errors import Invalid
from sublet.engines.slurm.site import Cluster


def named_cluster(settings: Settings) -> Cluster:
    """The cluster that the settings name; raises `Invalid` where they name none."""
    cluster = cluster_of(settings)
    if cluster is None:
        hint = "set it in sublet.toml to a directory that this machine and every node see under the same path"
        raise Invalid("no directory is shared with the nodes", field="slurm_shared", hint=hint)
    return cluster


def cluster_of(settings: Settings) -> Cluster | None:
    """The cluster that the settings name; None where they name none."""
    if settings.slurm_shared is None:
        return None
    return Cluster(
        shared=settings.slurm_shared,
        partition=settings.slurm_partition,
        account=settings.slurm_account,
        qos=settings.slurm_qos,
        rest_url=settings.slurm_rest_url,
        token_file=settings.slurm_token_file,
        user=settings.slurm_user,
        python=settings.slurm_python,
        programs=str(settings.slurm_programs or Path(sys.prefix, "bin")),
        epilog=settings.slurm_epilog,
        installation=settings.slurm_name,
        timeout_s=settings.slurm_timeout_ms / 1_000,
    )
