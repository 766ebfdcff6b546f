"""The summary for a person: what leasing was worth, what it cost the owner in waiting, and the proof that it adds up."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sublet.core.units import MICRO
from sublet.demo.figures import Summary
from sublet.demo.learning import Learning
from sublet.demo.view import COLOURS, spark

_WIDE = 40
_CURVE = 48


def show(screen: Console, summary: Summary) -> None:
    """Print it."""
    screen.print()
    for title, content in (
        ("what the day was worth", Group(_utilisation(summary), Text(), _money(summary))),
        ("what the owner had to wait", _waiting(summary)),
        ("what the tenants had", Group(_bills(summary), Text(), _training(summary.learning))),
        ("does it add up?", _proof(summary)),
    ):
        screen.print(Panel(content, title=f"[bold]{title}[/]", title_align="left", border_style="bright_black", padding=(1, 2)))


def where(screen: Console, summary: Summary, page_url: str | None) -> None:
    """Where everything lies, and what to try next."""
    data = summary.options.data_dir
    rows = [("invoices", f"{data}/invoices/  ({', '.join(t.tenant + '.html' for t in summary.tenants)})")]
    rows += [("data", f"{data}/sublet.db  and  {data}/engine/  (every run's output)")]
    if page_url is None:
        rows += [("page", "add --keep and the live page stays up after the day: sublet demo --keep")]
    else:
        rows += [("page", f"{page_url}"), ("", "it stays up until Ctrl-C")]
    rows += [("next", "sublet demo --seed 2      other bids    ·  sublet demo --trace jobs.csv   your own jobs")]
    rows += [("", "sublet up                 the control plane itself, on this machine's GPUs or CPUs")]
    made = Table.grid(padding=(0, 2))
    for name, value in rows:
        made.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    screen.print(made)


def _utilisation(summary: Summary) -> RenderableType:
    made = Table.grid(padding=(0, 2))
    shares = {state: gpu_s / summary.capacity_gpu_s for state, gpu_s in summary.gpu_s.items()}
    for label, figure, states in (
        ("without leasing", summary.utilisation_without, ("owner",)),
        ("with leasing", summary.utilisation_with, ("owner", "leased")),
    ):
        bar = Text()
        for state in states:
            bar.append("█" * round(shares[state] * _WIDE), style=COLOURS[state])
        bar.append("░" * max(0, _WIDE - len(bar)), style="bright_black")
        made.add_row(label, bar, Text(f"{figure:6.1%}", style="bold"))
    gained = (summary.utilisation_with - summary.utilisation_without) * 100
    made.add_row("", Text(f"+{gained:.1f} points of the fleet found work", style="bold green"), "")
    return made


def _money(summary: Summary) -> RenderableType:
    money = summary.money
    scale = f"at the day's scale (x {summary.options.speed:g})"
    made = Table(box=None, pad_edge=False, header_style="dim")
    made.add_column("owner's account, USD")
    made.add_column("booked", justify="right")
    made.add_column(scale, justify="right")
    for name, micro in (
        ("revenue", money.revenue_micro),
        ("refunds and credits", -money.refunds_micro - money.credits_micro),
        ("cost: energy, wear, operations", -money.cost_micro),
        ("margin", money.margin_micro),
    ):
        style = "bold" if name == "margin" else ""
        made.add_row(name, _usd(micro), f"{micro * summary.options.speed / MICRO:,.2f}", style=style)
    depreciation = f"depreciation of the leased time (runs either way): {_usd(money.depreciation_micro)}"
    return Group(made, Text(depreciation, style="dim"))


def _waiting(summary: Summary) -> RenderableType:
    owner, promise_s = summary.owner, summary.options.pace.promise_us / MICRO
    made = Table.grid(padding=(0, 2))
    for name, delay_s in (
        ("half of the jobs", owner.delay.p50),
        ("99 of 100", owner.delay.p99),
        ("the longest", owner.delay.max),
    ):
        filled = min(_WIDE, round(delay_s / promise_s * _WIDE))
        colour = "green" if delay_s <= promise_s else "red"
        bar = Text("█" * filled, style=colour) + Text("░" * (_WIDE - filled), style="bright_black")
        made.add_row(name, bar, f"{delay_s:.2f} s")
    made.add_row("the promise", Text("█" * _WIDE, style="bright_black"), f"{promise_s:g} s")
    broken = owner.promises_broken
    said, style = (f"{broken} promises were broken", "bold red") if broken else ("no promise was broken", "bold green")
    jobs = Text.assemble(f"{owner.jobs} jobs, {owner.started} started; ", (said, style))
    resumed = f"{_times(summary.reclaims, 'reclaim')}, {_times(summary.resumed, 'attempt')} resumed from a checkpoint"
    return Group(made, Text(), jobs, Text(f"{resumed}; {summary.lost_gpu_s:.1f} GPU-s of work lost"))


def _bills(summary: Summary) -> RenderableType:
    made = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    made.add_column("tenant")
    for heading in ("leases", "reclaims", "GPU-s", "lost", "usage", "returned", "to pay"):
        made.add_column(heading, justify="right", no_wrap=True)
    for one in summary.tenants:
        made.add_row(
            one.tenant,
            str(one.leases),
            str(one.reclaims),
            f"{one.billed_gpu_s:.1f}",
            f"{one.lost_gpu_s:.1f}",
            _usd(one.usage_micro),
            _usd(one.refund_micro + one.credit_micro),
            Text(_usd(one.due_micro), style="bold"),
        )
    legend = "GPU-s: billed; lost: work that a reclaim cost, in GPU-s; amounts in USD"
    return Group(made, Text(legend, style="dim"))


def _training(learning: Learning) -> RenderableType:
    """The loss over the attempts, each in a shade of its own."""
    if not learning.losses:
        return Text("aurora's training did not get as far as a first loss", style="yellow")
    curve = Text()
    bars = spark(_sampled(learning.losses, _CURVE))
    ends = _ends(learning, len(bars))
    for n, bar in enumerate(bars):
        attempt = sum(n >= end for end in ends)
        curve.append(bar, style="green" if attempt % 2 == 0 else "bright_cyan")
    first, last = learning.losses[0], learning.losses[-1]
    word = "went on falling" if learning.falling else "did not keep falling"
    said = f"loss {first:.4f} to {last:.4f} over {_times(len(learning.runs), 'attempt')}: it {word}"
    return Group(Text.assemble(("aurora's training  ", "dim"), curve), Text(said, style="green" if learning.falling else "red"))


def _proof(summary: Summary) -> RenderableType:
    free = summary.usage_gpu_s["grace"] + summary.usage_gpu_s["unfunded"]
    parts = "  ".join(f"[{COLOURS.get(state, 'default')}]{state}[/] {gpu_s:.2f}" for state, gpu_s in summary.gpu_s.items())
    checks = [
        (summary.conserved, f"{parts}\n= {sum(summary.gpu_s.values()):.6f} GPU-s; capacity {summary.capacity_gpu_s:.6f}"),
        (
            summary.billed_matches,
            f"billed {summary.usage_gpu_s['billed']:.6f} = leased {summary.gpu_s['leased']:.6f} - free {free:.6f}",
        ),
        (summary.ledger_balanced, "every balance of the ledger follows from its entries"),
        (not summary.findings, "no GPU held twice, no second measured twice, nobody above a bid"),
    ]
    made = Table.grid(padding=(0, 1))
    for good, said in checks:
        made.add_row(Text("yes", style="bold green") if good else Text("NO", style="bold red"), said)
    for finding in summary.findings:
        made.add_row("", Text(finding, style="red"))
    return made


def _sampled(values: Sequence[float], most: int) -> list[float]:
    step = max(1.0, len(values) / most)
    return [values[int(n * step)] for n in range(min(most, len(values)))]


def _ends(learning: Learning, width: int) -> list[int]:
    """Where in a curve of this width each attempt but the last ends."""
    total, seen, ends = len(learning.losses), 0, []
    for run in learning.runs[:-1]:
        seen += len(run.losses)
        ends.append(round(seen / total * width))
    return ends


def _usd(micro: int) -> str:
    """An amount with all the ledger's decimals."""
    return f"{micro / MICRO:,.6f}"


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
