"""What was used of models, request by request."""

from typing import Annotated

import typer

from sublet.cli.client import connect
from sublet.cli.ledger import From, To
from sublet.cli.output import Json, instant, parse_instant, show, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(requests)


def requests(
    request: Annotated[str | None, typer.Argument(metavar="[REQUEST]", help="One request: the id of its answer.")] = None,
    begin: From = None,
    end: To = None,
    *,
    tenant: Annotated[str | None, typer.Option(help="Whose; a tenant's key need not say.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 50,
    as_json: Json = False,
) -> None:
    """Requests to models, newest first: tokens, cost, and where and how they were answered."""
    with connect() as client:
        if request is not None:
            found = [client.get(f"/v1/usage/requests/{request}")]
        else:
            period = {"from_us": parse_instant(begin, option="--from"), "to_us": parse_instant(end, option="--to")}
            found = client.get("/v1/usage/requests", tenant=tenant, model=model, limit=limit, **period)["items"]
    rows = (
        (
            one["id"],
            instant(one["at_us"]),
            one["model"],
            one["tier"],
            f"{one['input_tokens']:,}",
            f"{one['cached_tokens']:,}",
            f"{one['output_tokens']:,}",
            f"{one['amount_micro'] / 1e6:.6f}",
            one["outcome"],
        )
        for one in found
    )
    headings = ("request", "when (UTC)", "model", "tier", "in", "cached", "out", "cost", "")
    show(found, as_json, lambda: table(headings, rows, right=("in", "cached", "out", "cost"), empty="no requests yet"))
