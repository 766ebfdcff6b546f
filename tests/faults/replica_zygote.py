"""Forks whole servers, each a replica on one database, that a test may kill, pause and wake.

Reads lines of `data_dir address port` and, where it is to run on a host of its own, that host's name, and answers each with a
process id.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from separate_hosts import move_to
from sublet.app import logging
from sublet.app.settings import Settings
from sublet.core.rehearsal import rehearse
from sublet.serving import Server

SLOTS = 8


def replica(folder: Path, url: str, name: str, address: str, port: int) -> None:
    settings = Settings(
        data_dir=folder / name,
        engine_dir=folder / "engine",
        database=url,
        host=address,
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
        name, address, port, *host = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for space in host:
                move_to(space)
            replica(folder, url, name, address, int(port))
            os._exit(0)
        os.write(answers, f"{pid}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
