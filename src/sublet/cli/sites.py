"""Sites: where they are and whose, and what power and storage bear where pools stand."""

from typing import Annotated

import typer

from sublet.cli.assignments import assigned
from sublet.cli.client import connect
from sublet.cli.output import Json, show, table


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    site = typer.Typer(name="site", help="Where pools stand: country, operator, what it bears.", no_args_is_help=True)
    site.command("ls")(everything)
    site.command("show")(one)
    site.command("set")(put)
    app.add_typer(site)


def everything(*, as_json: Json = False) -> None:
    """All sites with settings."""
    with connect() as client:
        found = client.get("/v1/sites")["items"]
    figures = ("kW a minute", "GB/s for checkpoints", "GB a GPU")
    headings = ("site", "country", "operator", "its seat", *figures)
    rows = (
        (
            s["id"],
            *(s[name] or "unknown" for name in ("country", "operator", "operator_country")),
            _bound(s["ramp_kw_per_min"]),
            _bound(s["save_gb_s"]),
            s["state_gb"],
        )
        for s in found
    )
    empty = "no site has settings: `sublet site set NAME country=NO operator=ACME operator_country=NO` states its facts"
    show(found, as_json, lambda: table(headings, rows, right=figures, empty=empty))


def one(site: Annotated[str, typer.Argument(metavar="SITE")], *, as_json: Json = False) -> None:
    """One site with every setting."""
    with connect() as client:
        found = client.get(f"/v1/sites/{site}")
    rows = [(name, _said(name, value)) for name, value in found.items()]
    show(found, as_json, lambda: table(("setting", "value"), rows))


def put(
    site: Annotated[str, typer.Argument(metavar="SITE")],
    settings: Annotated[list[str], typer.Argument(metavar="SETTING=VALUE...", help="As `sublet site show` names them.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Give notice to leases whose data may no longer be there.")] = False,
    as_json: Json = False,
) -> None:
    """Say where a site is, whose, and what it bears. null: unknown, or no bound.

    sublet site set oslo country=NO operator=ACME operator_country=NO certifications=iso-27001,soc2-type2
    sublet site set oslo ramp_kw_per_min=5000 save_gb_s=200
    """
    change = {name: _country(name, value) for name, value in assigned(settings).items()}
    with connect() as client:
        found = client.put(f"/v1/sites/{site}", change, force=force)
    show(found, as_json, lambda: f"site [bold]{site}[/] is set: {', '.join(sorted(change))}")


def _country(name: str, value: object) -> object:
    """YAML 1.1 reads the code of Norway as "no"."""
    return "NO" if value is False and name in {"country", "operator_country"} else value


def _said(name: str, value: object) -> object:
    if isinstance(value, list):
        return ", ".join(value) or "none stated"
    return _bound(value) if name in {"ramp_kw_per_min", "save_gb_s"} else "unknown" if value is None else value


def _bound(value: object) -> object:
    return "no bound" if value is None else value
