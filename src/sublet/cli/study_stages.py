"""How far a study is: a bar for each stage on a terminal, a line for each where nobody watches, nothing for programs."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn


class Stages:
    """Told what is being done and which share of it is done; told of the next stage, the one before is over."""

    def __init__(self, console: Console, *, lines: bool) -> None:
        """`lines`: whether stages are told where there is no terminal."""
        self._console, self._lines = console, lines
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=console
        )
        self._stage: str | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._finish()
        if self._console.is_terminal:
            self._bars.stop()

    def tell(self, what: str, share: float) -> None:
        """`share` of 1; it never runs backwards within a stage."""
        if what != self._stage:
            self._finish()
            self._stage = what
            if not self._console.is_terminal:
                if self._lines:
                    self._console.print(f"{what} ...", markup=False)
                return
            self._task = self._bars.add_task(what, total=1.0)
        if self._task is not None:
            self._bars.update(self._task, completed=max(share, self._bars.tasks[self._task].completed))

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=1.0)
            self._bars.stop_task(self._task)
