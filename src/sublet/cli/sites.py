"""Sites: what power and storage bear where pools stand."""

from typing import Annotated

import typer

from sublet.cli.assignments import assigned
from sublet.cli.client import connect
from sublet.cli.output import Json, show, table


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    site = typer.Typer(name="site", help="What power and storage bear where pools stand.", no_args_is_help=True)
    site.command("ls")(everything)
    site.command("show")(one)
    site.command("set")(put)
    app.add_typer(site)


def everything(*, as_json: Json = False) -> None:
    """All sites with settings."""
    with connect() as client:
        found = client.get("/v1/sites")["items"]
    headings = ("site", "kW a minute", "GB/s for checkpoints", "GB a GPU")
    rows = ((s["id"], _bound(s["ramp_kw_per_min"]), _bound(s["save_gb_s"]), s["state_gb"]) for s in found)
    empty = "no site is bounded: `sublet site set NAME ramp_kw_per_min=5000` bounds one"
    show(found, as_json, lambda: table(headings, rows, right=headings[1:], empty=empty))


def one(site: Annotated[str, typer.Argument(metavar="SITE")], *, as_json: Json = False) -> None:
    """One site with every setting."""
    with connect() as client:
        found = client.get(f"/v1/sites/{site}")
    rows = [(name, _bound(value)) for name, value in found.items()]
    show(found, as_json, lambda: table(("setting", "value"), rows))


def put(
    site: Annotated[str, typer.Argument(metavar="SITE")],
    settings: Annotated[list[str], typer.Argument(metavar="SETTING=VALUE...", help="As `sublet site show` names them.")],
    *,
    as_json: Json = False,
) -> None:
    """Say what a site bears: sublet site set oslo ramp_kw_per_min=5000 save_gb_s=200. null: no bound."""
    change = assigned(settings)
    with connect() as client:
        found = client.put(f"/v1/sites/{site}", change)
    show(found, as_json, lambda: f"site [bold]{site}[/] is set: {', '.join(sorted(change))}")


def _bound(value: object) -> object:
    return "no bound" if value is None else value
