"""`sublet up` and what concerns the server as a whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel

from sublet.app import logging as logs
from sublet.app import settings as settings_file
from sublet.app.keys import OWNER_KEY_FILE
from sublet.cli.client import connect
from sublet.cli.output import Json, errors, instant, show, table
from sublet.cli.root import Server, root_of

_TOLD_ABOVE = {"engine", "isolation", "role", "leader", "epoch"}
Config = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file; ./sublet.toml if there is one.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    app.command()(up)
    app.command()(status)
    app.command()(openapi)


def up(
    context: typer.Context,
    *,
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    database: Annotated[
        str | None, typer.Option("--db", help="postgresql://... or sqlite:///FILE; else SQLite in the data directory.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Where leases run.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=64, help="Slots of the local engine.")] = None,
) -> None:
    """Run the control plane: the loops, the API and the page, in one process.

    Ending it (Ctrl-C) leaves what runs running; the next start takes it up again. Started several times on one PostgreSQL
    database, each with a data directory of its own, one leads and the others stand ready.
    """
    given = {"host": host, "port": port, "data_dir": data_dir, "database": database, "engine": engine, "slots": slots}
    loaded = settings_file.load(config)
    settings = settings_file.changed(loaded, {name: value for name, value in given.items() if value is not None})
    logs.configure(settings)
    server = root_of(context).open_server(settings)
    from sublet.core.rehearsal import READY_SOON, rehearse  # noqa: PLC0415 (numba, which other commands need not load)

    with errors.status(READY_SOON):
        rehearse()
    errors.print(_banner(server))
    server.run()


def _banner(server: Server) -> Panel:
    settings, engine = server.settings, server.plane.engine.capabilities
    key, address = settings.data_dir / OWNER_KEY_FILE, escape(settings.base_url)
    if key.exists() or not server.owner_key:
        owner_key = f"{escape(str(key))} [dim](the CLI finds it from this directory)[/]"
    else:
        owner_key = f"{escape(server.owner_key)} [dim](copy it, or export SUBLET_API_KEY)[/]"
    lines = [
        f"[bold]Sublet[/] is up at [cyan]{address}[/]",
        "",
        f"engine     {escape(engine.name)}: {escape(engine.isolation)}",
        f"data       {escape(str(settings.data_dir))}",
        f"owner key  {owner_key}",
        *([f"role       {escape(_role(server.plane.status()))}"] if server.plane.replicated else []),
        f"API        {address}/docs",
        f"models     {escape(settings.models_url)}",
        f"page       {address}/",
        "",
        *(
            []
            if settings.base_url == settings_file.Settings().base_url
            else [f"[dim]first:[/]  export SUBLET_URL={escape(settings.base_url)}"]
        ),
        "[dim]next, in another terminal:[/]  sublet status   sublet offers   sublet tenant add acme",
    ]
    return Panel("\n".join(lines), expand=False, border_style="dim", padding=(1, 2))


def _role(told: Mapping[str, Any]) -> str:
    """Who runs the loops, for people."""
    if told["role"] == "leader":
        return f"leader (epoch {told['epoch']})" if told["epoch"] else "leader"
    return f"follower of {told['leader'] or 'nobody yet'} (epoch {told['epoch']})"


def status(*, as_json: Json = False) -> None:
    """How the control plane is doing."""
    with connect() as client:
        found = client.get("/v1/status")
        nodes = client.get("/v1/nodes")["items"]
    down = [node for node in nodes if node["down"]]
    rows = [
        ("version", found["version"]),
        ("time", instant(found["now_us"])),
        ("engine", f"{found['engine']}: {found['isolation']}"),
        ("database", found["database"]),
        ("nodes", f"{len(nodes)} with {sum(node['gpus'] for node in nodes)} GPUs, {len(down)} down"),
        *((f"node {node['id']}", f"down: {node['reason']}") for node in down),
        ("role", _role(found["status"])),
        *((name, value) for name, value in found["status"].items() if name not in _TOLD_ABOVE),
    ]
    show({**found, "nodes": nodes}, as_json, lambda: table(("", ""), rows))


def openapi(context: typer.Context, *, as_json: Json = False) -> None:
    """Print the API's OpenAPI document."""
    del as_json  # it is JSON either way
    typer.echo(json.dumps(root_of(context).openapi(), indent=2))
