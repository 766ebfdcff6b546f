"""What the owner does with his own GPUs: run jobs, take GPUs back, give them back to the market."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from sublet.cli.client import Client, connect
from sublet.cli.output import Json, Yes, agree, duration, errors, instant, show, state, table
from sublet.cli.task import Given, document

Force = Annotated[
    bool, typer.Option("--force", help="Also break block leases and pass the safety limit; written to the journal.")
]


class Width(StrEnum):
    """How near each other the nodes of a gang have to be."""

    RACK = "rack"
    POD = "pod"
    SITE = "site"


Near = Annotated[Width, typer.Option(help="All of its nodes in one rack, in one pod, or anywhere at the pool's site.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    own = typer.Typer(name="owner", help="The owner's own jobs; they come before every lease.", no_args_is_help=True)
    own.command("run")(run)
    own.command("ps")(ps)
    own.command("cancel")(cancel)
    app.add_typer(own)
    app.command()(reclaim)


def run(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="TASK.yaml | -- COMMAND...", help="A task file, or a command.")
    ] = None,
    *,
    gpus: Annotated[int | None, typer.Option(min=1, max=64, help="GPUs of each node.")] = None,
    pool: Annotated[str | None, typer.Option(help="In which pool, where there are several.")] = None,
    given: Given = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=value for the task; may be repeated.")] = None,
    command: Annotated[str | None, typer.Option("--run", help="The command as the shell is to read it.")] = None,
    within: Near = Width.SITE,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run a task as the owner: before every lease, and without a price."""
    file, said = _file_or_command(words or [])
    with connect() as client:
        fields = _place(client, gpus, pool) + (given or [])
        body = document(file, run=command or said, given=fields, env=env or [])
        made = client.post("/v1/jobs", body, force=force or None, within=within)
    show(made, as_json, lambda: f"job [bold]{made['id']}[/] is {made['state']}: {made['gpus']} GPUs of pool {made['pool']}")


def _file_or_command(words: list[str]) -> tuple[Path | None, str | None]:
    """One word that names a YAML file is a task; anything else is a command line."""
    if len(words) == 1 and Path(words[0]).suffix in {".yaml", ".yml"}:
        return Path(words[0]), None
    return None, shlex.join(words) if words else None


def _place(client: Client, gpus: int | None, pool: str | None) -> list[str]:
    """The task's fields for so many GPUs of the pool, or of the only pool there is."""
    if gpus is None and pool is None:
        return []
    found = {one["settings"]["id"]: one["settings"]["gpu_model"] for one in client.get("/v1/pools")["items"]}
    if pool is None and len(found) != 1:
        raise typer.BadParameter(f"say which pool: {', '.join(sorted(found)) or 'there is none yet'}", param_hint="--pool")
    name = pool or next(iter(found))
    if name not in found:
        raise typer.BadParameter(f"there is no pool {name!r}; the pools are: {', '.join(sorted(found))}", param_hint="--pool")
    return [f"lease.pool={name}", *([f"resources.accelerators={found[name]}:{gpus}"] if gpus else [])]


def ps(
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Ended jobs, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """The owner's jobs and holds, the newest first."""
    live = ["waiting", "starting", "running", "stopping", "handover"]
    with connect() as client:
        found = client.everything("/v1/jobs", at_most=limit, state=None if everything else live)
    headings = ("job", "name", "pool", "GPUs", "kind", "state", "submitted (UTC)", "delay", "about")
    rows = (
        (
            job["id"],
            job["name"],
            job["pool"],
            job["gpus"],
            "hold" if job["is_hold"] else "job",
            state(job["state"]),
            instant(job["submitted_us"]),
            duration(job["delay_us"]),
            job["reason"],
        )
        for job in found
    )
    show(
        found,
        as_json,
        lambda: table(headings, rows, right=("GPUs",), roomy=("submitted (UTC)", "about"), empty="the owner runs nothing"),
    )


def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job or a hold.")], *, yes: Yes = False, as_json: Json = False
) -> None:
    """End a job, or give the GPUs of a hold back to the market."""
    agree(f"End {job}?", yes=yes, as_json=as_json)
    with connect() as client:
        answer = client.delete(f"/v1/jobs/{job}")
    show(answer, as_json, lambda: f"job {answer['id']} is {answer['state']}")


def reclaim(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="From which pool.")],
    gpus: Annotated[int, typer.Argument(metavar="GPUS", min=1, max=64, help="GPUs on each node.")],
    nodes: Annotated[int, typer.Option(min=1, help="On so many nodes.")] = 1,
    name: Annotated[str, typer.Option(help="What for.")] = "reclaim",
    *,
    within: Near = Width.SITE,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show whom it would end.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take GPUs out of the market and keep them; `sublet owner cancel JOB` gives them back."""
    body = {"pool": pool, "gpus": gpus, "nodes": nodes, "name": name, "force": force, "within": within}
    with connect() as client:
        if dry_run or not yes:
            seen = client.post("/v1/reclaim/preview", body)
            if dry_run:
                show(seen, as_json, lambda: _preview(seen))
                return
            if not as_json:
                errors.print(_preview(seen))
            agree("Take them back?", yes=yes, as_json=as_json)
        made = client.post("/v1/reclaim", body)
    show(
        made, as_json, lambda: f"hold [bold]{made['id']}[/] is {made['state']}; give it back: sublet owner cancel {made['id']}"
    )


def _preview(seen: dict[str, Any]) -> RenderableType:
    if seen["free_now"]:
        return f"{seen['gpus']} GPUs are free: nobody is ended"
    rows = [
        (one["lease"], one["tenant"], one["gpus"], instant(one["deadline_us"]), f"{one['loss_micro'] / 1e6:.4f}")
        for one in seen["endings"]
    ]
    headings = ("lease", "tenant", "GPUs", "ends by (UTC)", "expected loss")
    parts: list[RenderableType] = [table(headings, rows, right=("GPUs", "expected loss"), empty="nobody is ended")]
    parts += [f"[yellow]{obstacle}[/]" for obstacle in seen["obstacles"]]
    return Group(*parts)
