"""`sublet bench`: the command."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress

from sublet.app import logging as logs
from sublet.app import settings as settings_file
from sublet.app.settings import Settings
from sublet.bench import model_command
from sublet.bench.progress import STAGES
from sublet.cli.output import Json, show, table
from sublet.cli.server import Config

_TOLD = {
    "reclaimed",
    "captured",
    "met",
    "seconds",
    "peak_gib",
    "exponent_of_n_log_n",
    "not_measured",
    "bound_differs",
    "gpu_us_conserved",
    "same_seed_same_bytes",
    "one_code",
}

commands = typer.Typer(help="Measure this very program, beside something plain in the same run.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="bench")
    model_command.register()


@commands.command()
def grants(
    *,
    database: Annotated[
        str,
        typer.Option("--db", help="An EMPTY database: postgresql://... or sqlite:///FILE; else SQLite in a temporary folder."),
    ] = "",
    leases: Annotated[int, typer.Option(min=1, max=100_000, help="Leases in each repetition.")] = 1_000,
    repeats: Annotated[int, typer.Option(min=1, max=100)] = 5,
    followers: Annotated[int, typer.Option(min=0, max=8, help="Replicas that stand beside it; PostgreSQL only.")] = 0,
    as_json: Json = False,
) -> None:
    """Durable grants a second through the whole loop, and the ratio to single-row commits on the same store."""
    from sublet.bench.grants import measure  # noqa: PLC0415 (a control plane, which other commands need not load)

    if followers and not database.startswith("postgresql://"):
        raise typer.BadParameter("only a PostgreSQL database has followers: say which with --db", param_hint="--followers")
    logs.configure(Settings(log_level="error"))
    with tempfile.TemporaryDirectory(prefix="sublet-bench-") as folder, Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("grants", total=repeats)
        result = measure(
            url=database or f"sqlite:///{folder}/bench.db",
            folder=Path(folder),
            leases=leases,
            repeats=repeats,
            followers=followers,
            progress=lambda done: bar.update(task, completed=done),
        )
    show(result, as_json, lambda: _rendered(result))


@commands.command()
def study(
    *,
    data: Annotated[Path, typer.Option("--data", help="The folder with the public traces, as Parquet.")] = Path("data"),
    method: Annotated[str, typer.Option(help="The forecast whose offers are judged.")] = "boosted",
    only: Annotated[list[str] | None, typer.Option(help="A part to measure; all without it. May be given again.")] = None,
    as_json: Json = False,
) -> None:
    """What the study's figures rest on: offers that keep their word, exact replays, and how long replays take."""
    from sublet.bench.study import measure as measured  # noqa: PLC0415 (numba and lightgbm, which other commands need not load)

    logs.configure(Settings(log_level="error"))
    with Progress(*STAGES, console=Console(stderr=True)) as bar:
        task = bar.add_task("study", total=1.0)
        result = measured(data, method, only or (), lambda what, share: bar.update(task, description=what, completed=share))
    show(result, as_json, lambda: _listed(result))


@commands.command()
def audit(
    *,
    jobs: Annotated[Path, typer.Argument(help="A job history.")],
    load: Annotated[float, typer.Option(min=0.1, max=0.99, help="Share of a made-up owner's GPUs that the owner uses.")] = 0.7,
    asked: Annotated[float, typer.Option(min=0.05, max=2.0, help="Share of the rest that the jobs ask for.")] = 0.6,
    risk: Annotated[bool, typer.Option("--risk", help="Print the risk of the shipped prices, measured again.")] = False,
    as_json: Json = False,
) -> None:
    """How long an audit takes, what it leaves out, and its predictions beside a replay of the same jobs."""
    from sublet.bench import audit as bench_audit  # noqa: PLC0415 (numba, which other commands need not load)
    from sublet.bench import shipped_risk  # noqa: PLC0415 (the same)

    logs.configure(Settings(log_level="error"))
    if risk:
        typer.echo(shipped_risk.measured())
        return
    with Progress(*STAGES, console=Console(stderr=True)) as bar:
        task = bar.add_task("audit", total=1.0)
        result = bench_audit.measure(jobs, asked, load, lambda what, share: bar.update(task, description=what, completed=share))
    show(result, as_json, lambda: _listed(result))


