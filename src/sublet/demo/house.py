"""The demo's data directory: made anew for each run, and never somebody else's."""

import fcntl
import shutil
import time
from pathlib import Path

from sublet.core.errors import Conflict, Unavailable
from sublet.core.ids import RunId
from sublet.engines.protocol import Engine, Phase, StopOrder

MARKER = ".sublet-demo"
_TEXT = "Made by `sublet demo`; the next run replaces this directory.\n"
_WAIT_S = 10.0


def check(directory: Path) -> None:
    """Raise `Conflict` if the directory is not ours to replace, or a demo is using it."""
    if directory.exists() and not _is_ours(directory):
        raise Conflict(
            f"{directory} exists and was not made by `sublet demo`, so it is left alone",
            field="--data-dir",
            hint="name another directory, or remove this one yourself",
        )
    _check_unused(directory)


def replace(directory: Path) -> None:
    """Make the directory anew; `check` has said that it may be."""
    if directory.exists():
        _remove(directory)
    try:
        directory.mkdir(parents=True)
        (directory / MARKER).write_text(_TEXT)
    except OSError as error:
        hint = "name a directory that can be written, with --data-dir"
        raise Unavailable(f"{directory} cannot be made: {error.strerror}", field="--data-dir", hint=hint) from error


def left_running(directory: Path) -> Path | None:
    """The engine's directory of an earlier demo, whose processes may have outlived it (after a SIGKILL, say)."""
    engine = directory / "engine"
    return engine if _is_ours(directory) and (engine / "runs").is_dir() else None


def end_runs(engine: Engine) -> int:
    """End every run of an engine for good, in bounded time; returns how many were still going."""
    alive = _alive(engine)
    deadline = time.monotonic() + _WAIT_S
    going = alive
    while going and time.monotonic() < deadline:
        engine.stop([StopOrder(run, grace_us=0) for run in going])
        time.sleep(0.05)
        going = _alive(engine)
    return len(alive)


def _alive(engine: Engine) -> list[RunId]:
    return [run for run, seen in engine.observe().items() if seen.phase in {Phase.STARTING, Phase.RUNNING}]


def _is_ours(directory: Path) -> bool:
    marker = directory / MARKER
    return marker.is_file() or (directory.is_dir() and not any(directory.iterdir()))


def _check_unused(directory: Path) -> None:
    lock = directory / "control.lock"
    if not lock.exists():
        return
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            said = f"a demo is running in {directory} (process {file.read().strip() or 'unknown'})"
            raise Conflict(said, field="--data-dir", hint="end it first, or name another directory") from error


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        said = f"the data of the last demo in {directory} cannot be removed: {error.strerror}"
        raise Unavailable(said, field="--data-dir", hint="remove it yourself, or name another directory") from error
