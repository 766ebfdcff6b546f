"""API keys."""

from enum import StrEnum
from typing import Annotated

import typer

from sublet.cli.client import connect
from sublet.cli.output import Json, Yes, agree, instant, show, table


class KeyScope(StrEnum):
    """What a key may do."""

    OWNER = "owner"
    TENANT = "tenant"
    FINANCE = "finance"
    READ_ONLY = "read-only"


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    key = typer.Typer(name="key", help="Who may use the API, and for what.", no_args_is_help=True)
    key.command("add")(add)
    key.command("ls")(everything)
    key.command("revoke")(revoke)
    app.add_typer(key)


def add(
    scope: Annotated[KeyScope, typer.Option(help="What it may do.")] = KeyScope.TENANT,
    tenant: Annotated[str | None, typer.Option(help="Whose key it is.")] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "key",
    *,
    as_json: Json = False,
) -> None:
    """Make a key. Its secret is shown this once."""
    with connect() as client:
        made = client.post("/v1/keys", {"scope": scope.value, "tenant": tenant, "name": name})
    show(
        made,
        as_json,
        lambda: f"{made['secret'] or ''}\n[dim]key {made['id']}, shown this once; use it: export SUBLET_API_KEY=sk_...[/]",
    )


def everything(*, as_json: Json = False) -> None:
    """All keys, without their secrets."""
    with connect() as client:
        found = client.everything("/v1/keys")
    rows = (
        (one["id"], one["name"], one["scope"], one["tenant"] or "-", instant(one["created_us"]), instant(one["revoked_us"]))
        for one in found
    )
    show(found, as_json, lambda: table(("key", "name", "scope", "tenant", "made (UTC)", "revoked (UTC)"), rows))


def revoke(key: Annotated[str, typer.Argument(metavar="KEY")], *, yes: Yes = False, as_json: Json = False) -> None:
    """Close the door to a key for good."""
    agree(f"Revoke {key}? Whoever uses it is locked out at once.", yes=yes, as_json=as_json)
    with connect() as client:
        found = client.delete(f"/v1/keys/{key}")
    show(found, as_json, lambda: f"key [bold]{found['id']}[/] was revoked at {instant(found['revoked_us'])}")