@commands.command()
def decide(
    *,
    workloads: Annotated[int, typer.Option(min=1, max=10_000, help="Different workloads.")] = 20,
    repeats: Annotated[int, typer.Option(min=1, max=100)] = 5,
    as_json: Json = False,
) -> None:
    """How long ranking all shipped offers takes for many workloads, with what would change each ranking."""
    from sublet.bench.decide import measure as measured  # noqa: PLC0415 (numpy and polars, which other commands need not load)

    logs.configure(Settings(log_level="error"))
    result = measured(workloads, repeats)
    said = [(name, f"{value:.3g}" if isinstance(value, float) else str(value)) for name, value in result.items()]
    show(result, as_json, lambda: table(("what", "value"), said, right=("value",)))


@commands.command()
def core(
    *,
    gpus: Annotated[int, typer.Option(min=6_000, max=2_000_000, help="GPUs of the fleet.")] = 600_000,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Whole rounds that are timed.")] = 100,
    as_json: Json = False,
) -> None:
    """How long deciding takes for a large fleet: rounds, a reclaim of a tenth, 100,000 bids, grants; how well leases lie."""
    from sublet.bench.core import measure as measured  # noqa: PLC0415 (numba, which other commands need not load)

    logs.configure(Settings(log_level="error"))
    with Progress(*STAGES, console=Console(stderr=True)) as bar:
        task = bar.add_task("core", total=1.0)
        result = measured(gpus, rounds, lambda what, share: bar.update(task, description=what, completed=share))
        bar.update(task, completed=1.0)
    show(result, as_json, lambda: table(("figure", "measured"), _flat("core", result)))


@commands.command()
def slurm(
    *,
    config: Config = None,
    leases: Annotated[
        int, typer.Option(min=0, max=100_000, help="Leases of one GPU to queue first, held; they are taken back.")
    ] = 0,
    passes: Annotated[int, typer.Option(min=1, max=1_000, help="Passes that are timed.")] = 5,
    as_json: Json = False,
) -> None:
    """What one pass over your Slurm cluster costs: time, slurmctld's share of it, and calls."""
    from sublet.app.slurm import named_cluster  # noqa: PLC0415 (engines, which other commands need not load)
    from sublet.bench.slurm import measure as measured  # noqa: PLC0415

    logs.configure(Settings(log_level="error"))
    cluster = named_cluster(settings_file.load(config))
    with Progress(*STAGES, console=Console(stderr=True)) as bar:
        task = bar.add_task("slurm", total=1.0)
        result = measured(cluster, leases, passes, lambda what, share: bar.update(task, description=what, completed=share))
        bar.update(task, completed=1.0)
    show(result, as_json, lambda: table(("figure", "measured"), _flat("slurm", result)))


