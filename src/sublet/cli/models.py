"""Models: what is served, from which weights, by how many replicas."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from sublet.app.quantities import money_micro
from sublet.cli.assignments import assigned, pair
from sublet.cli.client import connect
from sublet.cli.output import Json, duration, money, show, state, table

Name = Annotated[str, typer.Argument(metavar="MODEL")]
_PRICES = ("input", "cached", "output")
commands = typer.Typer(name="model", help="Models that are served by the token, and their replicas.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    commands.command("add")(add)
    commands.command("list")(everything)
    commands.command("show")(one)
    commands.command("serve")(serve)
    commands.command("remove")(remove)
    app.add_typer(commands)


def add(
    model: Name,
    *,
    server: Annotated[str, typer.Option(help="What serves it: llamacpp, vllm, or url for an outside address.")],
    source: Annotated[str, typer.Option(help="builtin, a path, hub:ORG/NAME[:FILE], or a base URL.")],
    checksum: Annotated[str, typer.Option(help="SHA-256 of the weights, checked before they are served.")] = "",
    context: Annotated[int, typer.Option(min=0, help="Tokens of prompt and answer; else as the weights say.")] = 0,
    alias: Annotated[list[str] | None, typer.Option(help="Another name for it. May be given again.")] = None,
    price: Annotated[
        list[str] | None, typer.Option(metavar="KIND=AMOUNT", help="Of a million tokens: input=0.10, cached=0.05, output=0.40.")
    ] = None,
    currency: Annotated[str, typer.Option(help="Of the prices.")] = "USD",
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of its server, e.g. slots=8.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Where replicas may run; of an outside address, where it is.")] = None,
    as_json: Json = False,
) -> None:
    """Add a model: sublet model add tiny --server llamacpp --source builtin."""
    body = {
        "name": model,
        "server": server,
        "source": _whole(source),
        "checksum": checksum.lower(),
        "context_length": context,
        "aliases": alias or [],
        "currency": currency,
        "prices": _prices(price or []),
        "options": assigned(option or []),
        "sites": site or [],
    }
    with connect() as client:
        made = client.post("/v1/models", body)
    next_step = f"serve it: sublet model serve {model}"
    show(made, as_json, lambda: f"model [bold]{model}[/] is there{_detail(made)}; {next_step}")


def _whole(source: str) -> str:
    """A path as the control plane can read it; all else as it stands."""
    if source.startswith((".", "~")) or Path(source).exists():
        return str(Path(source).expanduser().resolve())
    return source


def _detail(model: dict[str, Any]) -> str:
    return f" ({model['detail']})" if model["detail"] else ""


def _prices(given: list[str]) -> dict[str, int]:
    prices = {}
    for text in given:
        kind, amount = pair(text, "--price", form="KIND=AMOUNT")
        if kind not in _PRICES:
            raise typer.BadParameter(f"{kind!r}: the kinds are {', '.join(_PRICES)}", param_hint="--price")
        try:
            prices[f"{kind}_micro"] = money_micro(amount)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--price") from None
    return prices


def everything(*, as_json: Json = False) -> None:
    """All models."""
    with connect() as client:
        found = client.get("/v1/models")["items"]
    headings = ("model", "server", "source", "context", "input / M", "output / M", "ready", "tiers")
    rows = (
        (
            m["name"],
            m["server"],
            m["source"],
            m["context_length"] or "-",
            money(m["prices"]["input_micro"], m["currency"], places=4),
            money(m["prices"]["output_micro"], m["currency"], places=4),
            f"{sum(r['state'] == 'ready' for r in m['replicas'])} of {sum(s['replicas_min'] for s in m['servings'])}",
            ", ".join(s["tier"] for s in m["servings"]) or "none",
        )
        for m in found
    )
    empty = "no models yet: `sublet model add tiny --server llamacpp --source builtin` adds one"
    show(found, as_json, lambda: table(headings, rows, right=("context", "input / M", "output / M"), empty=empty))


def one(model: Name, *, as_json: Json = False) -> None:
    """One model, how it is served, and its replicas with how far they have come."""
    with connect() as client:
        found = client.get(f"/v1/models/{model}")
        now_us = client.get("/v1/status")["now_us"]
    show(found, as_json, lambda: _rendered(found, now_us))


def _rendered(found: dict[str, Any], now_us: int) -> RenderableType:
    told = [(name, value) for name, value in found.items() if name not in {"servings", "replicas", "waits", "prices"}]
    told += [(f"prices.{name}", value) for name, value in found["prices"].items()]
    servings = (
        (s["tier"], s["lease_class"], f"{s['replicas_min']}..{s['replicas_max']}", s["gpus"], s["pool"] or "any", s["detail"])
        for s in found["servings"]
    )
    replicas = (
        (r["id"], r["tier"], state(r["state"]), duration(now_us - r["since_us"]), r["site"], r["url"], _load(r), r["progress"])
        for r in found["replicas"]
    )
    parts: list[RenderableType] = [
        table(("setting", "value"), told),
        "",
        table(("tier", "leases", "replicas", "GPUs each", "pool", "why fewer"), servings, empty="not served"),
        "",
        table(("replica", "tier", "state", "since", "site", "base URL", "busy", "progress"), replicas, empty="no replica yet"),
    ]
    if found["waits"]:
        parts += ["", table(("lease that waits", "why"), found["waits"].items())]
    return Group(*parts)


def _load(replica: dict[str, Any]) -> str:
    queued = f" +{replica['queued']}" if replica["queued"] else ""
    return f"{replica['busy']}/{replica['slots']}{queued}"


def serve(
    model: Name,
    *,
    replicas: Annotated[str, typer.Option(metavar="MIN..MAX", help="How many are kept; 0 keeps none any more.")] = "1",
    tier: Annotated[str, typer.Option(help="flex (spot leases), default (guarded) or priority (dedicated).")] = "flex",
    gpus: Annotated[int, typer.Option(min=1, max=64, help="GPUs (or CPU slots) of each replica.")] = 1,
    pool: Annotated[str | None, typer.Option(help="Where; else any pool that sells the class.")] = None,
    max_price: Annotated[str | None, typer.Option(help="Most for a GPU-hour.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose leases they are.")] = "models",
    key_env: Annotated[str, typer.Option(help="The environment variable with the key of an outside address.")] = "",
    as_json: Json = False,
) -> None:
    """Keep replicas of a model: sublet model serve tiny --replicas 1..4 --tier flex."""
    least, most = _range(replicas)
    body = {
        "replicas_min": least,
        "replicas_max": most,
        "gpus": gpus,
        "pool": pool,
        "bid_micro": _price(max_price),
        "tenant": tenant,
        "secret": _secret(key_env),
    }
    with connect() as client:
        found = client.put(f"/v1/models/{model}/servings/{tier}", body)
    how = "is no longer served" if most == 0 else f"is served by {least} to {most} replicas"
    show(found, as_json, lambda: f"[bold]{model}[/] {how} for {tier}; watch them: sublet model show {model}")


def _range(text: str) -> tuple[int, int]:
    least, dots, most = text.partition("..")
    if not least.isdecimal() or (dots and not most.isdecimal()):
        raise typer.BadParameter(f"{text!r}: write 2, or 1..4", param_hint="--replicas")
    return int(least), int(most or least)


def _price(text: str | None) -> int | None:
    try:
        return None if text is None else money_micro(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-price") from None


def _secret(variable: str) -> str:
    if variable and not os.environ.get(variable):
        raise typer.BadParameter(f"{variable} is not set", param_hint="--key-env")
    return os.environ.get(variable, "") if variable else ""


def remove(model: Name, *, as_json: Json = False) -> None:
    """Forget a model that is not served any more. Its weights stay where they are."""
    with connect() as client:
        found = client.delete(f"/v1/models/{model}")
    show(found, as_json, lambda: f"model [bold]{model}[/] is gone")
