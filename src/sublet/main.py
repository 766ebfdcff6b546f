"""The `sublet` command: what each of its parts needs is loaded when it is asked for."""

import gc
import sys
from typing import TYPE_CHECKING, Any

from sublet.bench import command as bench
from sublet.cli.app import app, run
from sublet.cli.root import GatewayProcess, Root, Server
from sublet.demo import command as demo

if TYPE_CHECKING:
    from sublet.app.settings import Settings


def _open_server(settings: "Settings") -> Server:
    from sublet import serving  # noqa: PLC0415 (takes most of a second, which no other command should wait for)

    return serving.Server(settings)


def _open_gateway(settings: "Settings") -> GatewayProcess:
    from sublet.gateway.process import Process  # noqa: PLC0415 (the same)

    return Process(settings)


def _openapi() -> dict[str, Any]:
    from sublet.api.server import document  # noqa: PLC0415 (the same)

    return document()


def _collect_less_often() -> None:
    """Spare the collector what was imported, and let it look less often: a round makes many values and hardly a cycle.

    Worth a fifth of the grants a second (`sublet bench grants`).
    """
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def main() -> None:
    """The `sublet` command."""
    _collect_less_often()
    demo.register(app)
    bench.register(app)
    sys.exit(run(sys.argv[1:], Root(open_server=_open_server, openapi=_openapi, open_gateway=_open_gateway)))


if __name__ == "__main__":
    main()
