"""`python -m sublet.gateway.servers.supervise HEALTH COMMAND...`: starts a server program and says how it ended.

A notice is no order to end: the server goes on until its requests are done elsewhere, and whoever gave the notice ends it. A
server that dies after it has been ready is to be started again (exit code 85); one that was never ready has failed.
Only the standard library is used, and of that what loads fast: every start waits for it.
"""

import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

RESTART, FAILED = 85, 1
NOTICE_SIGNAL = "USR1"
"""Given with a notice and with a stop; the notice file tells which it is."""
_LOOK_S, _SOON_S = 0.25, 0.05


def answers(health: str) -> bool:
    """Whether a server says that it takes requests."""
    address = urlsplit(health)
    try:
        connection = HTTPConnection(address.hostname or "", address.port, timeout=2)
        connection.request("GET", address.path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False


def noticed() -> bool:
    """Whether this run was given its notice."""
    return os.path.exists(os.environ.get("SUBLET_NOTICE_FILE", ""))  # noqa: PTH110 (pathlib would cost a tenth of the start)


def main() -> None:
    """See one server through."""
    health, *command = sys.argv[1:]
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the server inherits that: a notice must not end it
    began = time.monotonic()
    try:
        server = subprocess.Popen(command)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}; is it installed where this lease runs?")
    told: list[int] = []

    def end(number: int, _frame: object) -> None:
        if number == signal.SIGUSR1 and noticed():
            print("noticed: it serves until it is ended", flush=True)
            return
        told.append(number)
        server.terminate()

    signal.signal(signal.SIGUSR1, end)
    signal.signal(signal.SIGTERM, end)
    ready = False
    while server.poll() is None:
        if not ready and answers(health):
            ready = True
            print(f"ready after {time.monotonic() - began:.2f} s", flush=True)
        time.sleep(_LOOK_S if ready else _SOON_S)
    if told:
        sys.exit(128 + told[0])
    print(f"the server ended with exit code {server.returncode}{'' if ready else ' before it was ready'}", flush=True)
    sys.exit(RESTART if ready else FAILED)


if __name__ == "__main__":
    main()
