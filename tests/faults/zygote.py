"""Forks control planes that a test may kill: all is imported and compiled once, so that a restart costs milliseconds.

Reads one line for each control plane wanted and answers with its process id, and again with `ready` when its loops run.
"""

import os
import sys
from pathlib import Path

from sublet.app.clock import Clock
from sublet.app.control import ControlPlane
from sublet.app.loops import Rhythm
from sublet.app.settings import Settings
from sublet.core.rehearsal import rehearse
from sublet.core.units import HOUR_US, SECOND_US
from sublet.engines.local.engine import LocalEngine
from sublet.store.database import Database

SLOTS = 8


def control_plane(folder: Path, url: str, ready: int) -> None:
    settings = Settings(data_dir=folder, database=url, tick_ms=20, meter_ms=250)
    engine = LocalEngine(folder / "engine", slots=SLOTS)
    rhythm = Rhythm(meter_us=SECOND_US // 4, audit_us=HOUR_US, purge_us=HOUR_US)
    plane = ControlPlane(settings, Database(url), engine, Clock(), forecast_every_us=HOUR_US, rhythm=rhythm)
    os.write(ready, b"ready\n")
    plane.run_forever()


def main(folder: Path, url: str) -> None:
    rehearse()
    answers = os.dup(1)
    os.dup2(2, 1)  # what is logged goes to stderr
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            control_plane(folder, url, answers)
            os._exit(0)
        os.write(answers, f"{pid}\n".encode())
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
