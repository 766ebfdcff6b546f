"""What an audit says, on a terminal: its paragraph, a line a way, the largest groups; or everything about one group."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from sublet.advice.audit.report import WAYS, Line, Report
from sublet.advice.audit.saved import DOCUMENT, PAGE
from sublet.advice.study.words import length, money, number, share
from sublet.cli.finance_summary import prose
from sublet.cli.output import Markup, table
from sublet.core.units import MICRO

SHOWN = 15
COLOURS = {"spot": "green", "guarded": "cyan", "block": "magenta", "batch_api": "yellow", "stay": "dim"}
SUMS = ("way", "groups", "jobs", "GPU-h", "of the time", "saved", "reclaims")
GROUPS = ("group", "jobs", "GPU-h", "recommended", "saved", "reclaims a job", "later, mean", "what it is")


def summary(report: Report) -> RenderableType:
    """All but where it is."""
    more = len(report.lines) - SHOWN
    return Group(
        Text(),
        prose(" ".join(report.sentences)),
        *(prose(f"! {warning}", "yellow") for warning in report.warnings),
        Text(),
        table(SUMS, _sums(report), right=SUMS[1:]),
        Text(),
        table(GROUPS, _groups(report), right=GROUPS[1:3] + GROUPS[4:7], roomy=("later, mean",)),
        prose(f"and {more:,} smaller groups; --explain g1 says everything of one" if more > 0 else "", "dim"),
        Text(),
    )


def explained(line: Line, report: Report) -> RenderableType:
    """Everything about one group."""
    group, traits, choice = line.group, line.traits, line.choice
    traits_table = [
        (name, trait.answer.value, "; ".join(trait.reasons))
        for name, trait in (
            ("heavy", traits.heavy), ("can wait", traits.tolerant), ("saves", traits.checkpoints),
            ("sensitive", traits.sensitive),
        )
    ]  # fmt: skip
    headings = ("way", "costs", "reclaims a job", "later, mean", "95 of 100", "open?")
    return Group(
        Text(),
        Text.from_markup(f"[bold]{escape(group.id)}[/]  {escape(group.name)}"),
        prose(
            f"{group.jobs:,} jobs, {number(group.gpu_h)} GPU-hours; half of them run {length(group.median_h * 3600)} or less, "
            f"95 of 100 {length(group.high_h * 3600)}; a job may be {length(traits.slack_h * 3600)} later."
        ),
        Text(),
        table(("", "", "why"), traits_table),
        Text(),
        table(headings, _options(line, report), right=headings[1:5]),
        Text(),
        Text.from_markup(f"[bold {COLOURS[choice.best.way]}]{choice.best.name}[/]  {escape(choice.why)}"),
        Text(),
    )


def where(out: Path | None, tasks: Path | None, count: int) -> str:
    """Where the rest is; lines that are not to be folded, so that they can be copied."""
    said = []
    if out is not None:
        said.append(f"report  [bold]{escape(str(out / PAGE))}[/]\ndata    {escape(str(out / DOCUMENT))}")
    if tasks is not None:
        said.append(f"tasks   {count} in {escape(str(tasks))}; put the command into one, then: sublet launch FILE")
    return "\n".join(said) or "[dim]page and JSON: add --out FOLDER; task files: --tasks FOLDER; one group: --explain g1[/]"


def _sums(report: Report) -> Iterator[tuple[str, ...]]:
    for one in report.sums:
        yield (
            WAYS[one.way], f"{one.groups:,}", f"{one.jobs:,}", number(one.gpu_h), share(one.share),
            money(one.saving_micro / MICRO, report.currency), number(one.interruptions),
        )  # fmt: skip


def _groups(report: Report) -> Iterator[tuple[str, ...]]:
    for line in report.lines[:SHOWN]:
        best, traits = line.best, line.traits
        saves = "saves" if traits.saves else "does not save"
        yield (
            f"{line.group.id} {line.group.name}", f"{line.group.jobs:,}", number(line.group.gpu_h),
            Markup(f"[{COLOURS[best.way]}]{best.name}[/]"), money(line.choice.saving_micro / MICRO, report.currency),
            number(best.interruptions), length(best.added_h * 3600),
            f"{traits.kind}, {saves}" + (", kept" if traits.stays else ""),
        )  # fmt: skip


def _options(line: Line, report: Report) -> Iterator[tuple[str, ...]]:
    for one in line.choice.options:
        late = "never" if one.late_h == float("inf") else length(one.late_h * 3600)
        added = "never" if one.added_h == float("inf") else length(one.added_h * 3600)
        yield (
            one.name, money(one.cost_micro / MICRO, report.currency), number(one.interruptions), added, late,
            one.ruled_out or "open",
        )  # fmt: skip
