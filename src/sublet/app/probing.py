"""Asking replicas how they are: whether they answer, what they work on, and how far they have come."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from sublet.core.errors import NotFound
from sublet.core.ids import RunId
from sublet.core.model import Model, Replica, ReplicaState
from sublet.core.server_program import Load, ServerProgram

TIMEOUT_S = 2.0
_SENDERS = 8
_TAIL = 8_192  # bytes of output that are looked through for progress
Logs = Callable[[RunId], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Probed:
    """What one replica said."""

    answers: bool
    load: Load | None = None  # None: it does not say
    progress: str = ""


class Prober:
    """Asks many replicas at once, each for no longer than `TIMEOUT_S`."""

    def __init__(self, servers: Mapping[str, ServerProgram], logs: Logs) -> None:
        """`logs` gives what a run has printed."""
        self._servers, self._logs = servers, logs
        limits = httpx.Limits(max_connections=4 * _SENDERS)
        self._client = httpx.Client(limits=limits, timeout=TIMEOUT_S, trust_env=False)
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="probe")

    def close(self) -> None:
        """Give the connections back."""
        self._senders.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def ask(self, replicas: Sequence[tuple[Replica, Model]]) -> list[Probed]:
        """Each replica's answer, in their order."""
        return list(self._senders.map(lambda pair: self._one(*pair), replicas))

    def _one(self, replica: Replica, model: Model) -> Probed:
        server = self._servers[model.server]
        root = replica.root if server.runs else replica.url
        answered = self._get(root + server.health, replica)
        if answered is None:
            starts = replica.state is ReplicaState.STARTING and replica.lease is not None
            return Probed(answers=False, progress=self._progress(server, replica) if starts else "")
        if server.load is None or not server.metrics:
            return Probed(answers=True)
        figures = self._get(root + server.metrics, replica)
        return Probed(answers=True, load=None if figures is None else server.load(figures))

    def _get(self, url: str, replica: Replica) -> str | None:
        """What stands at an address; None if it does not answer well."""
        headers = {"Authorization": f"Bearer {replica.secret}"} if replica.secret else {}
        try:
            answer = self._client.get(url, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return answer.text if answer.is_success else None

    def _progress(self, server: ServerProgram, replica: Replica) -> str:
        tail = b""
        try:
            for part in self._logs(RunId(replica.id)):
                tail = (tail + part)[-_TAIL:]
        except NotFound:
            return ""  # its start was ordered, and not carried out yet
        return server.progress(tail.decode(errors="replace"))
