"""How people write the numbers of a scenario, and the mistakes of unit that they make: each refusal says what to write."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from sublet.app.quantities import money_micro
from sublet.core.units import MICRO

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
MONEY_MAX = 10**12
"""Whole units of the currency in one field: a trillion."""


def within(low: float, high: float, otherwise: str) -> AfterValidator:
    """A number between two others; `otherwise` says the unit and the usual slip."""

    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"{value:,.10g} is out of range, {low:g} to {high:,.10g}: {otherwise}")
        return value

    return AfterValidator(check)


def money(at_most: float = MONEY_MAX, otherwise: str = "") -> tuple[Any, ...]:
    """An amount in whole units of the currency, as a number or as text, and the micro-units behind it."""

    def read(value: Any) -> int:
        micro = money_micro(value, at_most=MONEY_MAX * MICRO)
        if micro > at_most * MICRO:
            raise ValueError(f"{value!r} is out of range, 0 to {at_most:,.10g}: {otherwise}")
        return micro

    number = {"type": "number", "minimum": 0, "maximum": at_most}
    text = {"type": "string", "pattern": r"^\$?\d+(\.\d{1,6})?$"}
    return BeforeValidator(read), WithJsonSchema({"anyOf": [number, text], "description": "whole units of the currency"})


def _signed(value: Any) -> int:
    """Money that may be owed."""
    if isinstance(value, str) and value.strip().startswith("-"):
        return -money_micro(value.strip()[1:], at_most=MONEY_MAX * MICRO)
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return -money_micro(-value, at_most=MONEY_MAX * MICRO)
    return money_micro(value, at_most=MONEY_MAX * MICRO)


def _month(value: Any) -> str:
    """`2026-07`."""
    if not isinstance(value, str) or not _MONTH.fullmatch(value):
        raise ValueError(f'{value!r} is no month: write "2026-07"')
    return value


def month_number(text: str) -> int:
    """Months since the year 0 of a month as people write it."""
    year, month = text.split("-")
    return int(year) * 12 + int(month) - 1


def month_name(number: int) -> str:
    """The other way round."""
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def said(unit: str, text: str, **more: Any) -> Any:
    """A field with its unit and what it is; the reference and the report's assumptions are made from them."""
    return Field(description=text, json_schema_extra={"unit": unit}, **more)


def bounded(low: float, high: float, otherwise: str) -> tuple[Callable[..., Any] | Any, ...]:
    """`within` with its bounds in the API's description."""
    return within(low, high, otherwise), WithJsonSchema({"type": "number", "minimum": low, "maximum": high})


_MONEY, _MONEY_SCHEMA = money()
Money = Annotated[int, _MONEY, _MONEY_SCHEMA]
SignedMoney = Annotated[
    int,
    BeforeValidator(_signed),
    WithJsonSchema({"type": "number", "minimum": -MONEY_MAX, "maximum": MONEY_MAX, "description": "may be a loss"}),
]
Month = Annotated[
    str, BeforeValidator(_month), WithJsonSchema({"type": "string", "pattern": r"^(19|20)\d{2}-(0[1-9]|1[0-2])$"})
]
_SHARE, _SHARE_SCHEMA = bounded(0, 1, "a share of 1, so write 0.188 for 18.8 %")
Share = Annotated[float, _SHARE, _SHARE_SCHEMA]
_WATTS, _WATTS_SCHEMA = bounded(10, 20_000, "watts of one GPU with its share of the node, so write 1275 for 1.275 kW")
Watts = Annotated[float, _WATTS, _WATTS_SCHEMA]
_PUE, _PUE_SCHEMA = bounded(1, 3, "a ratio, so write 1.08")
Pue = Annotated[float, _PUE, _PUE_SCHEMA]
_YEARS, _YEARS_SCHEMA = bounded(0.5, 25, "years, so write 5.5 for 66 months")
Years = Annotated[float, _YEARS, _YEARS_SCHEMA]
_SPREAD, _SPREAD_SCHEMA = bounded(0, 3, "a standard deviation of the logarithm, so write 0.3 for about 30 %")
Spread = Annotated[float, _SPREAD, _SPREAD_SCHEMA]
_FACTOR, _FACTOR_SCHEMA = bounded(0.01, 20, "a factor, so write 0.8 for 20 % less")
Factor = Annotated[float, _FACTOR, _FACTOR_SCHEMA]
_TARIFF, _TARIFF_SCHEMA = money(2, "money for a kWh, so write 0.08 for 8 cents or for 80 a MWh")
Tariff = Annotated[int, _TARIFF, _TARIFF_SCHEMA]
_PRICE, _PRICE_SCHEMA = money(1_000, "money for one GPU for one hour, not for a node or a month")
HourPrice = Annotated[int, _PRICE, _PRICE_SCHEMA]
_GPU, _GPU_SCHEMA = money(1_000_000, "money for one GPU with its share of the node, not for all of them")
GpuPrice = Annotated[int, _GPU, _GPU_SCHEMA]
