"""Formats of trace files, one a file; a new one is a file, a row here and a line in the docs."""

from collections.abc import Mapping
from pathlib import Path

from sublet.core.errors import Invalid
from sublet.traces.demand_table import DemandTable
from sublet.traces.files import Sample, require, sample
from sublet.traces.formats import alibaba_spot, helios, openb, pai2020, philly, sacct, sacct_json, table, usage
from sublet.traces.formats.format import Format
from sublet.traces.job_table import JobTable
from sublet.traces.options import Options

FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format(sacct.NAME, sacct.SAYS, "jobs", sacct.detect, sacct.read),
        Format(sacct_json.NAME, sacct_json.SAYS, "jobs", sacct_json.detect, sacct_json.read),
        Format(table.NAME, table.SAYS, "jobs", table.detect, table.read, mapped=True),
        Format(alibaba_spot.NAME, alibaba_spot.SAYS, "jobs", alibaba_spot.detect, alibaba_spot.read),
        Format(pai2020.NAME, pai2020.SAYS, "jobs", pai2020.detect, pai2020.read),
        Format(philly.NAME, philly.SAYS, "jobs", philly.detect, philly.read),
        Format(helios.NAME, helios.SAYS, "jobs", helios.detect, helios.read),
        Format(openb.NAME, openb.SAYS, "jobs", openb.detect, openb.read),
        Format(usage.NAME, usage.SAYS, "demand", usage.detect, usage.read, mapped=True),
    )
}

KINDS: Mapping[str, str] = {"jobs": "jobs", "usage": "demand"}
"""What a trace may be said to be, and the kind of format that reads it."""

_DEFAULTS = Options()


def format_of(seen: Sample, options: Options = _DEFAULTS, *, name: str | None = None, kind: str | None = None) -> Format:
    """The format by its name, or the only one that the file looks like; otherwise `Invalid` with the list of them.

    `kind` (jobs | usage) leaves only formats of it.
    """
    if kind not in {None, *KINDS}:
        raise Invalid(f"there is no kind of trace {kind!r}", field="kind", hint=f"one of {', '.join(KINDS)}")
    if name is not None:
        if name not in FORMATS:
            raise Invalid(f"there is no format {name!r}", field="format", hint=f"one of {', '.join(FORMATS)}")
        chosen = FORMATS[name]
        if options.columns and not chosen.mapped:
            said = f"the columns of format {name} are known: none can be mapped"
            raise Invalid(said, field="column", hint=f"formats with a mapping: {', '.join(_mapped())}")
        if kind is not None and chosen.kind != KINDS[kind]:
            raise Invalid(f"format {name} is of another kind than {kind}", field="kind", hint="leave one of the two away")
        return chosen
    mapped_to = list(options.columns.values())
    require(seen.columns, mapped_to, path=seen.path, expected="map columns that the file has", name="column")
    possible = [one for one in FORMATS.values() if kind is None or one.kind == KINDS[kind]]
    likely = [one for one in possible if (one.mapped or not options.columns) and one.detect(seen, options)]
    if len(likely) == 1:
        return likely[0]
    if likely:
        names = ", ".join(one.name for one in likely)
        raise Invalid(f"{seen.path} looks like several formats: {names}", field="format", hint=f"name it: one of {names}")
    has = f"; its columns are: {', '.join(seen.columns[:12])}" if seen.columns else ""
    known = "; ".join(f"{one.name} ({one.says})" for one in possible)
    hint = f"map its columns to ours, or name its format: {known}"
    of_kind = "" if kind is None else f" for {kind}"
    raise Invalid(f"{seen.path} has no format{of_kind} that is known{has}", field="format", hint=hint)


def read_trace(
    path: Path,
    options: Options = _DEFAULTS,
    *,
    format: str | None = None,  # noqa: A002
    kind: str | None = None,
) -> JobTable | DemandTable:
    """A trace file as jobs or as demand, whichever its format gives; raises `Invalid` with field and way out."""
    seen = sample(path)
    chosen = format_of(seen, options, name=format, kind=kind)
    _check_options(chosen, options)
    options.tell(f"reading {chosen.name}", 0.0)
    found = chosen.read(seen, options)
    options.tell(f"reading {chosen.name}", 1.0)
    return found


def read_jobs(path: Path, options: Options = _DEFAULTS, *, format: str | None = None) -> JobTable:  # noqa: A002
    """A trace of jobs; a log of demand is refused, since nobody can say which jobs made it."""
    found = read_trace(path, options, format=format)
    if isinstance(found, DemandTable):
        names = ", ".join(one.name for one in FORMATS.values() if one.kind == "jobs")
        raise Invalid(f"{path} is a log of demand, not of jobs", field="trace", hint=f"formats with jobs: {names}")
    return found


def _check_options(chosen: Format, options: Options) -> None:
    """Refuse what this format could only ignore."""
    given = {"unit": bool(options.units) and not chosen.mapped}
    of_tables = {"trace": options.trace is not None, "gpus_per_worker": options.gpus_per_worker}
    given |= {name: said and chosen.name != table.NAME for name, said in of_tables.items()}
    for name, refused in given.items():
        if refused:
            hint = "it is for tables whose columns are mapped; leave it away"
            raise Invalid(f"format {chosen.name} takes no {name.replace('_', ' ')}", field=name, hint=hint)


def _mapped() -> list[str]:
    return [one.name for one in FORMATS.values() if one.mapped]
