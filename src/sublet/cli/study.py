"""`sublet study`: the command. What it works with is loaded when it runs, so that the others need not wait for it."""

from pathlib import Path

import typer

from sublet.cli import study_options as options
from sublet.cli.output import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(study)


def study(
    trace: options.Trace = None,
    *,
    example: options.Example = False,
    trace_format: options.Format = None,
    kind: options.Kind = None,
    column: options.Column = None,
    unit: options.Unit = None,
    pool: options.Pool = "given",
    which: options.Which = None,
    spot: options.Spot = None,
    zone: options.Zone = None,
    origin: options.Origin = None,
    until: options.Until = None,
    gpus_per_worker: options.PerWorker = False,
    nodes: options.Nodes = None,
    nodes_trace: options.NodesTrace = None,
    capacity: options.Capacity = None,
    cost: options.Cost = None,
    price: options.Price = None,
    warm_up: options.WarmUp = None,
    policy: options.Policy = None,
    forecast: options.Forecast = None,
    judge: options.Judge = None,
    no_sensitivity: options.NoSensitivity = False,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    out: options.Out = Path("report"),
    force: options.Force = False,
    as_json: Json = False,
) -> int:
    """What your idle GPUs are worth: your own job history, replayed with leases in the gaps.

    Says how much could have been leased, for how long at a time, at what risk to your jobs, and for how much money. Writes a
    report to read offline, with the numbers as JSON and Parquet.
    """
    from sublet.cli import study_run  # noqa: PLC0415 (numba, polars and plotly take seconds that no other command has to wait)

    told = study_run.Told(
        column or (), unit or (), pool=pool, trace=which, spot=spot or (), zone=zone, origin=origin, until=until,
        gpus_per_worker=gpus_per_worker,
    )  # fmt: skip
    source = study_run.Source(
        trace, trace_format, kind, told, nodes, nodes_trace, tuple(capacity or ()), cost, price, example=example
    )
    wanted = study_run.wanted(
        policies=policy or (),
        forecast=forecast,
        judged=judge or (),
        sensitivity=not no_sensitivity,
        seed=seed,
        workers=workers,
    )
    return study_run.run(source, wanted, study_run.Target(out, force=force, as_json=as_json), warm_up=warm_up)
