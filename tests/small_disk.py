"""A disk of its own that is small enough to fill: a tmpfs, which needs root and a kernel that lets it mount."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PIECE = 1 << 16


class NoDisk(Exception):
    """Nothing can be mounted here; the message says why."""


@dataclass(frozen=True)
class SmallDisk:
    """Where it is mounted."""

    path: Path

    @property
    def filler(self) -> Path:
        return self.path / "filler"

    def fill(self) -> None:
        """Leave not one byte free."""
        with self.filler.open("ab", buffering=0) as filler:
            for piece in (_PIECE, 1):
                try:
                    while True:
                        filler.write(b"\0" * piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give back what filled it."""
        self.filler.unlink()


@contextmanager
def small_disk(path: Path, *, mib: int) -> Iterator[SmallDisk]:
    """A disk of so many MiB at `path`, gone at the end."""
    path.mkdir(mode=0o755)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        path.rmdir()
        raise NoDisk(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        path.rmdir()
