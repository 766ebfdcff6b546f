"""`sublet model bench`: the command."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress

from sublet.app import logging as logs
from sublet.app.settings import Settings
from sublet.bench.progress import STAGES
from sublet.cli import models
from sublet.cli.assignments import assigned
from sublet.cli.client import connect
from sublet.cli.output import Json, money, show, table
from sublet.core.ids import PoolId
from sublet.core.terms import Pool


def register() -> None:
    """Add it to the commands of a model."""
    models.commands.command("bench")(model)


def model(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="As it was added, or `builtin`; else with --server and --source.")
    ],
    *,
    server: Annotated[str, typer.Option(help="Of a model that was not added: what serves it.")] = "",
    source: Annotated[str, typer.Option(help="Of a model that was not added: its weights on this machine.")] = "",
    context: Annotated[int, typer.Option(min=0, help="Of a model that was not added: tokens of prompt and answer.")] = 0,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of its server, over those it has.")] = None,
    changed: Annotated[
        list[str] | None, typer.Option("--beside", metavar="NAME=VALUE", help="Our options with this one changed, too.")
    ] = None,
    together: Annotated[bool, typer.Option("--together", help="All fit into a GPU's memory: none starts twice.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, max=1_000, help="Of each server; else 7 on CPUs and 2 on GPUs.")] = None,
    streams: Annotated[int | None, typer.Option(min=1, max=4_096, help="Callers at once; else 4 on CPUs, 256 on GPUs.")] = None,
    words: Annotated[int | None, typer.Option(min=0, max=100_000, help="Of each prompt's own text; else 0 and 400.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, max=100_000, help="Drawn for each; else 128 and 256.")] = None,
    kept: Annotated[Path | None, typer.Option("--logs", help="Keep each turn, and what servers print, in this folder.")] = None,
    as_json: Json = False,
) -> None:
    """Tokens a second, time to the first token and price of a million tokens on this machine, beside the server's defaults."""
    from sublet.bench import models as bench  # noqa: PLC0415 (what starts servers, which other commands need not load)

    logs.configure(Settings(log_level="error"))
    if bool(server) != bool(source):
        raise typer.BadParameter("a model that was not added has both", param_hint="--server, --source")
    hour_micro, currency = Pool(PoolId("bench"), "cpu").price_micro, "USD"
    if server:
        served = bench.not_added(name, server, source, context)
    elif name == "builtin":
        served = bench.builtin()
    else:
        with connect() as client:
            served = bench.of_view(client.get(f"/v1/models/{name}"))
            pool = client.get("/v1/pools")["items"][0]
        hour_micro, currency = pool["price_micro"], pool["settings"]["currency"]
    served = bench.with_options(served, assigned(option or []))
    with Progress(*STAGES, console=Console(stderr=True)) as bar:
        task = bar.add_task("model", total=1.0)
        result = bench.measured(
            served,
            bench.usual(streams=streams, words=words, tokens=tokens),
            rounds=rounds or bench.usual_rounds(),
            hour_micro=hour_micro,
            currency=currency,
            changed={one: bench.with_options(served, assigned([one])) for one in changed or []},
            together=together,
            logs=kept,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
        bar.update(task, completed=1.0)
    show(result, as_json, lambda: _compared(result))


def _compared(result: dict[str, Any]) -> RenderableType:
    columns = {"our start options": result["ours"] | {"ratio": result["ratio"]}, "the server's defaults": result["defaults"]}
    columns |= {f"ours, {name}": figures for name, figures in result["changed"].items()}
    rows: list[tuple[str, ...]] = [
        (what.replace("_", " "), *(str(one[what]) for one in columns.values()))
        for what in ("tokens_per_second", "first_token_ms_p50", "first_token_ms_p99")
    ]
    prices = (money(one["micro_per_million_tokens"], result["currency"], places=4) for one in columns.values())
    rows.append(("price of a million tokens", *prices))
    rows.append(("tokens a second, to the defaults", *(_spread(one.get("ratio")) for one in columns.values())))
    return table(("measured", *columns), rows, right=tuple(columns))


def _spread(ratio: dict[str, float] | None) -> str:
    return f"{ratio['median']} ({ratio['least']} to {ratio['most']})" if ratio else "1"
