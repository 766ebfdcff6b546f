"""The qualitative matrix: features of four kinds of places, each cell with its source and date."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Cell:
    """What is said, by whom and when; `seen` is what our own data says to it, or nothing."""

    says: str
    source: str
    as_of: str
    seen: str = ""
    seen_source: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One feature."""

    feature: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All of it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@cache
def matrix() -> Matrix:
    """The shipped matrix."""
    values = tomllib.loads((files("sublet.advice.decide") / "data" / "matrix.toml").read_text(encoding="utf-8"))
    sources = {key: (one["title"], one["as_of"]) for key, one in values["sources"].items()}

    def cell(told: dict[str, str]) -> Cell:
        title, as_of = sources[told["from"]]
        seen = sources[told["seen_from"]] if "seen_from" in told else ("", "")
        return Cell(told["says"], title, as_of, told.get("seen", ""), f"{seen[0]}, {seen[1]}" if seen[0] else "")

    rows = tuple(Row(row["feature"], tuple(cell(one) for one in row["cells"])) for row in values["rows"])
    return Matrix(values["title"], tuple(values["columns"]), rows)
