"""Small JSON records that are written whole or not at all, also on a full disk.

A record that must not fail for want of space is *reserved* when the run is prepared: its blocks are on the disk, and
publishing it later only overwrites them and renames the file.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESERVED_BYTES = 4096
Record = dict[str, Any]


def read(path: Path) -> Record | None:
    """The record at `path`, or None where there is none (yet)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    record: Record = json.loads(text) if text.strip() else {}
    return record


def reserve(path: Path) -> None:
    """Claim the disk blocks of a record that will be published from `path`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, b" " * RESERVED_BYTES)
    finally:
        os.close(fd)


def publish(reserved: Path, final: Path, record: Mapping[str, Any]) -> None:
    """Fill the reserved record, make it durable and let it appear as `final` in one step."""
    data = json.dumps(record).encode()
    with reserved.open("r+b") as file:
        file.write(data)
        file.truncate()  # giving blocks back needs none
        file.flush()
        os.fsync(file.fileno())
    reserved.rename(final)
    sync_directory(final.parent)


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record that did not need to be reserved; durable and atomic, too."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    reserve(fresh)
    publish(fresh, path, record)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
