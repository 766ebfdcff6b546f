"""What the composition root hands to the commands: how to open a server, and what its API looks like."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import typer

from sublet.app.settings import Settings

if TYPE_CHECKING:  # a control plane takes most of a second to load, and most commands talk to one that runs already
    from sublet.app.control import ControlPlane


class Server(Protocol):
    """A control plane with its API, on an address that is already taken."""

    @property
    def plane(self) -> "ControlPlane":
        """The control plane."""

    @property
    def settings(self) -> Settings:
        """The settings in force, with the port that was taken."""

    @property
    def owner_key(self) -> str:
        """Where the first owner key lies, `host:path`; empty if nobody knows."""

    def run(self) -> None:
        """Serve until interrupted."""

    def start(self) -> None:
        """Serve in the background."""

    def stop(self) -> None:
        """End what `start` began."""


class GatewayProcess(Protocol):
    """The model API, on an address that is already taken."""

    @property
    def settings(self) -> Settings:
        """The settings in force, with the port that was taken."""

    def run(self) -> None:
        """Serve until interrupted."""


@dataclass(frozen=True, slots=True)
class Root:
    """Made once by `main`."""

    open_server: Callable[[Settings], Server]
    openapi: Callable[[], dict[str, Any]]
    open_gateway: Callable[[Settings], GatewayProcess]


def root_of(context: typer.Context) -> Root:
    """The root behind a command."""
    root = context.find_root().obj
    assert isinstance(root, Root)
    return root
