"""`sublet study` at work: what was said on the command line becomes a question, and the answer a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sublet.advice.study import question
from sublet.advice.study.choices import wanted
from sublet.advice.study.document import text_of
from sublet.advice.study.question import Files
from sublet.advice.study.report import Report, report_of
from sublet.advice.study.result import Wanted
from sublet.advice.study.run import study
from sublet.advice.study.saved import Folder
from sublet.app.quantities import duration_us
from sublet.cli.output import console, errors, write_text
from sublet.cli.study_stages import Stages
from sublet.cli.study_summary import summary, where
from sublet.core.errors import Invalid
from sublet.traces import Options, mapping
from sublet.traces.options import SPOT_WORDS, PoolBy


@dataclass(frozen=True, slots=True)
class Told:
    """What was said about a trace that it does not say itself, as it stands on the command line."""

    columns: Sequence[str]
    units: Sequence[str]
    pool: str
    trace: str | None
    spot: Sequence[str]
    zone: str | None
    origin: str | None
    until: str | None
    gpus_per_worker: bool

    def given(self) -> dict[str, object]:
        """What differs from saying nothing, by the option's name."""
        said = {
            "column": self.columns,
            "unit": self.units,
            "pool": self.pool != "given",
            "trace": self.trace,
            "spot": self.spot,
            "zone": self.zone,
            "origin": self.origin,
            "until": self.until,
            "gpus-per-worker": self.gpus_per_worker,
        }
        return {name: value for name, value in said.items() if value}

    def options(self, stages: Stages) -> Options:
        """As readers take it."""
        columns, units = mapping(self.columns)
        for text in self.units:
            ours, _, unit = (part.strip() for part in text.partition("="))
            if not (ours and unit):
                raise Invalid(f"{text!r} gives no column its unit", field="unit", hint="write OURS=UNIT, as in submit=epoch")
            units[ours] = unit
        return Options(
            columns=columns,
            units=units,
            gpus_per_worker=self.gpus_per_worker,
            trace=self.trace,
            pool=cast("PoolBy", self.pool),  # Options itself refuses any other word
            spot=frozenset(word.lower() for word in self.spot) or SPOT_WORDS,
            zone=self.zone,
            origin=self.origin,
            until=self.until,
            progress=stages.tell,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Everything that is read."""

    trace: Path | None
    format: str | None
    kind: str | None
    told: Told
    nodes: Path | None
    nodes_trace: str | None
    capacity: tuple[str, ...]
    cost: Path | None
    price: Path | None
    example: bool

    def files(self, stages: Stages) -> Files:
        """As the study takes it."""
        if self.example:
            self._refuse_beside_example()
        elif self.trace is None:
            raise Invalid(
                "no trace is given", field="trace", hint="name a file, or see a study at once: sublet study --example"
            )
        options = self.told.options(stages)
        fleet = (self.nodes, self.nodes_trace, self.capacity)
        return Files(self.trace, self.format, *fleet, self.cost, self.price, options, self.kind)

    def _refuse_beside_example(self) -> None:
        """The example is read as it is; what would be said in vain is an error."""
        said: dict[str, object] = {"trace": self.trace, "format": self.format, "kind": self.kind, **self.told.given()}
        for name, value in said.items():
            if value:
                what = f"{self.trace} is" if name == "trace" and self.trace else f"--{name} is"
                raise Invalid(f"{what} of no use with --example", field=name, hint="leave one of the two away")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the answer goes."""

    out: Path
    force: bool
    as_json: bool


def run(source: Source, wishes: Wanted, target: Target, *, warm_up: str | None) -> int:
    """Read, study, write, and say it; the exit code."""
    try:
        report = _made(source, wishes, target, _duration(warm_up))
    except KeyboardInterrupt:
        errors.print("[dim]stopped; no report was written[/]")
        return 130
    if target.as_json:
        write_text(text_of(report))
    else:
        console.print(summary(report))
        console.print(where(target.out), soft_wrap=True)
    return 0


def _made(source: Source, wishes: Wanted, target: Target, warm_up_us: int | None) -> Report:
    """The report, which is then in its folder, too."""
    with Stages(errors, lines=not target.as_json) as stages:
        asked = question.asked(source.files(stages), warm_up_us=warm_up_us)
        folder = Folder(target.out, force=target.force)
        try:
            found = study(asked, wishes, stages.tell)
            report = report_of(found)
            folder.save(report, found, lambda share: stages.tell("writing the report", share))
        finally:
            folder.give_up()
    return report


def _duration(text: str | None) -> int | None:
    """A length of time in µs; 0 is one, too: then nothing is learnt before the market opens."""
    if text is None:
        return None
    if text.strip() in {"0", "0s", "0h", "0d"}:
        return 0
    try:
        return duration_us(text)
    except ValueError as error:
        raise Invalid(str(error), field="warm_up", hint="write 28d, 12h or 0") from error


__all__ = ["Source", "Target", "Told", "run", "wanted"]
