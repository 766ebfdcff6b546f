"""An audit as one value: everything that the page shows and the JSON document says. Amounts in micro-units (`*_micro`)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sublet
from sublet.advice.audit.grouping import Grouped, Members, grouped
from sublet.advice.audit.labels import Label
from sublet.advice.audit.surplus_file import SurplusFile
from sublet.advice.study.words import counted, length, money, number, share
from sublet.app.complaints import meant
from sublet.core.audit.classify import Rules, Traits, traits_of
from sublet.core.audit.group import Group
from sublet.core.audit.options import BATCH, BLOCK, GUARDED, SPOT, STAY, Asked, Choice, Option, Surplus, choose
from sublet.core.errors import NotFound
from sublet.core.units import HOUR_US, MICRO
from sublet.traces import JobTable

KIND = "sublet.audit"
SCHEMA = 1
"""Goes up when a key changes its meaning or goes away; new keys may come at any time."""
WAYS: Mapping[str, str] = {
    SPOT: "spot", GUARDED: "guarded", BLOCK: "block", BATCH: "batch API", STAY: "stay",
}  # fmt: skip
RUNS, RUNS_LEAST, PLAYED_MAX = 20, 4, 600_000
LEAST_SAVING = 0.05

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an audit is made. Each job is played `runs` times, fewer where there are very many jobs."""

    rules: Rules = field(default_factory=Rules)
    least_saving: float = LEAST_SAVING
    runs: int = RUNS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One group: what it is, all ways, and the best."""

    group: Group
    traits: Traits
    choice: Choice

    @property
    def best(self) -> Option:
        """What it should do."""
        return self.choice.best

    @property
    def stay_micro(self) -> int:
        """What it costs where it is."""
        return self.choice.options[0].cost_micro


@dataclass(frozen=True, slots=True)
class Sum:
    """All groups of one recommendation. Interruptions and added hours are of all their jobs together."""

    way: str
    groups: int
    jobs: int
    gpu_h: float
    share: float  # of the GPU time
    stay_micro: int
    cost_micro: int
    saving_micro: int
    interruptions: float
    added_h: float


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer."""

    kind: str
    schema: int
    version: str
    source: str
    format: str
    currency: str
    rows: int
    jobs: int
    never_ran: int
    left_out: int
    days: float
    gpu_h: float
    classified: float  # of the GPU time
    lines: tuple[Line, ...]
    sums: tuple[Sum, ...]
    saving_micro: int
    stay_micro: int
    runs: int
    seed: int
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    surplus: SurplusFile
    rules: Rules

    def line(self, name: str) -> Line:
        """The group of this id or name."""
        found = next((line for line in self.lines if name in {line.group.id, line.group.name}), None)
        if found is None:
            known = [line.group.id for line in self.lines] + [line.group.name for line in self.lines[:200]]
            said = f"there is no group {name!r}"
            hint = meant(name, known) if len(known) < 40 else f"g1 to g{len(self.lines)}"
            raise NotFound(said, field="explain", hint=hint)
        return found


