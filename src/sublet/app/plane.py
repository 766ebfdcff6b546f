"""What the doors (API, metadata, webhooks) need of the running control plane."""

from collections.abc import Mapping
from typing import Any, Protocol

from sublet.app.clock import Clock
from sublet.app.metadata import Metadata
from sublet.app.metrics import Metrics
from sublet.app.mirror import Mirror
from sublet.app.replicas import Premises
from sublet.app.settings import Settings
from sublet.engines.protocol import Engine
from sublet.store.database import Database


class Plane(Protocol):
    """A control plane, running or not."""

    @property
    def settings(self) -> Settings:
        """How it runs."""

    @property
    def database(self) -> Database:
        """Where everything is kept."""

    @property
    def engine(self) -> Engine:
        """Where leases run."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def mirror(self) -> Mirror:
        """The live state in memory."""

    @property
    def metrics(self) -> Metrics:
        """What it counts."""

    @property
    def metadata(self) -> Metadata:
        """The addresses of its runs."""

    @property
    def premises(self) -> Premises:
        """What it has for models."""

    def wake(self) -> None:
        """Let the loops look now: something was written that concerns them."""

    def status(self) -> Mapping[str, Any]:
        """How the loops are doing."""
