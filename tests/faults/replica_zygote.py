"""Forks whole servers, each a replica on one database, that a test may kill, pause and wake.

Reads `data_dir port` lines and answers each with a process id.
"""

import os
import signal
import sys
from pathlib import Path

from sublet.app import logging
from sublet.app.settings import Settings
from sublet.core.rehearsal import rehearse
from sublet.serving import Server

SLOTS = 8


def replica(folder: Path, url: str, name: str, port: int) -> None:
    settings = Settings(
        data_dir=folder / name,
        engine_dir=folder / "engine",
        database=url,
        port=port,
        engine="cpu",
        slots=SLOTS,
        tick_ms=20,
        meter_ms=250,
        takeover_ms=1_500,
        books_apart_from=0 if name == "two" else 5_000,
        log_level="warning",
    )
    logging.configure(settings)
    Server(settings).run()


def main(folder: Path, url: str) -> None:
    rehearse()
    answers = os.dup(1)
    os.dup2(2, 1)  # what is logged goes to stderr
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that are killed
    for line in sys.stdin:
        name, port = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            replica(folder, url, name, int(port))
            os._exit(0)
        os.write(answers, f"{pid}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
