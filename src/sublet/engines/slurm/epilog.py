"""The nodes' own hand-over: a Slurm epilog that looks at each node as root when a lease has left it, and says what it found.

It does nothing for jobs that are not leases. A node that is not clean is drained, so that Slurm gives it to nobody either.
"""

import shlex

from sublet.engines.slurm.cleaning import EPILOG_DIRECTORY
from sublet.engines.slurm.site import Cluster

_SCRIPT = """#!/bin/sh
# Slurm epilog (slurm.conf: Epilog=this file, on every node): the hand-over of Sublet's leases.
if [ -z "$SUBLET_EPILOG" ]; then # begin anew without the job's own variables, or we should find ourselves below
  [ "$SLURM_JOB_PARTITION" = {partition} ] || exit 0
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  exec env -i SUBLET_EPILOG=1 PATH=$PATH SLURM_CONF="$SLURM_CONF" job="$SLURM_JOB_ID" cluster="$SLURM_CLUSTER_NAME" \\
    gpus="$SLURM_JOB_GPUS" node="${{SLURMD_NODENAME:-$(hostname -s)}}" sh "$0"
fi
into={into}
found= problem=
# 1. what carries the number of this cluster's job in its environment, by whatever way it left the job's containers
ours() {{
  for environ in $(grep -lsz "^SLURM_JOB_ID=$job\\$" /proc/[0-9]*/environ 2>/dev/null); do
    pid=${{environ#/proc/}} pid=${{pid%/environ}}
    grep -qsz "^SLURM_CLUSTER_NAME=$cluster\\$" "$environ" && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != slurmstepd ] &&
      echo "$pid"
  done
}}
left=$(ours)
if [ -n "$left" ]; then
  kill -KILL $left 2>/dev/null; sleep 1
  found="$(echo $left | wc -w) leftover processes ended"
  left=$(ours); [ -z "$left" ] || problem="processes $(echo $left) cannot be ended"
else found="no process left"; fi
# 2. the GPUs it had: no process on them
if command -v nvidia-smi >/dev/null && [ -n "$gpus" ]; then
  busy=$(nvidia-smi -i "$gpus" --query-compute-apps=pid --format=csv,noheader) || problem="nvidia-smi failed"
  [ -z "$busy" ] || problem="processes left on GPUs $gpus"
  found="$found; GPUs $gpus free"
fi
mkdir -p "$into" 2>/dev/null
printf '{{"found": "%s", "problem": "%s"}}\\n' "$found" "$problem" >"$into/.$job.$node" &&
  mv "$into/.$job.$node" "$into/$job.$node.json"
[ -z "$problem" ] || scontrol update "nodename=$node" state=drain "reason=sublet hand-over: $problem"
exit 0
"""


def script(cluster: Cluster) -> str:
    """The epilog for this cluster."""
    into = shlex.quote(str(cluster.shared / EPILOG_DIRECTORY))
    return _SCRIPT.format(partition=shlex.quote(cluster.partition), into=into)
