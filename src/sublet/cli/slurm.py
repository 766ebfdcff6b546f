"""What an owner needs to let Sublet into a Slurm cluster: what to add, and whether it is there."""

import getpass
from typing import Annotated, Any

import typer
from rich.text import Text

from sublet.app import settings as settings_file
from sublet.app.slurm import named_cluster
from sublet.cli.output import Json, Markup, show, table, write_text
from sublet.cli.server import Config
from sublet.engines.slurm import check as checking
from sublet.engines.slurm import configuration, epilog, net, plan
from sublet.engines.slurm.check import Grade
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.tools import Tools

_COLOURS = {Grade.FINE: "green", Grade.ADVICE: "yellow", Grade.MISSING: "red"}


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    slurm = typer.Typer(name="slurm", help="Leases in a Slurm cluster that you go on using.", no_args_is_help=True)
    slurm.command("plan")(steps)
    slurm.command("check")(check)
    slurm.command("net")(safety_net)
    slurm.command("epilog")(hand_over)
    app.add_typer(slurm)


def steps(
    *,
    config: Config = None,
    notice: Annotated[int, typer.Option(min=0, help="Seconds of notice when Slurm itself ends a lease.")] = 120,
    as_json: Json = False,
) -> None:
    """What to add to the cluster before the first lease. Nothing of your own partitions changes."""
    cluster, user = _cluster(config)
    tools = Tools(timeout_s=cluster.timeout_s)
    told = configuration.read(cluster, tools)
    found = plan.steps(cluster, told, tools.nodes(), notice_s=notice, user=user)
    show([{"where": s.where, "why": s.why, "lines": list(s.lines)} for s in found], as_json, lambda: _drawn(found))


def _drawn(found: list[plan.Step]) -> Text:
    text = Text()
    for number, step in enumerate(found, 1):
        text.append(f"{number}. {step.where}\n", style="bold")
        text.append(f"   {step.why}\n", style="dim")
        for line in step.lines:
            text.append(f"   {line}\n")
        text.append("\n")
    text.append("then: sublet slurm check --probe", style="bold")
    return text


def check(
    *,
    config: Config = None,
    probe: Annotated[bool, typer.Option("--probe", help="Run a job of a second, to see what a node sees.")] = False,
    as_json: Json = False,
) -> int:
    """Prove that the cluster has what leases need. Exit code 1 if something is missing."""
    cluster, user = _cluster(config)
    found = checking.points(cluster, user=user, probe=probe)
    rows = [(p.name, Markup(f"[{_COLOURS[p.grade]}]{p.grade}[/]"), p.said, p.way_out) for p in found]
    data: list[dict[str, Any]] = [{"name": p.name, "grade": p.grade, "said": p.said, "way_out": p.way_out} for p in found]
    show(data, as_json, lambda: table(("", "", "found", "what to do"), rows))
    return 1 if any(point.grade is Grade.MISSING for point in found) else 0


def safety_net(*, config: Config = None) -> None:
    """Print the script that keeps Slurm from ending leases by itself while Sublet lives, and lets it when Sublet is silent."""
    cluster, _ = _cluster(config)
    write_text(net.script(cluster))


def hand_over(*, config: Config = None) -> None:
    """Print the epilog that looks at a node as root when a lease has left it."""
    cluster, _ = _cluster(config)
    write_text(epilog.script(cluster))


def _cluster(config: Any) -> tuple[Cluster, str]:
    settings = settings_file.load(config)
    return named_cluster(settings), settings.slurm_user or getpass.getuser()
