"""What a run prints, kept up to a limit: a chatty workload cannot fill the disk.

The log is a row of segments named by the offset of their first byte. Only the two newest are kept, so at least half of the
limit and never more than the limit is there, and an offset means the same byte for ever.
"""

import os
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 16


def segments(directory: Path) -> list[tuple[int, Path]]:
    """(offset of the first byte, file) in order."""
    return sorted((int(path.suffix[1:]), path) for path in directory.glob("log.*"))


def read(directory: Path, offset: int) -> Iterator[bytes]:
    """The log from `offset`, or from the first byte still there, as far as it is written."""
    for first, path in segments(directory):
        try:
            with path.open("rb") as file:
                file.seek(max(0, offset - first))
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:  # dropped since it was listed
            continue


class Output:
    """The keeper's end: takes bytes, forgets the oldest."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = max(1, limit_bytes // 2)
        self._offset = 0
        self._fd = -1
        self._room = 0

    def take(self, data: bytes) -> None:
        """Append. A full disk costs log lines, never the run."""
        while data:
            if not self._room:
                self._turn()
            part, data = data[: self._room], data[self._room :]
            try:
                os.write(self._fd, part)
            except OSError:
                os.ftruncate(self._fd, 0)
                self._room = 0
                self._offset += len(part)
                continue
            self._room -= len(part)
            self._offset += len(part)

    def _turn(self) -> None:
        """Begin a segment and drop all but the one before it."""
        if self._fd >= 0:
            os.close(self._fd)
        for _, path in segments(self._directory)[:-1]:
            path.unlink(missing_ok=True)
        name = self._directory / f"log.{self._offset:015d}"
        self._fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._room = self._segment_bytes
