"""Recorded prices as monthly changes: a table of dated prices, the rows that count, one median a month.

Only changes are used, so a table need not be in the scenario's currency; but whoever takes one in another should know that it
is, and says so in `price.history.currency`.
"""

import io
import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl

from sublet.advice.finance import shipped
from sublet.advice.finance.scenario_file import HistoryPart
from sublet.app.complaints import meant
from sublet.core.errors import Invalid

MONTHS_MIN = 7
"""Fewer months of prices are no history."""
_IN_NAME = re.compile(r"^(usd|eur|gbp|chf|jpy|cny|sek|nok|dkk|pln|inr|krw|aud|cad)_", re.IGNORECASE)


def changes_of(told: HistoryPart, currency: str, beside: Path | None) -> list[float]:
    """Logarithms of the monthly changes in a table."""
    assert told.table is not None
    frame = _frame(told.table, beside)
    for column in (told.date, told.price, *([told.gpus] if told.gpus else []), *told.where):
        if column not in frame.columns:
            hint = meant(column, frame.columns) or "see price.history in docs/reference/finance.md"
            raise Invalid(f"{told.table} has no column {column!r}", field="price.history", hint=hint)
    _same_currency(told, frame, currency)
    rows = frame.filter(*(pl.col(column).cast(pl.String) == value for column, value in told.where.items()))
    if rows.is_empty():
        said = ", ".join(f"{column} = {value!r}" for column, value in told.where.items())
        raise Invalid(f"no row of {told.table} has {said}", field="price.history.where", hint=_values(told, frame))
    try:
        each = pl.col(told.price).cast(pl.Float64) / (pl.col(told.gpus).cast(pl.Float64) if told.gpus else 1.0)
        dated = rows.select(month=pl.col(told.date).cast(pl.String).str.slice(0, 7), price=each).drop_nulls()
    except pl.exceptions.PolarsError as error:
        hint = f"columns {told.price!r} and {told.gpus or 'gpus'!r} must hold numbers"
        raise Invalid(f"{told.table} has prices that are no numbers", field="price.history.price", hint=hint) from error
    wrong = dated.filter(~pl.col("month").str.contains(r"^\d{4}-\d{2}$"))
    if len(wrong):
        said = f"{told.table} has {wrong['month'][0]!r} where a date should be"
        raise Invalid(said, field="price.history.date", hint="dates are written 2026-07-31")
    if len(dated) and not dated["price"].min() > 0:  # type: ignore[operator]
        raise Invalid(f"{told.table} has prices of 0 or below", field="price.history.price", hint="leave such rows out")
    monthly = dated.group_by("month").agg(pl.col("price").median()).sort("month")
    return _filled(monthly["month"].to_list(), monthly["price"].to_list(), told.table)


def changes_of_prices(prices: Sequence[float]) -> list[float]:
    """The same of prices that are one a month already."""
    if len(prices) < MONTHS_MIN:
        hint = f"give {MONTHS_MIN} months or more, or leave the history away"
        raise Invalid(f"{len(prices)} months are no history of prices", field="price.history", hint=hint)
    return [math.log(after / before) for before, after in pairwise(prices)]


def _filled(months: Sequence[str], prices: Sequence[float], table: str) -> list[float]:
    """Changes from month to month; where nobody noted a price, the last one stood."""
    if len(months) < MONTHS_MIN:
        hint = f"{MONTHS_MIN} months or more are needed: choose other rows with `where`, or leave the history away"
        raise Invalid(f"{table} has prices of {len(months)} months", field="price.history", hint=hint)
    numbers = [int(month[:4]) * 12 + int(month[5:]) for month in months]
    known = dict(zip(numbers, prices, strict=True))
    every, last = [], prices[0]
    for number in range(numbers[0], numbers[-1] + 1):
        last = known.get(number, last)
        every.append(last)
    return changes_of_prices(every)


def _frame(name: str, beside: Path | None) -> pl.DataFrame:
    path = Path(name) if beside is None else beside / name
    try:
        content = path.read_bytes()
    except OSError as error:
        shipped_one = shipped.table(name)
        if shipped_one is None:
            hint = "give a path from the scenario's folder"
            said = f"{path} cannot be read: {error.strerror}"
            raise Invalid(said, field="price.history.table", hint=hint) from error
        content = shipped_one
    try:
        if content[:4] == b"PAR1":
            return pl.read_parquet(io.BytesIO(content))
        return pl.read_csv(io.BytesIO(content), infer_schema_length=10_000, comment_prefix="#")
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        hint = "give a CSV file with a line of headings, or a Parquet file"
        raise Invalid(f"{path} is no table", field="price.history.table", hint=hint) from error


def _same_currency(told: HistoryPart, frame: pl.DataFrame, currency: str) -> None:
    """Raise where the table's prices are in another currency than the scenario and nobody said so."""
    named = _IN_NAME.match(told.price)
    if named:
        theirs = {named[1].upper()}
    elif "currency" in frame.columns:
        theirs = {str(one).upper() for one in frame["currency"].unique().to_list()}
    else:
        theirs = {told.currency} if told.currency else {currency}
    if theirs not in ({currency}, {told.currency}):
        said = f"{told.table} is in {', '.join(sorted(map(str, theirs)))}, and the scenario in {currency}"
        only = next(iter(theirs))
        hint = f'only its changes are used: if those will do, say so with price.history.currency = "{only}"'
        raise Invalid(said, field="price.history.table", hint=hint)


def _values(told: HistoryPart, frame: pl.DataFrame) -> str:
    """What there is to choose from."""
    column = next(iter(told.where))
    found = [str(one) for one in frame[column].unique().sort().to_list()[:12]]
    return f"{column} has: {', '.join(found)}"
