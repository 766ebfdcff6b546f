"""Numbers as people read them in a report: three digits that matter, a unit, and no more."""

from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
_SIZES = ((1e12, " tn"), (1e9, " bn"), (1e6, " M"))
_THIN = "\u202f"
"""A narrow space that does not break: between a number and its unit."""


def share(part: float) -> str:
    """A share of 1 in percent: `64 %`, `3.7 %`, `0.36 %`. What is not nothing never reads as 0, nor what is not all as 100."""
    percent = part * 100
    size = abs(percent)
    if 0 < size < 0.005:
        return f"{'-' if percent < 0 else ''}<{_THIN}0.01{_THIN}%"
    if 99.5 <= size < 100:
        return f"{percent // 0.1 / 10:.1f}{_THIN}%"
    places = 0 if size >= 10 or size == 0 else 1 if size >= 1 else 2
    return f"{percent:.{places}f}{_THIN}%"


def number(value: float) -> str:
    """Three digits that matter: `1.23 M`, `475,000`, `64.1`, `0.957`."""
    size = abs(value)
    for unit, name in _SIZES:
        if size >= unit * 0.9995:
            return f"{_digits(value / unit)}{name.replace(' ', _THIN)}"
    return _digits(value)


def count(value: int) -> str:
    """A whole number with its thousands apart; nothing is rounded."""
    return f"{value:,}"


def counted(value: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 job`, `1,200 jobs`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def gpu_hours(value: float) -> str:
    """GPU-hours."""
    return f"{number(value)} GPU-hours"


def money(amount: float, currency: str) -> str:
    """An amount in whole units of the currency: `$3.4 M`, `-12.50 CHF`."""
    return _priced(number(abs(amount)), amount, currency)


def price(amount: float, currency: str) -> str:
    """A price of one GPU-hour: cents, and what lies below them where a cent is too much."""
    size = abs(amount)
    places = 2 if size >= 0.995 or round(size, 2) == round(size, 6) else 3 if size >= 0.0005 else 6
    return _priced(f"{size:,.{places}f}", amount, currency)


def length(seconds: float) -> str:
    """A length of time, from seconds, in the largest unit that leaves a whole part."""
    if seconds < 120:
        return f"{_short(seconds)}{_THIN}s"
    us = seconds * SECOND_US
    if us < 2 * HOUR_US:
        return f"{_short(us / MINUTE_US)}{_THIN}min"
    if us < 48 * HOUR_US:
        return f"{_short(us / HOUR_US)}{_THIN}h"
    return f"{_short(us / (24 * HOUR_US))}{_THIN}days"


def listed(words: list[str]) -> str:
    """Several things in a sentence: `a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _digits(value: float) -> str:
    """Three digits, without zeros that say nothing."""
    size = abs(value)
    if size >= 1_000:
        step = 10 ** (len(str(int(size))) - 3)
        return f"{round(value / step) * step:,}"
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _short(value: float) -> str:
    """One place after the point, and none where it is 0."""
    return f"{value:,.1f}".removesuffix(".0")


def _priced(digits: str, amount: float, currency: str) -> str:
    sign = _SIGNS.get(currency)
    minus = "-" if amount < 0 and any(digit in "123456789" for digit in digits) else ""
    return f"{minus}{sign}{digits}" if sign else f"{minus}{digits}{_THIN}{currency}"
