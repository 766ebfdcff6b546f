"""What the pages say is what the code does: tables, settings, fields, commands and metrics, one by one."""

import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, ROOT, Page, page
from pydantic import BaseModel

from sublet.api.errors import STATUS
from sublet.app import task_files
from sublet.app.metrics import Metrics
from sublet.app.settings import Settings
from sublet.app.tasks import Checkpoint, Resources, Task, Terms
from sublet.core.blocks.order import NEXT_ORDER
from sublet.core.forecast import FORECASTS
from sublet.core.ids import PoolId
from sublet.core.lease import NEXT, Cause, LeaseClass, State
from sublet.core.owner import NEXT_JOB
from sublet.core.pricing import PRICING
from sublet.core.pricing.floor import floor
from sublet.core.site import Site
from sublet.core.terms import TERMS, BlockSale, CostSheet, Pool, worst_handback_us
from sublet.core.units import SECOND_US
from sublet.core.victims import VICTIM_ORDERS
from sublet.engines.registry import ENGINES
from sublet.gateway.gauges import Gauges

COMMANDS: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "make-cli-docs"))["commands"]()


@pytest.mark.parametrize(
    ("name", "table"), [("docs/lease.md", NEXT), ("docs/owner-job.md", NEXT_JOB), ("docs/block.md", NEXT_ORDER)]
)
def test_a_state_chart_is_the_table(name: str, table: Any) -> None:
    drawn = page(name).edges
    assert sorted(drawn) == sorted((source, event, target) for (source, event), target in table.items())


def test_the_lease_page_tells_of_every_state_cause_and_class() -> None:
    text = page("docs/lease.md").text
    for word in (*State, *Cause, *LeaseClass):
        assert f"`{word}`" in text, word


def test_every_setting_of_a_pool_is_there_with_its_default() -> None:
    told = page("docs/pool.md").table()
    assert {field.name for field in fields(Pool)} <= told.keys()
    for field in fields(Pool):
        if isinstance(field.default, int | float):
            assert told[field.name] == f"{field.default:,}", field.name
        elif field.default is None:
            assert told[field.name] == "none", field.name
        elif isinstance(field.default, str):
            assert told[field.name] == f"`{field.default}`", field.name
    for cost in fields(CostSheet):
        assert f"{cost.default:,}" in told[f"cost.{cost.name}"], cost.name
    for sale in fields(BlockSale):
        assert ("none" if sale.default is None else f"{sale.default:,}") in told[f"blocks.{sale.name}"], sale.name


def test_every_setting_of_a_site_is_there_with_its_default() -> None:
    told = page("docs/site.md").table()
    assert {field.name for field in fields(Site)} == told.keys() - {"setting"}
    for field in fields(Site):
        if field.name != "id":
            assert told[field.name] == ("none" if field.default is None else str(field.default)), field.name


def test_figures_in_prose_are_those_of_the_defaults() -> None:
    assert floor(CostSheet()).total_micro == 96_000 and "makes 0.096" in page("docs/offer.md").text
    usual = Pool(PoolId("p"), "cpu")
    for lease_class, said in ((LeaseClass.SPOT, 205), (LeaseClass.GUARDED, 385)):
        terms = TERMS[lease_class]
        assert worst_handback_us(usual, terms, terms.grace_us) == said * SECOND_US
        assert f"{said} s for `{lease_class}`" in page("docs/hand-back-promise.md").text


def test_rows_of_our_dicts_have_their_words() -> None:
    for name, words in (
        ("docs/offer.md", PRICING),
        ("docs/forecast.md", FORECASTS),
        ("docs/engine.md", ENGINES),
        ("docs/reclaim.md", VICTIM_ORDERS),
    ):
        for word in words:
            assert word in page(name).text, f"{word} is not in {name}"


def test_every_setting_is_there_with_its_default() -> None:
    told = page("docs/reference/settings.md").table()
    assert told.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, bool):
            assert told[name] == str(field.default).lower(), name
        elif isinstance(field.default, int):
            assert told[name] == f"{field.default:,}" or (name == "port" and told[name] == str(field.default)), name
        elif field.default:
            assert told[name] == f"`{field.default}`", name


