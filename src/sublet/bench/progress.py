"""How benchmarks tell how far they are."""

from collections.abc import Callable

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

STAGES = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
"""What a progress bar of stages shows."""
Progress = Callable[[str, float], None]
"""(what is being measured, which share of it is done)."""


def prefixed(progress: Progress, name: str) -> Progress:
    """The same for a part of what is measured: `name` stands before what it tells."""
    return lambda what, share: progress(f"{name}: {what}", share)
