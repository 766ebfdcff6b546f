"""What a tenant does: launch, look, read, release."""

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from sublet.cli.client import ApiError, Client, connect
from sublet.cli.offers import TaskFile, preview
from sublet.cli.output import (
    Json,
    Markup,
    Yes,
    agree,
    duration,
    errors,
    instant,
    show,
    state,
    table,
)
from sublet.cli.task import Given, Tenant, document

POLL_S = 0.5
LeaseId = Annotated[str, typer.Argument(metavar="LEASE", help="The lease's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    for command in (launch, ps, logs, release, explain, usage):
        app.command()(command)


def launch(
    file: TaskFile = None,
    *,
    given: Given = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=value for the task; may be repeated.")] = None,
    run: Annotated[str | None, typer.Option(help="The command, without a task file.")] = None,
    tenant: Tenant = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show what it prints until it ends.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Lease GPUs and run a task on them.

    A task file has SkyPilot's fields and a `lease:` block:

        name: train
        resources: {accelerators: H100:8}
        run: python train.py
        lease: {class: spot, max_price: $1.50, checkpoint: {path: ckpt, every: 10m}}
    """
    body = document(file, run=run, given=given or [], env=env or [])
    with connect() as client:
        if not yes:
            quoted = client.post("/v1/quote", body, tenant=tenant)
            if not as_json:
                errors.print(preview(quoted))
            agree("Lease it?", yes=yes, as_json=as_json)
        made = client.post("/v1/leases", body, tenant=tenant)
        if follow and not as_json:
            _say(f"lease {made['id']}")
            raise typer.Exit(_follow(client, made["id"]))
    show(made, as_json, lambda: _launched(made))


def _launched(made: dict[str, Any]) -> RenderableType:
    remarks = [f"[dim]note: {escape(remark)}[/]" for remark in made["remarks"]]
    told = f"lease [bold]{made['id']}[/] is {made['state']}; follow it: sublet logs -f {made['id']}"
    return Group(*remarks, told)


_ROOMY = ("pool", "since", "attempt", "about")  # `sublet explain` tells them of one lease


def ps(
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Ended leases, too.")] = False,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Leases, the newest first."""
    live = ["requested", "queued", "paused", "reserved", "starting", "active", "noticed", "stopping", "handover"]
    with connect() as client:
        found = client.everything("/v1/leases", at_most=limit, state=None if everything else live, tenant=tenant)
    headings = ("lease", "name", "tenant", "pool", "class", "GPUs", "state", "price", "since", "attempt", "about")
    rows = (
        (
            lease["id"],
            lease["name"],
            lease["tenant"],
            lease["pool"],
            lease["class"],
            lease["gpus"],
            state(lease["state"]),
            "-" if lease["price_micro"] is None else f"{lease['price_micro'] / 1e6:.4f}",
            instant(lease["since_us"]),
            lease["attempt"],
            lease["reason"],
        )
        for lease in found
    )
    empty = "no leases" if everything else "no living leases; `sublet ps --all` shows those that ended"
    show(found, as_json, lambda: table(headings, rows, right=("GPUs", "price", "attempt"), roomy=_ROOMY, empty=empty))


def logs(
    lease: LeaseId,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends, over all attempts.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Of which attempt; the present one.")] = None,
    as_json: Json = False,
) -> None:
    """What a lease's workload printed."""
    with connect() as client:
        if follow and not as_json:
            raise typer.Exit(_follow(client, lease))
        parts = list(_printed(client, lease, attempt))
    text = b"".join(parts)
    show({"lease": lease, "text": text.decode(errors="replace")}, as_json, lambda: _write(text))


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _printed(client: Client, lease: str, attempt: int | None, offset: int = 0) -> Iterator[bytes]:
    """What there is from an offset on."""
    while True:
        answer = client.raw(f"/v1/leases/{lease}/logs", offset=offset, attempt=attempt)
        if not answer.content:
            return
        offset = int(answer.headers["Sublet-Next-Offset"])
        yield answer.content


def _follow(client: Client, lease: str) -> int:
    """Print what comes until the lease ends; the workload's exit code, 1 where there is none."""
    attempt, offset, told = 0, 0, ""
    while True:
        found = client.get(f"/v1/leases/{lease}")
        if found["state"] != told:
            told = found["state"]
            _say(f"{told}{': ' + found['reason'] if found['reason'] else ''}")
        if found["attempt"] > attempt and attempt:
            offset = _drain(client, lease, attempt, offset)
        if found["attempt"] > attempt:
            attempt, offset = found["attempt"], 0
        if attempt:
            offset = _drain(client, lease, attempt, offset)
        if told == "ended":
            return _exit_code(found)
        time.sleep(POLL_S)


def _drain(client: Client, lease: str, attempt: int, offset: int) -> int:
    try:
        for part in _printed(client, lease, attempt, offset):
            _write(part)
            offset += len(part)
    except ApiError as refusal:
        if refusal.status != 404:  # what an old attempt printed may be gone
            raise
    return offset


def _exit_code(lease: dict[str, Any]) -> int:
    code = lease["exit_code"]
    if lease["cause"] == "completed":
        return 0
    return code if isinstance(code, int) and 0 < code < 256 else 1


def _say(text: str) -> None:
    errors.print(f"[dim]-- {escape(text)}[/]")


def release(lease: LeaseId, *, yes: Yes = False, as_json: Json = False) -> None:
    """Give a lease back before its end. It is not billed from then on."""
    with connect() as client:
        found = client.get(f"/v1/leases/{lease}")
        if found["state"] != "ended":
            agree(
                f"{lease} ({found['name']}, {found['state']}): its processes get their signal and end. Release?",
                yes=yes,
                as_json=as_json,
            )
        answer = client.delete(f"/v1/leases/{lease}")
    show(answer, as_json, lambda: f"lease {answer['id']} is {answer['state']}: {escape(answer['reason'])}")


def explain(lease: LeaseId, *, as_json: Json = False) -> None:
    """Why a lease is what it is: every decision about it, with the reason given at the time."""
    with connect() as client:
        told = client.get(f"/v1/leases/{lease}/explain")
    show(told, as_json, lambda: _explained(told))


def _explained(told: dict[str, Any]) -> RenderableType:
    lease = told["lease"]
    head = f"[bold]{lease['id']}[/] {escape(lease['name'])}: {lease['gpus']} GPUs in {lease['pool']}, {lease['class']}"
    rows = [
        (
            instant(event["at_us"]),
            event["kind"],
            Markup(f"[dim]{attempt}[/]") if (attempt := event["data"].get("attempt")) else "",
            event["reason"],
        )
        for event in told["timeline"]
    ]
    return Group(
        head,
        f"{state(lease['state'])}  {escape(lease['reason'])}",
        "",
        table(("when (UTC)", "what", "attempt", "why"), rows, empty="nothing happened yet"),
    )


def usage(lease: LeaseId, *, as_json: Json = False) -> None:
    """Every interval that was measured of a lease, and its charge."""
    with connect() as client:
        found = client.get(f"/v1/leases/{lease}/usage")
    headings = ("no.", "attempt", "from (UTC)", "to (UTC)", "GPUs", "length", "price", "kind", "charge")
    rows = [
        (
            one["seq"],
            one["attempt"],
            instant(one["from_us"]),
            instant(one["to_us"]),
            one["gpus"],
            duration(one["to_us"] - one["from_us"]),
            f"{one['price_micro'] / 1e6:.4f}",
            one["kind"],
            f"{one['charge_micro'] / 1e6:.6f}",
        )
        for one in found["intervals"]
    ]
    total = ("", "", "", "", "", "", "", "sum", f"{found['charge_micro'] / 1e6:.6f}")
    made = [*rows, total] if rows else []
    show(
        found, as_json, lambda: table(headings, made, right=("no.", "attempt", "GPUs", "price", "charge"), empty="nothing yet")
    )
