"""The demo on a cluster: the owner queues by `sbatch`, and the books come out exact."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from slurm_cluster import Cluster
from sublet.engines.slurm.site import Cluster as Site


def test_a_short_day_on_the_cluster_adds_up(eight_nodes: Cluster, on: Callable[..., Site], tmp_path: Path) -> None:
    site = on(eight_nodes)
    eight_nodes.preempts(on=False)
    env = {**eight_nodes.env, "SUBLET_SLURM_SHARED": str(site.shared), "SUBLET_SLURM_NAME": site.installation}
    words = [sys.executable, "-m", "sublet.main", "demo", "--engine", "slurm", "--hours", "3", "--json"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    day = json.loads(done.stdout)
    assert day["slots"] == 64 and day["findings"] == [] and day["promises_broken"] == 0
    assert day["owner_jobs"]["started"] > 0 and day["billed_gpu_s"] > 0
    assert sum(day["gpu_s"].values()) == day["capacity_gpu_s"]
