"""The market of a pool: what is wanted at which price, what a block would take, how the price moved."""

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from sublet.cli.client import connect
from sublet.cli.output import Json, duration, instant, parse_instant, price, show, table

Pool = Annotated[str, typer.Argument(metavar="POOL")]
From = Annotated[str | None, typer.Option("--from", help="From when on, such as 2026-11-01T12:00, in UTC.")]
To = Annotated[str | None, typer.Option("--to", help="Until when.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    market = typer.Typer(name="market", help="What is wanted at which price, and how the price moved.", no_args_is_help=True)
    market.command("depth")(depth)
    market.command("prices")(prices)
    app.add_typer(market)


def depth(pool: Pool, from_: From = None, to: To = None, *, as_json: Json = False) -> None:
    """The bids that wait, by class, and the orders for blocks, by delivery window, added up to price levels."""
    period = {"from_us": parse_instant(from_, option="--from"), "to_us": parse_instant(to, option="--to")}
    with connect() as client:
        found = client.get(f"/v1/market/{pool}/depth", **period)
    show(found, as_json, lambda: _depth(found))


def prices(
    pool: Pool,
    from_: From = None,
    to: To = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show so many at most.")] = 1_000,
    as_json: Json = False,
) -> None:
    """How the clearing price of a pool moved, the oldest first."""
    period = {"from_us": parse_instant(from_, option="--from"), "to_us": parse_instant(to, option="--to")}
    with connect() as client:
        found = client.everything(f"/v1/market/{pool}/prices", at_most=limit, **period)
    rows = ((instant(one["at_us"]), _price(one["price_micro"]), _price(one["floor_micro"]), one["reason"]) for one in found)
    headings = ("since", "price/GPU-h", "floor", "why")
    empty = "the price has not moved in this time"
    show(found, as_json, lambda: table(headings, rows, right=("price/GPU-h", "floor"), empty=empty))


def _price(micro: int | None) -> str:
    return price(micro, "").strip()


def _depth(found: dict[str, Any]) -> RenderableType:
    bids = (
        (product["class"], duration(product["term_us"]) if product["term_us"] else "open", *_level(level))
        for product in found["products"]
        for level in product["levels"]
    )
    windows = (
        (
            instant(window["from_us"]),
            instant(window["to_us"]),
            window["nodes_left"],
            window["nodes_sold"],
            sum(level["gpus"] for level in window["wanted"]),
            sum(level["gpus"] for level in window["offered"]),
        )
        for window in found["windows"]
    )
    return Group(
        f"clearing price {_price(found['price_micro'])}, blocks from {_price(found['block_reserve_micro'])} a GPU-hour",
        table(
            ("class", "for", "bids of at least", "GPUs", "and dearer", "bids"),
            bids,
            right=("bids of at least", "GPUs", "and dearer", "bids"),
            empty="no bid waits",
        ),
        table(
            ("from", "to", "nodes left", "nodes sold", "GPUs wanted", "GPUs offered"),
            windows,
            right=("nodes left", "nodes sold", "GPUs wanted", "GPUs offered"),
            empty="no blocks are sold",
        ),
    )


def _level(level: dict[str, Any]) -> tuple[str, Any, Any, Any]:
    least = "too few to say" if level["price_micro"] is None else _price(level["price_micro"])
    return least, level["gpus"], level["gpus_at_or_above"], level["bids"]
