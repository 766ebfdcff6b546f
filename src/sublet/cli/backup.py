"""An installation as one file, and back. Both work on the database itself, whether a control plane runs or not."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sublet.app import logging as logs
from sublet.app import settings as settings_file
from sublet.app.settings import Settings
from sublet.cli.output import Json, errors, instant, show, table
from sublet.cli.study_stages import Stages
from sublet.core.errors import NotFound

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file; ./sublet.toml if there is one.")]
DataDir = Annotated[Path | None, typer.Option(help="The data directory, where the database is SQLite in it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    *,
    database: Annotated[str, typer.Option("--db", help="postgresql://... or sqlite:///FILE; else that of the settings.")] = "",
    data_dir: DataDir = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write everything that the database holds to one file, as of one instant, while the control plane runs.

    The file has workloads with their secrets in it: keep it as you keep those. Its mode is 0600.
    """
    from sublet.app.backup import back_up  # noqa: PLC0415 (SQLAlchemy, which most commands need not load)
    from sublet.app.clock import Clock  # noqa: PLC0415
    from sublet.store.database import Database  # noqa: PLC0415

    settings = _settings(config, database, data_dir)
    _must_exist(settings)
    opened = Database(settings.database_url)
    try:
        with Stages(errors, lines=not as_json) as stages:
            made = back_up(opened, file, now_us=Clock().now_us(), progress=stages.tell)
    finally:
        opened.close()
    size = file.stat().st_size
    told = {"file": str(file), "bytes": size, "rows": made.rows, **asdict(made)}
    show(told, as_json, lambda: f"{made.rows:,} rows of {len(made.parts)} tables are in {file} ({size / 1e6:,.1f} MB)")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `sublet backup` wrote.")],
    *,
    database: Annotated[
        str, typer.Option("--db", help="An EMPTY database: postgresql://... or sqlite:///FILE; else that of the settings.")
    ] = "",
    data_dir: DataDir = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Bring a backup into an empty database of either kind, check it, and bring its schema up to date.

    All of it arrives, or nothing. Exit code 1 if it arrived and the books in it do not balance.
    """
    from sublet.app.backup import restore as restored  # noqa: PLC0415 (SQLAlchemy, which most commands need not load)
    from sublet.store.database import Database  # noqa: PLC0415

    settings = _settings(config, database, data_dir)
    with Stages(errors, lines=not as_json) as stages:
        found = restored(lambda: Database(settings.database_url), file, progress=stages.tell)
    made = found.manifest
    told = {"file": str(file), "rows": made.rows, "findings": found.findings, **asdict(made)}
    rows = [
        ("of", instant(made.made_us)),
        ("rows", f"{made.rows:,} in {len(made.parts)} tables"),
        ("books", "; ".join(found.findings) or "every balance follows from the entries"),
        ("next", "sublet up, with the owner.key of before"),
    ]
    show(told, as_json, lambda: table(("", ""), rows))
    if found.findings:
        raise typer.Exit(1)


def _settings(config: Path | None, database: str, data_dir: Path | None) -> Settings:
    given: dict[str, Any] = {"database": database or None, "data_dir": data_dir}
    settings = settings_file.changed(
        settings_file.load(config), {name: value for name, value in given.items() if value is not None}
    )
    logs.configure(settings)
    return settings


def _must_exist(settings: Settings) -> None:
    """Opening an SQLite file that is not there would make it."""
    url = settings.database_url
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        raise NotFound(f"there is no database {file}", field="database", hint="say where it is: --data-dir DIR or --db URL")
