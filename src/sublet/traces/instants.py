"""Points and lengths of time in whatever unit a file has them, as µs.

Dates become site-local wall time written as if it were UTC: what matters is which hour and weekday it was where the
machines stand. `zone` moves times that are known to be UTC there.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US
from sublet.traces.job_table import Clock
from sublet.traces.options import Options

TIME_UNITS: Mapping[str, str] = {
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "min": "minutes",
    "h": "hours",
    "iso": "dates as 2024-05-01T10:00:00",
    "epoch": "seconds since 1970 in UTC",
    "epoch_ms": "milliseconds since 1970 in UTC",
}
"""Units of time; those that count from the trace's own zero make its clock relative, dates and epochs make it local."""

EARLIEST_US = 0
LATEST_US = 10_000_000_000 * SECOND_US  # the year 2286; what a column in a finer unit than it says would pass
LONGEST_US = 100 * 366 * 24 * HOUR_US

NO_TIME = ("", "Unknown", "None", "N/A", "NaN", "nan", "null", "NULL", "INVALID")
"""What stands for no time: not a bad one."""

NOTHING = pl.Series([None], dtype=pl.Float64)

_PER = {"us": 1, "ms": 1_000, "s": SECOND_US, "min": MINUTE_US, "h": HOUR_US, "epoch": SECOND_US, "epoch_ms": 1_000}
_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_OFFSET = r"(?:\s*(?:Z|UTC|[+-]\d{2}:?\d{2}))$"
_UTC = r"(?:Z|UTC|[+-]00:?00)$"
_LOOKS_ISO = r"^\d{4}-\d{2}-\d{2}"


def unit_of(column: pl.Series, unit: str | None, *, name: str) -> str:
    """The unit of a column of times: as given, else dates if it holds dates, else seconds."""
    if unit is not None:
        if unit not in TIME_UNITS:
            known = ", ".join(f"{word} ({says})" for word, says in TIME_UNITS.items())
            raise Invalid(f"{unit!r} is no unit of time (column {name})", field="unit", hint=f"one of {known}")
        return unit
    if column.dtype.is_temporal():
        return "iso"
    if column.dtype == pl.String:
        given = column.drop_nulls().str.strip_chars()
        given = given.filter(~given.is_in(NO_TIME)).head(100)
        if len(given) and given.str.contains(_LOOKS_ISO).any():
            return "iso"
    return "s"


def clock_of(unit: str) -> Clock:
    """Dates and epochs say which hour it was; counts from the trace's own zero do not."""
    return "local" if unit in {"iso", "epoch", "epoch_ms"} else "relative"


def instants(column: pl.Series, unit: str, options: Options) -> pl.Series:
    """The column in µs (Int64); null where there is no time or it cannot be read (`missing` tells one from the other)."""
    if unit == "iso":
        dates = _dates(column) if column.dtype == pl.String else column
        return _wall(dates, options, as_written=column)
    number = lengths(column, unit)
    if clock_of(unit) == "relative" or options.zone is None:
        return number
    return _moved(number.cast(pl.Datetime("us")), options.zone).cast(pl.Int64)


def lengths(column: pl.Series, unit: str) -> pl.Series:
    """Numbers of a unit in µs (Int64); null where there is none, and what is far too large stays too large."""
    text = column.str.strip_chars() if column.dtype == pl.String else column
    number = text.cast(pl.Float64, strict=False)
    finite = number.zip_with(number.is_finite().fill_null(value=False), NOTHING) * _PER[unit]
    return finite.clip(-2 * LATEST_US, 2 * LATEST_US).round().cast(pl.Int64)


def missing(column: pl.Series) -> pl.Series:
    """Where a column says that there is no time: an empty cell or a word for it."""
    if column.dtype == pl.String:
        return column.is_null() | column.str.strip_chars().is_in(NO_TIME)
    if column.dtype.is_float():
        return column.is_null() | column.is_nan()
    return column.is_null()


def wall_us(text: str, *, field: str) -> int:
    """One wall time of the site, as a person writes it on a command line, in µs."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no date", field=field, hint="write it as 2024-05-01 or 2024-05-01T10:00:00") from error
    return round(when.replace(tzinfo=UTC).timestamp()) * SECOND_US


def clock_from(options: Options, clock: Clock) -> tuple[int, Clock]:
    """(µs to add to every instant, clock): a trace with a clock of its own has hours once its origin is told."""
    if options.origin is None:
        return 0, clock
    if clock == "local":
        raise Invalid("the trace has dates of its own", field="origin", hint="leave the origin away")
    return wall_us(options.origin, field="origin"), "local"


def until_us(text: str, clock: Clock) -> int:
    """The end of a trace as a person gives it: a wall time, or the seconds on the trace's own clock."""
    if clock == "local":
        return wall_us(text, field="until")
    try:
        return round(float(text) * SECOND_US)
    except ValueError as error:
        hint = "this trace has a clock of its own: give the seconds on it"
        raise Invalid(f"{text!r} is no number of seconds", field="until", hint=hint) from error


def said(us: int, clock: Clock) -> str:
    """An instant as people say it: a date and time, or the days since the trace's zero."""
    if clock == "relative":
        return f"day {us / (24 * HOUR_US):,.2f}"
    return datetime.fromtimestamp(us / SECOND_US, UTC).strftime("%Y-%m-%d %H:%M")


def _dates(column: pl.Series) -> pl.Series:
    """Text as wall times; an offset at the end is cut off, the time before it is the wall time it was written for."""
    text = column.str.strip_chars().str.replace(_OFFSET, "")
    read = text.str.to_datetime(_FORMATS[0], time_unit="us", strict=False)
    for pattern in _FORMATS[1:]:
        if read.null_count() <= text.is_in(NO_TIME).sum() + text.null_count():
            break
        read = read.zip_with(read.is_not_null(), _read(text, pattern))
    return read


def _read(text: pl.Series, pattern: str) -> pl.Series:
    if "%H" in pattern:
        return text.str.to_datetime(pattern, time_unit="us", strict=False)
    return text.str.to_date(pattern, strict=False).cast(pl.Datetime("us"))


def _wall(dates: pl.Series, options: Options, *, as_written: pl.Series) -> pl.Series:
    """Dates as µs of wall time; those that are said to be UTC are moved to the site's zone, if that is known."""
    if isinstance(dates.dtype, pl.Datetime) and dates.dtype.time_zone is not None:
        there = dates.dt.convert_time_zone(_zone(options.zone) if options.zone else dates.dtype.time_zone)
        return there.dt.replace_time_zone(None).cast(pl.Datetime("us")).cast(pl.Int64)
    plain = dates.cast(pl.Datetime("us"))
    if options.zone is None or as_written.dtype != pl.String:
        return plain.cast(pl.Int64)
    is_utc = as_written.str.strip_chars().str.contains(_UTC).fill_null(value=False)
    return _moved(plain, options.zone).zip_with(is_utc, plain).cast(pl.Int64)


def _moved(utc: pl.Series, zone: str) -> pl.Series:
    """Instants in UTC as wall times of the zone."""
    return utc.dt.replace_time_zone("UTC").dt.convert_time_zone(_zone(zone)).dt.replace_time_zone(None)


@cache
def _zone(name: str) -> str:
    if name not in available_timezones():
        raise Invalid(f"there is no time zone {name!r}", field="zone", hint="a name of the tz database, as Europe/Berlin")
    return str(ZoneInfo(name))