def report_of(
    table: JobTable,
    source: str,
    *,
    labels: Sequence[Label] = (),
    surplus: SurplusFile,
    wanted: Wanted,
    tell: Tell = lambda *_: None,
) -> Report:
    """Audit a job table."""
    tell("grouping", 0.0)
    found = grouped(table, labels)
    runs = max(RUNS_LEAST, min(wanted.runs, PLAYED_MAX // max(1, found.ran)))
    lines = tuple(_lines(found, surplus, wanted, runs, tell))
    sums = tuple(_sums(lines, found.gpu_us))
    gpu_us = sum(int(one.work_us.sum()) * one.group.gpus for one in found.members)
    return Report(
        kind=KIND,
        schema=SCHEMA,
        version=sublet.__version__,
        source=source,
        format=table.format,
        currency=surplus.currency,
        rows=table.rows,
        jobs=found.ran,
        never_ran=found.never,
        left_out=sum(fault.rows for fault in table.faults) + sum(note.left_out for note in table.notes),
        days=(table.until_us - table.from_us) / (24 * HOUR_US),
        gpu_h=found.gpu_us / HOUR_US,
        classified=gpu_us / found.gpu_us,
        lines=lines,
        sums=sums,
        saving_micro=sum(line.choice.saving_micro for line in lines),
        stay_micro=sum(line.stay_micro for line in lines),
        runs=runs,
        seed=wanted.seed,
        sentences=tuple(_sentences(found, lines, sums, surplus)),
        warnings=tuple(_warnings(lines, labels, surplus)),
        notes=tuple(note.says for note in table.notes),
        surplus=surplus,
        rules=wanted.rules,
    )


def _lines(found: Grouped, surplus: SurplusFile, wanted: Wanted, runs: int, tell: Tell) -> Iterator[Line]:
    terms = surplus.surplus()
    done = 0
    for one in found.members:
        tell("playing every way", done / found.ran)
        done += one.group.jobs
        yield _line(one, terms, wanted, runs)
    tell("playing every way", 1.0)


def _line(one: Members, terms: Surplus, wanted: Wanted, runs: int) -> Line:
    traits = traits_of(one.group, wanted.rules)
    asked = Asked(one.group, traits, one.work_us, runs, wanted.seed)
    choice = choose(asked, terms, least_saving=wanted.least_saving)
    return Line(one.group, traits, choice)


def _sums(lines: Sequence[Line], gpu_us: int) -> Iterator[Sum]:
    by_way: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_way[line.best.way].append(line)
    for way in WAYS:
        mine = by_way[way]
        gpu_h = sum(line.group.gpu_h for line in mine)
        yield Sum(
            way=way,
            groups=len(mine),
            jobs=sum(line.group.jobs for line in mine),
            gpu_h=gpu_h,
            share=gpu_h * HOUR_US / gpu_us,
            stay_micro=sum(line.stay_micro for line in mine),
            cost_micro=sum(line.best.cost_micro for line in mine),
            saving_micro=sum(line.choice.saving_micro for line in mine),
            interruptions=sum(line.best.interruptions * line.group.jobs for line in mine),
            added_h=sum(line.best.added_h * line.group.jobs for line in mine),
        )


def _sentences(found: Grouped, lines: Sequence[Line], sums: Sequence[Sum], surplus: SurplusFile) -> Iterator[str]:
    """The paragraph at the top."""
    gpu_h = found.gpu_us / HOUR_US
    leaving = [one for one in sums if one.way != STAY and one.groups]
    all_of = f"{counted(found.ran, 'job')} in {counted(len(lines), 'group')} used {number(gpu_h)} GPU-hours"
    if not leaving:
        yield f"{all_of}; none of them should leave."
        yield f"Why: {_commonest(lines)}."
        return
    stay = sum(line.stay_micro for line in lines) / MICRO
    saving = sum(one.saving_micro for one in leaving) / MICRO
    gone = sum(one.share for one in leaving)
    yield (
        f"{all_of}; {share(gone)} of them could run on surplus and would save {money(saving, surplus.currency)}, "
        f"{share(saving / stay) if stay else 'nothing'} of the {money(stay, surplus.currency)} that all cost now."
    )
    parts = [f"{share(one.share)} on {WAYS[one.way]} ({money(one.saving_micro / MICRO, surplus.currency)})" for one in leaving]
    yield f"By way: {', '.join(parts)}."
    often = sum(one.interruptions for one in leaving)
    jobs, added = sum(one.jobs for one in leaving), sum(one.added_h for one in leaving)
    yield (
        f"Of the {counted(jobs, 'job')} that leave, all together would be taken back {number(often)} times and a job would be "
        f"done {length(added / jobs * 3600)} later on average, the wait for its first run counted in."
    )
    staying = [line for line in lines if line.best.way == STAY]
    if staying:
        hours = sum(line.group.gpu_h for line in staying)
        yield f"{share(hours / gpu_h)} stays, most of it because {_commonest(staying)}."


def _commonest(lines: Sequence[Line]) -> str:
    """The reason that holds most GPU-hours back."""
    by_reason: dict[str, float] = defaultdict(float)
    for line in lines:
        by_reason[_held_by(line)] += line.group.gpu_h
    return max(by_reason, key=lambda reason: by_reason[reason])


def _held_by(line: Line) -> str:
    if line.traits.stays:
        return "its data is, or may be, confidential"
    if line.traits.heavy.answer == "no":
        return "its groups are too small to be worth the trouble"
    if line.traits.kind == "interactive":
        return "people wait for it"
    if not line.traits.saves and line.choice.if_saving_micro:
        return "nothing shows that it saves checkpoints"
    if all(one.ruled_out is None for one in line.choice.options):
        return "leaving would save too little"
    return "it would be done too late, or would not be done"


def _warnings(lines: Sequence[Line], labels: Sequence[Label], surplus: SurplusFile) -> Iterator[str]:
    """What has to be known before a number is passed on."""
    shipped = "home.gpu_h" in surplus.sources
    if shipped:
        price = money(surplus.home.gpu_h / MICRO, surplus.currency)
        yield f"What a GPU-hour costs you now is assumed ({price}): give yours with --home, every saving hangs on it."
    if not labels:
        yield "No labels were given: whether data may leave is guessed from names. Say it with --labels."
    if not any(line.group.waited for line in lines):
        yield "The history does not say how long jobs queued: what they may bear is taken from how long they run."
    if not any(line.group.pattern for line in lines):
        yield "Jobs have no names: groups are users and shapes, and frameworks cannot be seen."
    would = sum(line.choice.if_saving_micro or 0 for line in lines if line.best.way == STAY)
    if would:
        said = money(would / MICRO, surplus.currency)
        yield f"Work that stays because nothing shows that it saves checkpoints would save {said} if it did."
