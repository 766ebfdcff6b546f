"""A task file for each group that should leave, ready but for the command: a job history does not hold that."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import yaml

from sublet.advice.audit.report import Line, Report
from sublet.advice.study.words import length, money
from sublet.core.audit.options import BATCH, BLOCK, GUARDED, SPOT, STAY
from sublet.core.errors import Conflict, Unavailable
from sublet.core.units import MICRO, SECOND_US

NO_COMMAND = 64
"""How a task ends into which nobody has put its command (EX_USAGE)."""
ANY_MODEL = "GPU"
"""What stands for the model where the history names none."""
_MARGIN = 1.25
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def task_texts(report: Report) -> Iterator[tuple[str, str]]:
    """(file name, text) for each group that should leave."""
    for line in report.lines:
        if line.best.way != STAY:
            slug = _NAME.sub("-", line.group.name.replace("#", "N")).strip("-.")[:80]
            yield f"{line.group.id}-{slug or 'jobs'}.yaml", text_of(line, report)


def text_of(line: Line, report: Report) -> str:
    """The task of a group: comments that say why, then the fields."""
    said_of = "".join(f"# {part}\n" for part in _comments(line, report))
    return said_of + yaml.safe_dump(_fields(line, report), sort_keys=False, allow_unicode=True, width=120)


def _comments(line: Line, report: Report) -> Iterator[str]:
    group, best = line.group, line.best
    saving, stay = (money(amount / MICRO, report.currency) for amount in (line.choice.saving_micro, line.stay_micro))
    later = length(best.added_h * 3600)
    yield f"{group.id}: {group.name}".replace("\n", " ")
    yield f"{group.jobs:,} jobs, {group.gpu_h:,.4g} GPU-hours; recommended: {best.name}, {line.choice.why}".replace("\n", " ")
    yield f"saves {saving} of {stay}; {best.interruptions:.3g} reclaims and {later} more for a job, on average"
    yield f"its data: {line.traits.sensitive.reasons[0]}"
    if best.way == BATCH:
        yield "the batch API does the same without a GPU of yours: POST /v1/batches; this file is for a lease in its place"
    if best.way == BLOCK:
        yield "say when it is to start: lease.start, a date and time in UTC"
    if group.gpu_model is None:
        yield f"the history names no model of GPU: put yours in the place of {ANY_MODEL}"
    yield "put the command in the place of `run`; a job history does not hold it"


def _fields(line: Line, report: Report) -> dict[str, object]:
    group = line.group
    name = _NAME.sub("-", group.pattern.replace("#", "N")).strip("-.") or group.id
    resources = {"accelerators": f"{group.gpu_model or ANY_MODEL}:{group.per_node}"}
    message = shlex.quote(f"put the command of {group.name} here")
    return {
        "name": name[:128],
        "num_nodes": group.nodes,
        "resources": resources,
        "run": f"echo {message} >&2\nexit {NO_COMMAND}\n",
        "lease": _lease(line, report),
    }


def _lease(line: Line, report: Report) -> dict[str, object]:
    surplus, best = report.surplus, line.best
    way = SPOT if best.way == BATCH else best.way
    price = {SPOT: surplus.spot.gpu_h, BLOCK: surplus.block.gpu_h}.get(way)
    if way == GUARDED:
        price = next(part.gpu_h for part in surplus.guarded if part.hours == best.hours)
    assert price is not None
    made: dict[str, object] = {"class": way, "max_price": round(price * _MARGIN / MICRO, 4)}
    if way in {GUARDED, BLOCK}:
        made["hours"] = f"{best.hours}h"
    if line.traits.sensitivity:
        made["sensitivity"] = line.traits.sensitivity
    if line.traits.saves:
        made["checkpoint"] = {"path": "checkpoints", "every": f"{surplus.work.checkpoint // SECOND_US}s"}
    return made


def write(report: Report, folder: Path, *, force: bool) -> list[Path]:
    """All task files into a folder, which must be empty unless that is forced; their paths."""
    if folder.exists() and (folder.is_file() or any(folder.iterdir())) and not force:
        hint = "choose another folder with --tasks, or write into it with --force"
        raise Conflict(f"{folder} is not empty", field="tasks", hint=hint)
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in task_texts(report):
            (folder / name).write_text(text, encoding="utf-8")
            made.append(folder / name)
    except OSError as error:
        hint = "make room, or choose another folder: --tasks"
        raise Unavailable(f"{folder} cannot be written: {error.strerror}", field="tasks", hint=hint) from error
    return made
