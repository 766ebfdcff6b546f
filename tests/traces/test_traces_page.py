"""The page of traces says what the code does: formats, columns, notes, units, and the mappings it shows."""

import re
from pathlib import Path

import pytest

from sublet.traces import DEMAND, FORMATS, JOBS, NOTES, mapping, written_nodes
from sublet.traces.formats import table
from sublet.traces.instants import TIME_UNITS
from sublet.traces.statuses import STATUSES
from sublet.traces.usage_shapes import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "traces.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """The rows of the tables under a heading: each name in the first cell, and the rest of the row."""
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|", 1) for line in part.splitlines() if line.startswith("| `")]
    return {name: rest for first, rest in cells for name in re.findall(r"`([^`]+)`", first)}


def test_every_format_is_there_with_what_it_gives() -> None:
    told = rows("Formats")
    assert list(told) == list(FORMATS)
    assert all(f"| {one.kind} |" in told[name] for name, one in FORMATS.items())


def test_every_column_note_and_unit_is_there() -> None:
    assert list(rows("Jobs")) == list(JOBS) and list(rows("Demand")) == list(DEMAND)
    assert sorted(rows("What is reported")) == sorted(NOTES)
    assert rows("Columns of your own").keys() == TIME_UNITS.keys()
    assert all(f"`{status}`" in rows("Jobs")["status"] for status in STATUSES)


def test_every_column_that_can_be_mapped_is_there_with_its_usual_name() -> None:
    part = PAGE.split("## Columns of your own")[1]
    for ours, usual in {**table.COLUMNS, **COLUMNS}.items():
        assert f"`{ours}`" in part and f"`{usual}`" in PAGE


def examples(mark: str) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [line.partition("#")[0].strip() for line in lines if mark in line and not line.startswith(("sacct", "sinfo", " "))]


@pytest.mark.parametrize("example", examples("gpus="))
def test_the_mappings_of_the_page_are_mappings(example: str) -> None:
    columns, _ = mapping(example.split())
    assert set(columns) <= set(table.COLUMNS) or set(columns) <= set(COLUMNS)


@pytest.mark.parametrize("example", examples("A100="))
def test_the_inventories_of_the_page_are_inventories(example: str) -> None:
    assert written_nodes([example]).capacity(written_nodes([example]).pools[0]) == 3_456


def test_there_are_examples() -> None:
    assert len(examples("gpus=")) == len(examples("A100=")) == 3
