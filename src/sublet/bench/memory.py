"""How much memory this process and those that it started hold at most, looked at several times a second."""

from threading import Event, Thread
from types import TracebackType
from typing import Self

import psutil

EVERY_S = 0.2


class Memory:
    """A context in which resident memory is watched; pages that processes share are counted for each of them."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.peak_gib = 0.0
        self._over = Event()
        self._watcher = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Look no more."""
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(EVERY_S):
            total = sum(_resident(one) for one in (me, *me.children(recursive=True)))
            self.peak_gib = max(self.peak_gib, total / 1024**3)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # it ended while we looked
        return 0
