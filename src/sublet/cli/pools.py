"""Pools and nodes: what the owner sells, and on which terms."""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from sublet.cli.assignments import assigned
from sublet.cli.client import connect
from sublet.cli.output import Json, duration, price, show, table

_BATCH = 5_000
"""Nodes in one request."""


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    pool = typer.Typer(name="pool", help="What the owner sells, and on which terms.", no_args_is_help=True)
    pool.command("ls")(everything)
    pool.command("show")(one)
    pool.command("set")(put)
    pool.command("nodes")(nodes)
    pool.command("down")(down)
    pool.command("up")(back)
    pool.command("label")(label)
    pool.command("topology")(topology)
    app.add_typer(pool)


def everything(*, as_json: Json = False) -> None:
    """All pools."""
    with connect() as client:
        found = client.get("/v1/pools")["items"]
    headings = ("pool", "GPU", "site", "classes", "pricing", "price / GPU-h", "reserve", "hand-back promise")
    rows = (
        (
            (pool := row["settings"])["id"],
            pool["gpu_model"],
            pool["site"],
            ", ".join(pool["classes"]),
            pool["pricing"],
            price(row["price_micro"], pool["currency"]),
            row["reserve"],
            _promise(pool["promise"]),
        )
        for row in found
    )
    empty = "no pools yet: `sublet pool set NAME gpu_model=H100` makes one"
    show(found, as_json, lambda: table(headings, rows, right=("price / GPU-h", "reserve"), empty=empty))


def _promise(promise: dict[str, Any]) -> str:
    gpus = "all GPUs" if promise["gpus"] is None else f"{promise['gpus']} GPUs"
    return f"{gpus} within {duration(promise['within_us'])}"


def one(pool: Annotated[str, typer.Argument(metavar="POOL")], *, as_json: Json = False) -> None:
    """One pool with every setting."""
    with connect() as client:
        found = client.get(f"/v1/pools/{pool}")
    rows = [("price_micro now", found["price_micro"]), ("reserve now", found["reserve"]), *_flat(found["settings"])]
    show(found, as_json, lambda: table(("setting", "value"), rows))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            shown = f"{value} ({duration(value)})" if name.endswith("_us") and isinstance(value, int) else value
            rows.append((prefix + name, shown))
    return rows


def put(
    pool: Annotated[str, typer.Argument(metavar="POOL")],
    settings: Annotated[list[str], typer.Argument(metavar="SETTING=VALUE...", help="As `sublet pool show` names them.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Give notice to leases whose data may not be there.")] = False,
    as_json: Json = False,
) -> None:
    """Make a pool or change its settings: sublet pool set h100 price_micro=1500000 promise.gpus=64 classes=[spot]."""
    change = assigned(settings)
    with connect() as client:
        found = client.put(f"/v1/pools/{pool}", change, force=force)
    show(found, as_json, lambda: f"pool [bold]{pool}[/] is set: {', '.join(sorted(change))}")


def nodes(*, as_json: Json = False) -> None:
    """All nodes, and why one is down."""
    with connect() as client:
        found = client.get("/v1/nodes")["items"]
    rows = (
        (n["id"], n["pool"], n["gpus"], n["gpu_model"], n["rack"], n["pod"], "down" if n["down"] else "up", n["reason"])
        for n in found
    )
    headings = ("node", "pool", "GPUs", "model", "rack", "pod", "", "why")
    show(found, as_json, lambda: table(headings, rows, right=("GPUs",), empty="no nodes"))


def down(
    node: Annotated[str, typer.Argument(metavar="NODE")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Keep a node out of offers. What runs on it goes on."""
    _set_down(node, {"down": True, "reason": reason}, as_json)


def back(node: Annotated[str, typer.Argument(metavar="NODE")], *, as_json: Json = False) -> None:
    """Offer a node again."""
    _set_down(node, {"down": False}, as_json)


def _set_down(node: str, body: dict[str, Any], as_json: bool) -> None:  # noqa: FBT001 (passed on)
    with connect() as client:
        found = client.put(f"/v1/nodes/{node}/down", body)
    show(found, as_json, lambda: f"node [bold]{node}[/] is {'down' if found['down'] else 'up'}")


def label(
    node: Annotated[str, typer.Argument(metavar="NODE")],
    rack: Annotated[str, typer.Option(help="Its rack; a rack is one of its pod.")] = "",
    pod: Annotated[str, typer.Option(help="The pod that its rack belongs to.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Say in which rack and pod a node stands; what is not given is unknown from now on."""
    found = _locate([{"node": node, "rack": rack, "pod": pod}])
    show(found, as_json, lambda: f"node [bold]{node}[/] stands in {_where(rack, pod)}")


def _where(rack: str, pod: str) -> str:
    named = [f"{noun} {name}" for noun, name in (("rack", rack), ("pod", pod)) if name]
    return ", ".join(named) or "no known place"


def topology(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="CSV with node, rack and pod.")],
    *,
    as_json: Json = False,
) -> None:
    """Say where nodes stand from a CSV file with the columns node, rack and pod, as an inventory exports it."""
    with file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.DictReader(text)
        if reader.fieldnames is None or "node" not in reader.fieldnames or not {"rack", "pod"} & set(reader.fieldnames):
            raise typer.BadParameter("the first line must name the columns node, and rack or pod or both", param_hint="FILE")
        rows = [{name: (row.get(name) or "").strip() for name in ("node", "rack", "pod")} for row in reader]
    if not rows:
        raise typer.BadParameter("there is no node in it", param_hint="FILE")
    found = [node for at in range(0, len(rows), _BATCH) for node in _locate(rows[at : at + _BATCH])]
    racks, pods = ({node[noun] for node in found} - {""} for noun in ("rack", "pod"))
    show(found, as_json, lambda: f"{len(found)} nodes stand in {len(racks)} racks and {len(pods)} pods")


def _locate(items: list[dict[str, str]]) -> list[dict[str, Any]]:
    with connect() as client:
        found: list[dict[str, Any]] = client.put("/v1/nodes/locations", {"items": items})["items"]
    return found