@commands.command()
def live(
    *,
    database: Annotated[
        str,
        typer.Option("--db", help="An EMPTY database: postgresql://... or sqlite:///FILE; else SQLite in a temporary folder."),
    ] = "",
    nodes: Annotated[int, typer.Option(min=750, max=200_000, help="Nodes of 8 GPUs, in pools of 750.")] = 75_000,
    leases: Annotated[
        int, typer.Option(min=100, max=500_000, help="Live leases; six of ten hold GPUs, the others wait.")
    ] = 100_000,
    rate: Annotated[float, typer.Option(min=0.1, max=1_000, help="Requests for a lease a second.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=1, max=3_600, help="For how long they come.")] = 60.0,
    as_json: Json = False,
) -> None:
    """How requests for leases are answered over a large fleet while rounds run, and how long a restart takes."""
    from sublet.bench.live import measure as measured  # noqa: PLC0415 (a control plane, which other commands need not load)

    logs.configure(Settings(log_level="error"))
    with tempfile.TemporaryDirectory(prefix="sublet-bench-") as folder, Progress(*STAGES, console=Console(stderr=True)) as bar:
        task = bar.add_task("live", total=1.0)
        result = measured(
            url=database or f"sqlite:///{folder}/bench.db",
            folder=Path(folder),
            nodes=nodes,
            leases=leases,
            rate=rate,
            seconds=seconds,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    show(result, as_json, lambda: table(("figure", "measured"), _flat("live", result)))


@commands.command()
def gateway(
    *,
    requests: Annotated[int, typer.Option(min=640, max=1_000_000, help="Requests of each repetition.")] = 6_400,
    repeats: Annotated[int, typer.Option(min=1, max=100)] = 3,
    litellm: Annotated[
        Path | None, typer.Option(help="The program `litellm` of a virtual environment of its own, to compare with its proxy.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the model API adds to a request, beside a bare aiohttp pass-through; stubs stand in for models."""
    from sublet.bench.gateway.overhead import measure as measured  # noqa: PLC0415 (aiohttp, which others need not load)

    logs.configure(Settings(log_level="error"))
    with tempfile.TemporaryDirectory(prefix="sublet-bench-") as folder, Progress(*STAGES, console=Console(stderr=True)) as bar:
        task = bar.add_task("gateway", total=1.0)
        result = measured(
            Path(folder),
            requests=requests,
            repeats=repeats,
            litellm=litellm,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    show(result, as_json, lambda: table(("figure", "measured"), _flat("gateway", result)))


@commands.command()
def streams(
    *,
    number: Annotated[int, typer.Option(min=1, max=10_000, help="Streams at once.")] = 1_000,
    replicas: Annotated[int, typer.Option(min=2, max=16)] = 4,
    tokens: Annotated[int, typer.Option(min=10, max=2_000, help="Tokens of each answer.")] = 80,
    seed: Annotated[int, typer.Option(help="Of the moments at which replicas are reclaimed.")] = 1,
    as_json: Json = False,
) -> None:
    """Streams while replicas are drained and killed at random moments: broken ones, wrong tokens, the pause that is seen."""
    from sublet.bench.gateway.reclaims import measure as measured  # noqa: PLC0415 (the same)

    logs.configure(Settings(log_level="error"))
    with tempfile.TemporaryDirectory(prefix="sublet-bench-") as folder:
        result = measured(Path(folder), number=number, replicas=replicas, tokens=tokens, seed=seed)
    show(result, as_json, lambda: table(("figure", "measured"), _flat("streams", result)))


@commands.command("money")
def budget(
    *,
    requests: Annotated[int, typer.Option(min=100, max=15_000, help="Requests at once.")] = 10_000,
    lines: Annotated[int, typer.Option(min=1, max=50_000, help="Lines of the batch beside them.")] = 500,
    kills: Annotated[int, typer.Option(min=0, max=20, help="How often the gateway is killed meanwhile.")] = 2,
    seed: Annotated[int, typer.Option(help="Of who hangs up, and when callers come again.")] = 1,
    as_json: Json = False,
) -> None:
    """One budget against thousands of callers at once, who hang up and come again, a batch, and kills of the gateway."""
    from sublet.bench.gateway.money import measure as measured  # noqa: PLC0415 (aiohttp, which others need not load)

    logs.configure(Settings(log_level="error"))
    with tempfile.TemporaryDirectory(prefix="sublet-bench-") as folder:
        result = measured(Path(folder), number=requests, lines=lines, kills=kills, seed=seed)
    show(result, as_json, lambda: table(("figure", "measured"), _flat("money", result)))


def _listed(result: dict[str, Any]) -> RenderableType:
    """One line a figure that has an aim, or that is the whole of a part."""
    rows: list[tuple[str, str]] = []
    for part, found in result.items():
        if isinstance(found, dict):
            rows += [(name, value) for name, value in _flat(part, found) if name.rsplit(".", 1)[-1] in _TOLD]
    return table(("figure", "measured"), rows)


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [row for key, part in value.items() for row in _flat(f"{name}.{key}", part)]
    return [(name, str(value))]


def _rendered(result: dict[str, Any]) -> RenderableType:
    rows = [
        ("grants through the loop", f"{result['grants_per_s']:,.0f}/s", f"{result['ratio_to_bare']:.2f}"),
        ("with each request's own commit", f"{result['end_to_end_per_s']:,.0f}/s", f"{result['end_to_end_ratio_to_bare']:.2f}"),
        ("bare single-row commits", f"{result['bare_commits_per_s']:,.0f}/s", "1"),
        ("the same by the driver alone", f"{result['driver_commits_per_s']:,.0f}/s", ""),
    ]
    measured = f"{result['store']}, {result['leases']} leases, median of {result['repeats']}"
    return table((measured, "rate", "ratio"), rows, right=("rate", "ratio"))
