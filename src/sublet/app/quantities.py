"""How people write durations, prices and amounts, and the exact integers behind them.

`4h`, `90m`, `1h30m`, `120s`, a bare number in the field's own unit; `$1.50`, `1.50`, `1.5`; `32`, `32GB`, `32+`.
Each type is a validator with its JSON schema, used by task files and the API alike.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from sublet.core.units import HOUR_US, MICRO, MINUTE_US, SECOND_US, TICK_US

_UNITS_US = {"d": 24 * HOUR_US, "h": HOUR_US, "m": MINUTE_US, "min": MINUTE_US, "s": SECOND_US, "ms": 1_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|d|h|m|s)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|min|d|h|m|s)\s*)+")
_PRICE = re.compile(r"\$?\s*(\d+(?:\.\d+)?)\s*(?:/\s*(?:gpu-?)?h(?:our|r)?)?", re.IGNORECASE)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(GiB|GB|G)?(\+?)", re.IGNORECASE)
YEAR_US = 366 * 24 * HOUR_US
INSTANT_US_MAX = 2**53
PRICE_MICRO_MAX = 10_000 * MICRO
MONEY_MICRO_MAX = 10**12 * MICRO // 1_000


@dataclass(frozen=True, slots=True)
class Amount:
    """So many of something; `at_least` for a trailing `+`."""

    number: float
    at_least: bool = False


def duration_us(value: Any, *, unit_us: int = SECOND_US) -> int:
    """A duration in µs, rounded up to the grid; a bare number counts `unit_us`."""
    number = _number(value)
    if number is not None:
        total = number * unit_us
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip().lower()):
        parts = _PART.findall(value.strip().lower())
        total = sum((Decimal(count) * _UNITS_US[unit] for count, unit in parts), Decimal(0))
    else:
        raise ValueError(f"{value!r} is no duration: write 4h, 90m, 120s or a number")
    if total <= 0:
        raise ValueError(f"{value!r} is no duration: it must be longer than nothing")
    if total > YEAR_US:
        raise ValueError(f"{value!r} is too long: a year at most")
    return -(-int(total.to_integral_value()) // TICK_US) * TICK_US


def instant_us(value: Any) -> int:
    """An instant in µs since the epoch: µs as they are, or a date and time, in UTC unless it says otherwise."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"{value!r} is no date and time: write 2026-11-01T12:00, in UTC") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        value = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INSTANT_US_MAX:
        raise ValueError(f"{value!r} is no date and time: write 2026-11-01T12:00, in UTC")
    return value


def money_micro(value: Any, *, at_most: int = MONEY_MICRO_MAX) -> int:
    """An amount of money in micro-units; more than six decimals are refused, not rounded away."""
    number = _number(value)
    if number is None and isinstance(value, str) and (match := _PRICE.fullmatch(value.strip())):
        number = Decimal(match[1])
    if number is None:
        raise ValueError(f"{value!r} is no price: write $1.50 or 1.5")
    micro = number * MICRO
    if micro < 0 or micro > at_most:
        raise ValueError(f"{value!r} is out of range: between 0 and {at_most // MICRO:,}")
    if micro != micro.to_integral_value():
        raise ValueError(f"{value!r} is too fine: six decimals at most")
    return int(micro)


def amount(value: Any) -> Amount:
    """An amount such as `4`, `4+` or `32GB`."""
    if isinstance(value, Amount):
        return value
    number = _number(value)
    if number is not None and 0 < number <= MICRO:
        return Amount(float(number))
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not 0 < Decimal(match[1]) <= MICRO:
        raise ValueError(f"{value!r} is no amount: write 4, 4+ or 32GB")
    return Amount(float(match[1]), at_least=bool(match[3]))


def plain_text(value: str) -> str:
    """Text that every database and terminal can hold."""
    if "\0" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
        raise ValueError("it must be text without NUL or broken characters")
    return value


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        number = Decimal(str(value))
        return number if number.is_finite() else None
    if isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            return None
        return number if number.is_finite() else None
    return None


def _schema(description: str, example: Any, pattern: str) -> WithJsonSchema:
    number = {"type": "number", "exclusiveMinimum": 0}
    return WithJsonSchema(
        {"description": description, "examples": [example], "anyOf": [number, {"type": "string", "pattern": pattern}]}
    )


_DURATION = r"^\d+(\.\d+)?(d|h|m|min|s|ms)?$"
Hours = Annotated[
    int, BeforeValidator(lambda v: duration_us(v, unit_us=HOUR_US)), _schema("A duration; a number is hours", "4h", _DURATION)
]
Seconds = Annotated[int, BeforeValidator(duration_us), _schema("A duration; a number is seconds", "120s", _DURATION)]
Price = Annotated[
    int,
    BeforeValidator(lambda v: money_micro(v, at_most=PRICE_MICRO_MAX)),
    _schema("A price for one GPU-hour", "$1.50", r"^\$?\d+(\.\d{1,6})?$"),
]
Instant = Annotated[
    int,
    BeforeValidator(instant_us),
    WithJsonSchema(
        {
            "description": "A date and time, in UTC unless it says otherwise, or µs since the epoch",
            "examples": ["2026-11-01T12:00"],
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": INSTANT_US_MAX},
                {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$"},
            ],
        }
    ),
]
Quantity = Annotated[Amount, BeforeValidator(amount), _schema("An amount; + for at least", "32+", r"^\d+(GB)?\+?$")]
Text = Annotated[str, AfterValidator(plain_text)]
