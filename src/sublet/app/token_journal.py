"""The files in which gateways put down what was used before it is in the database: who may read them, and what is in them.

A gateway holds its folder's lock as long as it lives, so whoever gets the lock knows that it does not.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson
import structlog

from sublet.core.model_request import Counted, ModelRequest, Outcome

SUFFIX, DAMAGED = ".journal", "damaged"
_LOOK_AGAIN_S = 0.05
log = structlog.get_logger(__name__)


def files(folder: Path) -> list[Path]:
    """A journal's files, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: int(file.stem))


def records(folder: Path) -> Iterator[bytes]:
    """Its records, oldest first; files are full of zeros where nothing was written.

    What was never confirmed to anybody does not count: a last line without its end, and what stands after a hole, which shows
    that the disk had not taken all of it.
    """
    for file in files(folder):
        for line in file.read_bytes().split(b"\n")[:-1]:
            if b"\0" in line:
                break
            if line:
                yield line


def request_of(record: bytes) -> ModelRequest:
    """The request behind a record; raises `ValueError`, `TypeError` or `KeyError` if it is none."""
    values = orjson.loads(record)
    return ModelRequest(**values | {"outcome": Outcome(values["outcome"]), "counted": Counted(values["counted"])})


def left_in(folder: Path) -> list[ModelRequest]:
    """The requests in a journal, oldest first.

    A record that cannot be read, of a disk that lost some of it, is set aside in the file `damaged` beside the journal and said
    in the log: it can be charged to nobody, and must not keep the others from being charged.
    """
    found, damaged = [], []
    for record in records(folder):
        try:
            found.append(request_of(record))
        except (ValueError, TypeError, KeyError):
            damaged.append(record)
    if damaged:
        _set_aside(folder / DAMAGED, damaged)
    return found


def _set_aside(file: Path, damaged: list[bytes]) -> None:
    """Once each: a journal is read again until all of it is charged."""
    known = set(file.read_bytes().split(b"\n")) if file.exists() else set()
    if fresh := [record for record in damaged if record not in known]:
        with file.open("ab") as out:
            out.write(b"\n".join(fresh) + b"\n")
        log.error("journal_damaged", records=len(fresh), kept_in=str(file))


def may_be_read(folder: Path, gateway: str) -> bool:
    """Whether this is the folder of that gateway, and ours to read: on another machine the same path is another's."""
    try:
        return (folder / "name").read_text().strip() == gateway and os.access(folder / "lock", os.W_OK)
    except OSError:
        return False


def taken(folder: Path, *, within_s: float = 0.0) -> IO[str] | None:
    """The folder's lock, held until it is closed; None as long as somebody else has it."""
    file = (folder / "lock").open("a")
    until = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(_LOOK_AGAIN_S)
                continue
            file.close()
            return None
        return file
