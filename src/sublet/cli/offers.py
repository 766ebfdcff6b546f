"""What is for sale, and what a task would cost."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.panel import Panel

from sublet.cli.client import connect
from sublet.cli.output import Json, duration, instant, money, price, show, table
from sublet.cli.task import Given, Tenant, document

TaskFile = Annotated[Path | None, typer.Argument(metavar="[TASK.yaml]", help="A task file.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    app.command()(offers)
    app.command()(quote)


def offers(*, as_json: Json = False) -> None:
    """What is for sale now in each pool, and on which terms."""
    with connect() as client:
        found = client.get("/v1/offers")["items"]
    headings = ("pool", "GPU", "class", "for", "free now", "price/GPU-h", "floor", "notice", "if reclaimed")
    rows = (
        (
            offer["pool"],
            offer["gpu_model"],
            offer["class"],
            duration(offer["term_us"]) if offer["term_us"] else "open",
            f"{offer['gpus']} of {offer['capacity']}",
            price(offer["price_micro"], offer["currency"]) if offer["gpus"] else "-",
            price(offer["floor_micro"], offer["currency"]),
            duration(offer["notice_us"]),
            f"refund + {offer['credit_multiple']}x credit" if offer["credit_multiple"] else "free notice",
        )
        for offer in found
    )
    right = ("free now", "price/GPU-h", "floor")
    show(found, as_json, lambda: table(headings, rows, right=right, empty="nothing is for sale: there is no pool"))


def quote(
    file: TaskFile = None,
    *,
    given: Given = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=value for the task; may be repeated.")] = None,
    run: Annotated[str | None, typer.Option(help="The command, without a task file.")] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """What a task would cost and whether it would start now. Nothing is reserved."""
    body = document(file, run=run, given=given or [], env=env or [])
    with connect() as client:
        found = client.post("/v1/quote", body, tenant=tenant)
    show(found, as_json, lambda: preview(found))


def preview(found: dict[str, Any]) -> Panel:
    """A quote for people."""
    currency = found["currency"]
    expected, most = found["price_micro"], found["bid_micro"]
    lines = [
        f"{found['gpus']} x {found['gpu_model']} in pool {found['pool']}, {found['class']}",
        f"price      {price(expected, currency)} a GPU-hour, {money(found['per_hour_micro'], currency)} an hour in all",
        f"at most    {price(most, currency)} a GPU-hour, {money(found['at_most_per_hour_micro'], currency)} an hour in all",
        f"reserved   {money(found['hold_micro'], currency)} under the spend limit when it starts",
    ]
    if found["term_micro"] is not None:
        lines.append(f"in all     {money(found['term_micro'], currency)} for {duration(found['term_us'])} at this price")
    lines.append(f"notice     {duration(found['notice_us'])} before a reclaim ends it, free of charge")
    starts = "at once" if found["starts_now"] else f"it waits: {found['reason']}"
    if not found["starts_now"] and found["earliest_us"]:
        starts += f" (not before {instant(found['earliest_us'])})"
    lines.append(f"starts     {starts}")
    lines += [f"note       {remark}" for remark in found["remarks"]]
    return Panel("\n".join(line.replace("[", r"\[") for line in lines), title="what it costs", title_align="left", expand=False)
