"""What a study found, on a terminal: the paragraph of the report, one line a policy, and where the rest is."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.markup import escape
from rich.text import Text

from sublet.advice.study.report import PolicyPart, Report
from sublet.advice.study.saved import DOCUMENT, PAGE, TABLES_FOLDER
from sublet.advice.study.words import count, length, price, share
from sublet.cli.output import Markup, table
from sublet.sim.policies import OURS

HEADINGS = ("policy", "leased", "of idle", "net / GPU-h", "owner waits p99", "longest", "broken")
PROSE_WIDTH = 100
NONE = "-"


def summary(report: Report) -> RenderableType:
    """All but where it is."""
    idle = report.fleet.bound(0).gpu_h > 0
    rows = [_row(one, report.trace.currency, idle=idle) for one in report.policies]
    compared = table(HEADINGS, [*rows, _bound(report)], right=HEADINGS[1:])
    return Group(
        Text(),
        *(_prose(sentence) for sentence in report.headline.sentences),
        *(_prose(f"! {warning}", "yellow") for warning in report.headline.warnings),
        Text(),
        compared,
        _prose(_legend(report), "dim"),
        Text(),
    )


def where(folder: Path) -> str:
    """Where the rest is; lines that are not to be folded, so that they can be copied."""
    return (
        f"report  [bold]{escape(str(folder / PAGE))}[/]\n"
        f"data    {escape(str(folder / DOCUMENT))}, {escape(str(folder / TABLES_FOLDER))}/*.parquet"
    )


def _prose(text: str, style: str = "") -> RenderableType:
    """Sentences in lines that the eye can follow."""
    return Constrain(Text(text, style=style), PROSE_WIDTH)


def _row(one: PolicyPart, currency: str, *, idle: bool) -> tuple[str, ...]:
    figures, delays = one.figures, one.figures.delays
    title = Markup(f"[bold green]{escape(one.title)}[/]") if one.name == OURS else one.title
    broken = Markup(f"[bold red]{count(delays.broken)}[/]") if delays.broken else count(0)
    return (
        title,
        share(figures.leased_gpu_h / figures.fleet_gpu_h),
        share(figures.captured[0]) if idle else NONE,
        price(figures.net_per_gpu_h, currency),
        length(delays.p99_s),
        length(delays.max_s),
        broken,
    )


def _bound(report: Report) -> tuple[str, ...]:
    """What somebody who knew the future could have had."""
    idle, fleet_gpu_h = report.fleet.bound(0), report.policies[0].figures.fleet_gpu_h
    net = price(idle.net / fleet_gpu_h, report.trace.currency)
    return (Markup("[dim]bound[/]"), share(idle.share), share(1.0) if idle.gpu_h else NONE, net, length(0), length(0), count(0))


def _legend(report: Report) -> str:
    promise = length(report.headline.promise_s)
    return (
        "leased: of the fleet's time. net: for each GPU-hour of the fleet. broken: jobs of the owner that waited longer than "
        f"the promised {promise}. bound: what knowing the future would have allowed."
    )
