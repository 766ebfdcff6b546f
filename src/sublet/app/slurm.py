"""From our settings to what the Slurm engine is told."""

from sublet.app.settings import Settings
from sublet.engines.slurm.site import Cluster


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
        epilog=settings.slurm_epilog,
        installation=settings.slurm_name,
    )
