"""The folder of a report. One that holds something is left alone unless that is forced."""

import os
from collections.abc import Callable, Mapping
from operator import methodcaller
from pathlib import Path

from sublet.core.errors import Conflict, Unavailable


def usable(path: Path, *, force: bool) -> None:
    """Raise `Conflict` where a report cannot be written, before the work is done."""
    held = path
    while not held.exists() and held != held.parent:
        held = held.parent
    if path.is_file() or not held.is_dir() or not os.access(held, os.W_OK | os.X_OK):
        reason = "it is a file" if path.is_file() else f"{held} is no folder that can be written to"
        raise Conflict(f"{path} cannot be used: {reason}", field="out", hint="choose another folder: --out")
    if path.is_dir() and any(path.iterdir()) and not force:
        hint = "choose another folder with --out, or write over the report in it with --force"
        raise Conflict(f"{path} is not empty", field="out", hint=hint)


def save_files(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their names below the folder, in this order: where the last one is, the rest is there, too."""
    try:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            put(path / name, methodcaller("write_bytes", content))
    except OSError as error:
        hint = "make room, or choose another folder: --out"
        raise Unavailable(f"{path} cannot be written: {error.strerror}", field="out", hint=hint) from error


def put(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the file and put it in its place at once, so that nobody finds half of one."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
