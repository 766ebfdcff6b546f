"""`sublet gateway`: the model API in a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from sublet.app import logging as logs
from sublet.app import settings as settings_file
from sublet.cli.output import errors
from sublet.cli.root import root_of
from sublet.cli.server import Config


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(gateway)


def gateway(
    context: typer.Context,
    *,
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where its journal is kept.")] = None,
    database: Annotated[
        str | None, typer.Option("--db", help="The control plane's; else SQLite in the data directory.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of several gateways on one data directory, which.")] = None,
) -> None:
    """Serve the OpenAI-compatible API in a process of its own, beside a control plane on the same database.

    `sublet up` serves it, too. A process of its own answers faster and takes no time from the rounds; several may run.
    """
    given = {"host": host, "gateway_port": port, "data_dir": data_dir, "database": database, "gateway_name": name}
    loaded = settings_file.load(config)
    settings = settings_file.changed(loaded, {key: value for key, value in given.items() if value is not None})
    logs.configure(settings)
    process = root_of(context).open_gateway(settings)
    errors.print(f"[bold]Models[/] are served at [cyan]{process.settings.models_url}[/]")
    process.run()
