"""How instants, amounts and times are written for other programs: exact, with a point, in UTC."""

from datetime import UTC, datetime, timedelta

from sublet.core.units import HOUR_US, MICRO, SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """The instant as a date and time in UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=us)


def micros(at: datetime) -> int:
    """The instant (µs) behind a date and time with a time zone."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> str:
    """ISO 8601 in UTC; a fraction is written only where there is one."""
    return moment(us).isoformat().replace("+00:00", "Z")


def decimal(micro: int, *, per: int = MICRO, places: int = 6) -> str:
    """`micro` in whole units as a decimal, rounded half away from zero where `places` are too few."""
    scaled = (2 * abs(micro) * 10**places + per) // (2 * per)
    whole, fraction = divmod(scaled, 10**places)
    return f"{'-' if micro < 0 and scaled else ''}{whole}.{fraction:0{places}d}"


def gpu_hours(gpu_us: int) -> str:
    """GPU-hours with twelve decimals: an hour has no finite decimal share for every tick."""
    return decimal(gpu_us, per=HOUR_US, places=12)


def gpu_seconds(gpu_us: int) -> str:
    """GPU-seconds, exact."""
    return decimal(gpu_us, per=SECOND_US)


def cell(text: str) -> str:
    """Text for a table cell that no spreadsheet takes for a formula: names come from tenants."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
