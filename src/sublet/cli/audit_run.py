"""`sublet audit` at work: a job history becomes a report, printed, written, or both."""

from dataclasses import dataclass, replace
from pathlib import Path

from sublet.advice.audit import document, history, labels, saved, surplus_file, task_files
from sublet.advice.audit.report import Report, Wanted, report_of
from sublet.advice.folder import usable
from sublet.app.complaints import meant
from sublet.app.quantities import PRICE_MICRO_MAX, money_micro
from sublet.cli.audit_summary import explained, summary, where
from sublet.cli.output import console, errors, write_text
from sublet.cli.study_run import Told
from sublet.cli.study_stages import Stages
from sublet.core.audit.classify import Rules
from sublet.core.errors import Invalid
from sublet.core.residency import Sensitivity

SENSITIVITIES = tuple(Sensitivity)


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    files: tuple[Path, ...]
    format: str | None
    told: Told
    labels: Path | None
    surplus: Path | None
    show: bool
    home: str | None
    unlabelled: str
    least_gpu_h: float
    slack_h: float
    least_saving: float
    runs: int
    seed: int

    def wanted(self) -> Wanted:
        """How the audit is made."""
        if self.unlabelled not in SENSITIVITIES:
            hint = meant(self.unlabelled, SENSITIVITIES)
            raise Invalid(f"{self.unlabelled!r} is no sensitivity", field="unlabelled", hint=hint)
        rules = Rules(heavy_gpu_h=self.least_gpu_h, slack_h=self.slack_h, unlabelled=self.unlabelled)
        return Wanted(rules, self.least_saving, self.runs, self.seed)

    def home_micro(self) -> int | None:
        """What a GPU-hour costs now, micro-units."""
        try:
            return None if self.home is None else money_micro(self.home, at_most=PRICE_MICRO_MAX)
        except ValueError as error:
            hint = "the price of one GPU for one hour: --home 1.80"
            raise Invalid(str(error), field="home", hint=hint) from error


@dataclass(frozen=True, slots=True)
class Target:
    """Where the answer goes."""

    out: Path | None
    tasks: Path | None
    explain: str | None
    force: bool
    as_json: bool


def run(asked: Asked, target: Target) -> int:
    """Answer one command line; the exit code."""
    if asked.show:
        write_text(surplus_file.shipped_text())
        return 0
    if not asked.files:
        hint = "name a file: sublet audit jobs.txt; `sacct -a -P --format=...` makes one (docs/reference/traces.md)"
        raise Invalid("no job history is given", field="jobs", hint=hint)
    try:
        report = _made(asked, target)
    except KeyboardInterrupt:
        errors.print("[dim]stopped; no report was written[/]")
        return 130
    line = None if target.explain is None else report.line(target.explain)
    written = [] if target.tasks is None else task_files.write(report, target.tasks, force=target.force)
    if target.as_json:
        made = document.document(report) if line is None else document.line_of(line)
        write_text(document.text_of(made))
        return 0
    console.print(summary(report) if line is None else explained(line, report))
    console.print(where(target.out, target.tasks, len(written)), soft_wrap=True)
    return 0


def _made(asked: Asked, target: Target) -> Report:
    """The report, which is then in its folder, too."""
    if target.out is not None:
        usable(target.out, force=target.force)
    wanted, found = asked.wanted(), labels.read_labels(asked.labels)
    surplus = surplus_file.read_surplus(asked.surplus, home=asked.home_micro())
    with Stages(errors, lines=not target.as_json) as stages:
        options = replace(asked.told.options(stages), progress=stages.tell)
        table = history.read(asked.files, options, trace_format=asked.format)
        name = asked.files[0].name if len(asked.files) == 1 else f"{len(asked.files)} files"
        report = report_of(table, name, labels=found, surplus=surplus, wanted=wanted, tell=stages.tell)
        if target.out is not None:
            stages.tell("writing the report", 0.0)
            saved.save(report, target.out)
    return report


__all__ = ["Asked", "Target", "Told", "run"]
