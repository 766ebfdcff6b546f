"""The reference page says what the code does: each key of both files with its default, each of the document, each column."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import BaseModel

from sublet.advice.study.assumptions import Costs, Market, TenantPart
from sublet.advice.study.choices import wanted
from sublet.advice.study.question import Files, asked
from sublet.advice.study.report import KIND, SCHEMA
from sublet.advice.study.tables import TABLES
from sublet.cli.study_summary import HEADINGS
from sublet.core.units import HOUR_US, MICRO, SECOND_US
from sublet.sim.policies import POLICIES

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference" / "study.md").read_text()
STUDY = (ROOT / "docs" / "study.md").read_text()


def rows(section: str) -> list[list[str]]:
    """The cells of the tables below a heading."""
    part = REFERENCE.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")]
    assert cells, section
    return cells


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def keys_of(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Keys as people write them, with their defaults."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            found |= keys_of(type(default), f"{prefix}{name}.")
        elif name == "tenants":
            found |= keys_of(TenantPart, "tenants.")
        else:
            found[f"{prefix}{field.alias or name}"] = default
    return found


MONEY = re.compile(r"tariff_kwh|_gpu_h$|price\.default")


def in_unit(key: str, value: Any, unit: str) -> str:
    """A default as the page has it."""
    if MONEY.search(key):
        return f"{value / MICRO:g}"
    if isinstance(value, tuple):
        return ", ".join(f"{one / HOUR_US:g}" for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value / {'s': SECOND_US, 'h': HOUR_US}.get(unit, 1):,g}"
    return value or "none"


@pytest.mark.parametrize(("section", "model"), [("Costs", Costs), ("Market", Market)])
def test_every_key_of_a_file_is_there_with_its_default(section: str, model: type[BaseModel]) -> None:
    known = keys_of(model)
    known.pop("models", None)  # tables of their own, told of in the text
    told = {names(cells[0])[0]: cells for cells in rows(section)}
    assert told.keys() == known.keys()
    for key, value in known.items():
        wanted_text = "4" if key == "tenants.hours" else in_unit(key, value, told[key][2])
        assert told[key][1] == wanted_text, key


def test_the_files_on_the_page_are_files(tmp_path: Path) -> None:
    costs, market = re.findall(r"```toml\n(.*?)```", REFERENCE, re.DOTALL)
    for name, text in (("costs.toml", costs), ("market.toml", market)):
        (tmp_path / name).write_text(text)
        assert tomllib.loads(text)
    question = asked(Files(None, cost=tmp_path / "costs.toml", price=tmp_path / "market.toml"))
    assert question.costs.of("A100").busy_w == 700 and question.costs.of("A100").tariff_micro_kwh == 120_000
    assert question.market.currency == "EUR" and len(question.market.tenants) == 2


def test_every_key_of_the_document_is_there(made: Path) -> None:
    found = json.loads((made / "study.json").read_text())
    told = {name for cells in rows("JSON") for name in names(cells[0])}
    figures = found["policies"][0]["figures"]
    assert told == found.keys() | figures.keys()
    assert f"`kind` is `{KIND}`, `schema` is {SCHEMA}" in REFERENCE
    words = set(names(re.sub(r"```.*?```", "", REFERENCE, flags=re.DOTALL)))
    for part in (found["trace"], figures["delays"], figures["windows"][0], found["assumptions"][0], found["defects"]):
        missing = part.keys() - words - {"begins", "opens", "ends", "begins_s", "opens_s", "ends_s", "hours"}
        assert not missing


def test_every_column_of_every_table_is_there(made: Path) -> None:
    told = {names(cells[0])[0]: set(names(cells[2])) for cells in rows("Tables")}
    assert told.keys() == TABLES.keys()
    figures = json.loads((made / "study.json").read_text())["policies"][0]["figures"]
    flat = {f"delay_{name}" for name in figures["delays"]} | {f"later_{name}" for name in figures["delays"]}
    flat |= {name for name, value in figures.items() if not isinstance(value, dict | list)} - {"policy"}
    wide = {
        "policies": {"policy"} | flat,
        "pools": {"policy", "pool"} | flat,
        "sensitivity": {"assumption", "value"} | flat,
    }
    for name, columns in told.items():
        found = set(pl.read_parquet(made / "tables" / f"{name}.parquet").columns)
        assert found == wide.get(name, columns), name


def test_the_readme_shows_what_the_command_prints() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = [re.split(r" {2,}", line) for line in readme.splitlines() if line.startswith(("policy  ", "bound  ", "ours  "))]
    assert shown[0] == list(HEADINGS) and {len(row) for row in shown} == {len(HEADINGS)} and len(shown) == 3


def test_every_policy_is_told_of() -> None:
    part = STUDY.split("\n## Policies\n", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == set(wanted().policies) == POLICIES.keys()
