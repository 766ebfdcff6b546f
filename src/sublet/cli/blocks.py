"""Blocks: whole nodes from a start to an end, bought ahead."""

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel

from sublet.cli.client import connect
from sublet.cli.offers import TaskFile
from sublet.cli.output import Json, Yes, agree, errors, instant, money, parse_instant, price, show, state, table
from sublet.cli.task import Given, Tenant, document

Order = Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")]
Run = Annotated[str | None, typer.Option(help="The command, without a task file.")]
Env = Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=value for the task; may be repeated.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    block = typer.Typer(name="block", help="Whole nodes from a start to an end, bought ahead.", no_args_is_help=True)
    block.command("buy")(buy)
    block.command("quote")(quote)
    block.command("ls")(everything)
    block.command("cancel")(cancel)
    block.command("sell")(sell)
    app.add_typer(block)


def buy(
    file: TaskFile = None,
    *,
    given: Given = None,
    env: Env = None,
    run: Run = None,
    tenant: Tenant = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Order a block for a task. The pool's next auction decides; until its start the order rests and competes again.

    The task file names the block in its `lease:` block; a start is in UTC:

        name: train
        num_nodes: 4
        run: torchrun train.py
        lease: {class: block, start: 2026-11-01T12:00, hours: 24h, max_price: $2.50}
    """
    body = _body(file, run, given, env)
    with connect() as client:
        if not yes:
            found = client.post("/v1/blocks/quote", body, tenant=tenant)
            if not as_json:
                errors.print(_preview(found))
            agree("Order it?", yes=yes, as_json=as_json)
        made = client.post("/v1/blocks", body, tenant=tenant)
    show(made, as_json, lambda: _placed(made))


def quote(
    file: TaskFile = None,
    *,
    given: Given = None,
    env: Env = None,
    run: Run = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """What a block would cost if the auction were held now. Nothing is reserved."""
    body = _body(file, run, given, env)
    with connect() as client:
        found = client.post("/v1/blocks/quote", body, tenant=tenant)
    show(found, as_json, lambda: _preview(found))


def everything(
    *,
    ended: Annotated[bool, typer.Option("--all", "-a", help="Cancelled and expired orders, too.")] = False,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Orders for blocks, the newest first."""
    with connect() as client:
        wanted = None if ended else ["resting", "won"]
        found = client.everything("/v1/blocks", at_most=limit, state=wanted, tenant=tenant)
    headings = ("order", "side", "state", "tenant", "pool", "nodes", "start", "end", "limit", "price", "lease", "about")
    rows = (
        (
            order["id"],
            order["side"],
            state(order["state"]),
            order["tenant"],
            order["pool"],
            order["nodes"],
            instant(order["start_us"]),
            instant(order["end_us"]),
            f"{order['limit_micro'] / 1e6:.4f}",
            "-" if order["price_micro"] is None else f"{order['price_micro'] / 1e6:.4f}",
            order["lease"] or "-",
            order["reason"],
        )
        for order in found
    )
    roomy = ("tenant", "pool", "lease", "about")
    empty = "no orders" if ended else "no orders; `sublet block ls --all` shows cancelled and expired ones"
    show(found, as_json, lambda: table(headings, rows, right=("nodes", "limit", "price"), roomy=roomy, empty=empty))


def cancel(order: Order, *, as_json: Json = False) -> None:
    """Take a resting order out of the book."""
    with connect() as client:
        gone = client.delete(f"/v1/blocks/{order}")
    show(gone, as_json, lambda: f"order [bold]{gone['id']}[/] is {gone['state']}")


def sell(
    order: Order,
    start: Annotated[str | None, typer.Option(help="From when on; all that is left.")] = None,
    min_price: Annotated[
        str | None, typer.Option(help="Least that another tenant has to pay for a GPU-hour; without, the owner buys it now.")
    ] = None,
    *,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give the rest of a bought block back: to another tenant, or at once to the owner for the published share of its price."""
    body = {"start": parse_instant(start, option="--start"), "min_price": min_price}
    with connect() as client:
        if min_price is None and not yes:
            agree("The owner buys it for the published share, at once. Sell?", yes=yes, as_json=as_json)
        sold = client.post(f"/v1/blocks/{order}/sell", {name: value for name, value in body.items() if value is not None})
    show(sold, as_json, lambda: f"order [bold]{sold['id']}[/] is {sold['state']}: {escape(sold['reason'])}")


def _body(file: Any, run: str | None, given: list[str] | None, env: list[str] | None) -> dict[str, Any]:
    """The task, which is for a block without saying so."""
    body = document(file, run=run, given=given or [], env=env or [])
    lease = body.get("lease")
    return body | {"lease": {"class": "block", **(lease if isinstance(lease, dict) else {})}}


def _placed(made: dict[str, Any]) -> RenderableType:
    remarks = [f"[dim]note: {escape(remark)}[/]" for remark in made["remarks"]]
    return Group(*remarks, f"order [bold]{made['id']}[/] is {made['state']}: {escape(made['reason'])}; look: sublet block ls")


def _preview(found: dict[str, Any]) -> Panel:
    """A quote for people."""
    currency, nodes = found["currency"], "node" if found["nodes"] == 1 else "nodes"
    lines = [
        f"{found['nodes']} whole {nodes}, {found['gpus']} x {found['gpu_model']} in pool {found['pool']}",
        f"from       {instant(found['start_us'])} to {instant(found['end_us'])} UTC",
        f"price      {price(found['price_micro'], currency)} a GPU-hour, if the auction were held now",
    ]
    if found["total_micro"] is not None:
        lines.append(f"in all     {money(found['total_micro'], currency)}, whether it is used or not")
    if found["limit_micro"] is not None:
        lines.append(f"at most    {price(found['limit_micro'], currency)} a GPU-hour")
    if found["hold_micro"] is not None:
        lines.append(f"reserved   {money(found['hold_micro'], currency)} at most, when it wins")
    lines += [
        f"nodes left {found['nodes_left']} in all of its delivery windows",
        f"given back {found['sell_back_bps'] / 100:g} % of its price from the owner, or what another tenant pays",
        f"auction    {instant(found['next_auction_us'])} UTC",
        f"then       {'it wins' if found['wins'] else 'it rests'}: {found['reason']}",
    ]
    text = "\n".join(line.replace("[", r"\[") for line in lines)
    return Panel(text, title="what the block costs", title_align="left", expand=False)
