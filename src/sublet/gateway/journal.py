"""The journal: what was used is on the disk before its caller hears the end of the answer.

Records are lines of JSON in files that were filled with zeros beforehand: writing over what is there changes no size, so the
disk has to take the record alone and not the file system's own journal, which others write, too. They are written and
synchronised by a thread, all that wait at once in one go, so many requests share one write to the disk. A record is dropped
once its charge is in the database; a file, when all of its records are. What a process left behind when it was killed is read
by its next start.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sublet.app.token_journal import SUFFIX, files
from sublet.gateway.threads import Thread

_FILE_BYTES = 2 * 1024 * 1024
_ZEROS = bytes(64 * 1024)


class Journal:
    """Files in a folder of their own. Only one process may write it."""

    def __init__(self, folder: Path, *, alone: Callable[[], bool] = lambda: False) -> None:
        """`alone`: whether nothing else happens meanwhile, so that the record may as well be written at once.

        Two changes of thread cost more than the write itself, and on a busy machine a place in its queue each.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self._alone = folder, alone
        self._thread = Thread("journal")
        self._waiting: list[tuple[bytes, asyncio.Future[int]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._left: dict[int, int] = {}  # records of a file whose charges are not in the database
        self._number = max((int(file.stem) for file in files(self.folder)), default=0)
        self._fd, self._bytes = -1, 0

    def begin(self) -> None:
        """Forget what earlier processes left, whose charges are in the database by now, and open a new file."""
        for file in files(self.folder):
            file.unlink()
        self._turn_to(self._made(self._number + 1))

    def write(self, record: bytes) -> "asyncio.Future[int]":
        """Put a record on the disk, whoever waits for it: the number of its file, or `OSError` if that fails."""
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._writing is None and self._alone():
            self._write_one(record + b"\n", written)
        else:
            self._waiting.append((record, written))
            if self._writing is None:
                self._writing = asyncio.ensure_future(self._write_all())
        return written

    def drop(self, number: int, records: int) -> None:
        """So many records of a file are in the database."""
        self._left[number] -= records
        if self._left[number] == 0 and number != self._number:
            del self._left[number]
            self._path(number).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; it goes if nothing in it is still needed."""
        self._thread.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._left.get(self._number) == 0:
                self._path(self._number).unlink(missing_ok=True)

    def _write_one(self, text: bytes, written: "asyncio.Future[int]") -> None:
        try:
            with self._careful():
                if self._is_full(text):
                    self._turn_to(self._made(self._number + 1))
                self._put(text)
        except OSError as error:
            written.set_exception(error)
        else:
            written.set_result(self._note(text, 1))

    async def _write_all(self) -> None:
        """Write what waits, and what has come in the meantime, until nothing waits."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._write_batch(batch)
        finally:
            self._writing = None

    async def _write_batch(self, batch: list[tuple[bytes, "asyncio.Future[int]"]]) -> None:
        text = b"".join(record + b"\n" for record, _ in batch)
        try:
            with self._careful():
                if self._is_full(text):
                    number = self._number + 1
                    self._turn_to(await self._thread.do(lambda: self._made(number)))
                await self._thread.do(lambda: self._put(text))
        except OSError as error:
            for _, written in batch:
                if not written.done():
                    written.set_exception(error)
            return
        number = self._note(text, len(batch))
        for _, written in batch:
            if not written.done():
                written.set_result(number)

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """After a failure the last line may be half there: go on in a new file."""
        try:
            yield
        except OSError:
            self._bytes = _FILE_BYTES
            raise

    def _is_full(self, text: bytes) -> bool:
        return self._bytes > 0 and self._bytes + len(text) > _FILE_BYTES

    def _put(self, text: bytes) -> None:
        view = memoryview(text)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fdatasync(self._fd)

    def _note(self, text: bytes, records: int) -> int:
        """So many records are in the file; its number."""
        self._bytes += len(text)
        self._left[self._number] += records
        return self._number

    def _made(self, number: int) -> int:
        """A new file, filled with zeros; open at its beginning."""
        fd = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            left = _FILE_BYTES
            while left > 0:
                left -= os.write(fd, _ZEROS[:left])
            os.fsync(fd)
            os.lseek(fd, 0, os.SEEK_SET)
            folder = os.open(self.folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _turn_to(self, fd: int) -> None:
        """Go on in a new file; the old one goes if nothing in it is still needed."""
        old, old_fd = self._number, self._fd
        self._number, self._fd = old + 1, fd
        self._bytes, self._left[self._number] = 0, 0
        if old_fd >= 0:
            os.close(old_fd)
        if self._left.get(old) == 0:
            del self._left[old]
            self._path(old).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}{SUFFIX}"
