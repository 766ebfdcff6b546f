"""What the training run proves: its loss went on falling over attempts, read from what each attempt printed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sublet.cli.client import ApiError, Client

_STEP = re.compile(r"^step (\d+) loss (\d+\.\d+)$", re.MULTILINE)
_RESUMED = re.compile(r"^resumed at step (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt: where it took the training up, and (step, loss) as it went on."""

    attempt: int
    resumed_at: int | None
    losses: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Learning:
    """The training over all attempts that got as far as a first loss."""

    runs: tuple[Run, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """Every loss printed, in order."""
        return tuple(loss for run in self.runs for _, loss in run.losses)

    @property
    def falling(self) -> bool:
        """Whether each attempt began and ended below the one before it, and the last loss is below the first."""
        pairs = list(zip(self.runs, self.runs[1:], strict=False))
        began = all(b.losses[0][1] < a.losses[0][1] for a, b in pairs)
        ended = all(b.losses[-1][1] <= a.losses[-1][1] for a, b in pairs)
        return len(self.losses) > 1 and began and ended and self.losses[-1] < self.losses[0]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        losses = self.losses
        return {
            "attempts": len(self.runs),
            "resumed": sum(run.resumed_at is not None for run in self.runs),
            "steps": self.runs[-1].losses[-1][0] if self.runs else 0,
            "first_loss": losses[0] if losses else None,
            "last_loss": losses[-1] if losses else None,
            "falling": self.falling,
        }


def read(client: Client, lease: str) -> Learning:
    """The training of a lease, from the logs of its attempts."""
    attempts = client.get(f"/v1/leases/{lease}")["attempt"]
    printed = [(n, _printed(client, lease, n)) for n in range(1, attempts + 1)]
    return parse(printed)


def parse(printed: Sequence[tuple[int, str]]) -> Learning:
    """The training from (attempt, what it printed)."""
    runs = []
    for attempt, text in printed:
        losses = tuple((int(step), float(loss)) for step, loss in _STEP.findall(text))
        resumed = _RESUMED.search(text)
        if losses:
            runs.append(Run(attempt, int(resumed[1]) if resumed else None, losses))
    return Learning(tuple(runs))


def _printed(client: Client, lease: str, attempt: int) -> str:
    """What an attempt printed; nothing, if it ended before it ran."""
    try:
        return client.raw(f"/v1/leases/{lease}/logs", attempt=attempt).text
    except ApiError as error:
        if error.status == 404:
            return ""
        raise
