"""The safety net: Slurm's own preemption, off while Sublet is alive and on when it falls silent.

Slurm would preempt within a second of the owner's submission, and by its own order, before a plan could choose the leases whose
end loses least. So the surplus partition says `PreemptMode=REQUEUE` in slurm.conf, and a few lines of shell on the controller
switch that off as long as Sublet touches a file. They need nothing of Sublet, so they hold when all of it is gone.
"""

import shlex
from pathlib import Path

from sublet.engines.slurm.site import Cluster

ALIVE = "alive"
"""Touched below `shared` by the engine every few seconds."""
WATCHED = "net"
"""Touched below `shared` by the script, so that `sublet slurm check` can say whether it runs."""
SILENT_S = 20
EVERY_S = 5

_SCRIPT = """#!/bin/sh
# Slurm's own preemption of leases: off while Sublet lives, on {silent} s after it fell silent.
# Run it on the controller as a user who may change partitions, for ever (a systemd service with Restart=always).
partition={partition}
alive={alive}
seen={seen}
while :; do
  age=$(( $(date +%s) - $(stat -c %Y "$alive" 2>/dev/null || echo 0) ))
  if [ "$age" -gt {silent} ]; then want=REQUEUE; else want=OFF; fi
  case " $(scontrol -o show partition "$partition" 2>/dev/null) " in
    *" PreemptMode=$want "*) ;;
    *" PreemptMode="*) scontrol update "partitionname=$partition" "preemptmode=$want" &&
      echo "$(date -u +%FT%TZ) Sublet was last seen $age s ago: PreemptMode=$want" ;;
  esac
  touch "$seen"
  sleep {every}
done
"""


def script(cluster: Cluster) -> str:
    """The shell script for this cluster."""
    return _SCRIPT.format(
        partition=shlex.quote(cluster.partition),
        alive=shlex.quote(str(cluster.shared / ALIVE)),
        seen=shlex.quote(str(cluster.shared / WATCHED)),
        silent=SILENT_S,
        every=EVERY_S,
    )


def runs(cluster: Cluster, *, now_s: float) -> bool:
    """Whether somebody runs the script now."""
    return now_s - _touched_s(cluster.shared / WATCHED) < 4 * EVERY_S


def _touched_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