def _written(model: type[BaseModel], prefix: str = "") -> dict[str, bool]:
    """Fields as people write them, and whether they have an effect."""
    found = {}
    for name, field in model.model_fields.items():
        found[prefix + (field.alias or name)] = not any("no effect" in str(note) for note in field.metadata)
    return found


def test_every_field_of_a_task_is_there() -> None:
    reference = page("docs/reference/task-file.md")
    known = {
        **_written(Task),
        **_written(Resources, "resources."),
        **_written(Terms, "lease."),
        **_written(Checkpoint, "lease.checkpoint."),
    }
    effective = {name for name, has_effect in known.items() if has_effect}
    assert reference.table().keys() == effective
    ignored = reference.text[reference.text.index("**Ignored") :]
    for name in known.keys() - effective:
        assert f"`{name.removeprefix('resources.')}`" in ignored, name


@pytest.mark.parametrize(
    "name", ["README.md", "docs/reference/task-file.md", "docs/how-to/make-a-training-job-survive-a-reclaim.md"]
)
def test_a_task_on_a_page_is_a_task(name: str) -> None:
    (text,) = page(name).code("yaml")
    task = task_files.read(text, what=name)
    assert task.request().workload.run
    assert task.remarks() == []


def test_the_example_of_the_reference_has_every_block() -> None:
    (text,) = page("docs/reference/task-file.md").code("yaml")
    task = task_files.read(text)
    assert task.lease.model_fields_set == Terms.model_fields.keys() - {"start"}  # only a block has a start


def test_metrics_are_those_that_are_counted() -> None:
    metrics = Metrics()
    counted = {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for registry in (metrics.operations, metrics.money, Gauges().registry)
        for family in registry.collect()
    }
    assert page("docs/reference/metrics.md").table() == counted


def test_the_page_of_commands_is_current(tmp_path: Path) -> None:
    fresh = tmp_path / "cli.md"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "make-cli-docs"), str(fresh)], check=True, timeout=60)
    shown = page("docs/reference/cli.md").text
    assert fresh.read_text() == shown, "commands have changed: run .venv/bin/python scripts/make-cli-docs"


def _commands() -> list[tuple[str, list[str]]]:
    """(page, words) of each `sublet` command that a page shows."""
    found = []
    for one in PAGES:
        for block in one.code("console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = [word for word in shlex.split(line, comments=True) if word != "$" and not re.match("[A-Z_]+=", word)]
                if words[:1] == ["sublet"]:
                    found.append((one.name, words[1:]))
    return found


@pytest.mark.parametrize(("name", "words"), _commands(), ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_a_command_on_a_page_is_a_command(name: str, words: list[str]) -> None:
    assert words and words[0] in COMMANDS, f"{name}: sublet {shlex.join(words)}"
    command, rest = COMMANDS[words[0]], words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    options = {option for param in command.params for option in param.opts}
    for word in rest:
        if re.match(r"--?[a-z]", word):
            assert word in options, f"{name}: sublet {shlex.join(words)} has no {word}"


def test_the_statuses_of_problems_are_all_there() -> None:
    told = page("docs/reference/api.md").text
    for _, status, _ in STATUS:
        assert f"| {status} |" in told, status


def _mentions(one: Page) -> set[str]:
    return set(
        re.findall(
            r"\bsublet ((?:owner|pool|site|tenant|key|ledger|bench|block|market|residency|audit-log) [a-z-]+|[a-z-]+)",
            " ".join(re.findall(r"`[^`]+`", one.prose)),
        )
    )


@pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)
def test_commands_named_in_passing_exist(one: Page) -> None:
    inner = {f"{name} {part}" for name, group in COMMANDS.items() for part in getattr(group, "commands", {})}
    assert _mentions(one) <= COMMANDS.keys() | inner
