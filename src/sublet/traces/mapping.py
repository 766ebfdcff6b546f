"""Which column of a file is which of ours, and in which unit: as a person says it, checked against the file."""

from collections.abc import Mapping, Sequence

from sublet.core.errors import Invalid
from sublet.traces.files import Sample, require
from sublet.traces.instants import TIME_UNITS
from sublet.traces.options import Options


def mapping(texts: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Columns and units from `ours=theirs` and `ours=theirs:unit`, as they stand on a command line.

    The unit is what follows the last colon, if that is a unit; a colon in a column's name is otherwise part of the name.
    """
    columns: dict[str, str] = {}
    units: dict[str, str] = {}
    for text in texts:
        ours, _, theirs = (part.strip() for part in text.partition("="))
        if not (ours and theirs):
            said = f"{text!r} does not name two columns"
            raise Invalid(said, field="column", hint="write OURS=THEIRS or OURS=THEIRS:UNIT, as in submit=SubmitTime:iso")
        if ours in columns:
            raise Invalid(f"column {ours} is given twice", field="column", hint="give it once")
        name, _, unit = theirs.rpartition(":")
        if name and (unit in TIME_UNITS or factor(unit) is not None):
            theirs, units[ours] = name, unit
        columns[ours] = theirs
    return columns, units


def mapped(seen: Sample, options: Options, known: Mapping[str, str], *, name: str = "column") -> dict[str, str]:
    """Our columns that the file has, and what they are called there; refuses a mapping that leads nowhere."""
    for what, given in (("column", options.columns), ("unit", options.units)):
        strange = sorted(set(given) - set(known))
        if strange:
            raise Invalid(f"there is no column {strange[0]!r} to map", field=what, hint=f"ours are {', '.join(known)}")
    lacks_none = "map columns that the file has"
    require(seen.columns, list(options.columns.values()), path=seen.path, expected=lacks_none, name=name)
    return {ours: theirs for ours, theirs in known.items() if theirs in seen.columns} | dict(options.columns)


def factor(unit: str) -> float | None:
    """A unit of a GPU column is a number: so many GPUs for each one counted (8 for whole nodes, 0.01 for percent)."""
    try:
        number = float(unit)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def factors(options: Options, of: Sequence[str]) -> dict[str, float]:
    """How many GPUs one counts for, for those of our columns that have a unit."""
    found = {}
    for ours in of:
        if ours in options.units:
            number = factor(options.units[ours])
            if number is None:
                hint = "a number: 8 for whole nodes of 8 GPUs, 0.01 for percent"
                raise Invalid(f"{options.units[ours]!r} is no unit of GPUs (column {ours})", field="unit", hint=hint)
            found[ours] = number
    return found
