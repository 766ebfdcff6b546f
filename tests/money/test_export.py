"""Exports, judged by the programs that read them."""

import csv
import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path

import pytest
from books import HOUR_US, T0, World, busy_day

from sublet.app.export import EXPORTS, export
from sublet.app.export.beancount import account_name
from sublet.app.export.figures import cell, decimal, instant, micros, moment
from sublet.app.export.focus import COLUMNS
from sublet.core.errors import Invalid
from sublet.core.ids import ModelName, TenantId
from sublet.core.ledger import AccountId
from sublet.core.model_request import Counted, ModelRequest, Outcome
from sublet.core.units import DAY_US, MICRO
from sublet.store import purses
from sublet.store.database import Database

ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(database: Database) -> World:
    made = World(database)
    made.open({"acme": None, "beta": None})
    return made


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def micro(amount: str) -> int:
    return int(Decimal(amount) * MICRO)


@pytest.mark.parametrize("tenant", [None, TenantId("acme")])
def test_bean_check_accepts_the_beancount_file(world: World, tmp_path: Path, tenant: TenantId | None) -> None:
    end = busy_day(world)
    file = tmp_path / "books.beancount"
    file.write_text(export(world.db, "beancount", from_us=T0, to_us=end, tenant=tenant))
    done = subprocess.run(
        [Path(sys.executable).with_name("bean-check"), str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    owed = f"balance Assets:Receivable:Acme  {decimal(world.owed('acme'))} USD"
    assert owed in file.read_text()


def test_empty_books_are_a_beancount_file_too(world: World) -> None:
    assert export(world.db, "beancount", from_us=T0, to_us=T0 + HOUR_US).startswith("option")


def test_beancount_names_are_never_shared() -> None:
    names = [
        "assets:receivable:acme",
        "assets:receivable:Acme",
        "assets:receivable:ac_me",
        "assets:receivable:ac-me",
        "assets:receivable:-x",
    ]
    spelled = [account_name(AccountId(name)) for name in names]
    assert spelled[0] == "Assets:Receivable:Acme"
    assert len(set(spelled)) == len(names)


def test_the_table_has_every_transfer(world: World) -> None:
    end = busy_day(world)
    found = rows(export(world.db, "csv", from_us=T0, to_us=end))
    assert [row["id"] for row in found] == list(world.transfer_ids())
    posted = sum(micro(row["amount"]) for row in found if row["kind"] == "post")
    assert posted == world.account("income:leases:h100").credits_micro
    assert all(
        "acme" in row["debit"] + row["credit"]
        for row in rows(export(world.db, "csv", from_us=T0, to_us=end, tenant=TenantId("acme")))
    )


def test_focus_rows_cost_what_the_ledger_says(world: World) -> None:
    end = busy_day(world)
    found = rows(export(world.db, "focus", from_us=T0, to_us=end))
    for tenant in ("acme", "beta"):
        mine = [row for row in found if row["BillingAccountId"] == tenant]
        assert sum(micro(row["BilledCost"]) for row in mine) == world.owed(tenant)
    usage = [row for row in found if row["ChargeCategory"] == "Usage"]
    assert {row["PricingCategory"] for row in usage} == {"Dynamic"}
    assert all(micro(row["BilledCost"]) < 0 for row in found if row["ChargeCategory"] == "Credit")
    assert {row["x_Purpose"] for row in found} == {"usage", "refund", "credit", "correction"}
    assert {row["ResourceName"] for row in found if row["ResourceId"] == "l1"} == {"'=train <b>llama</b>, 70B"}
    seconds = sum(Decimal(row["ConsumedQuantity"]) for row in usage if row["ResourceId"] == "l3")
    assert seconds == 2 * 200 * 60


def asked_models(world: World) -> int:
    """A tenant's requests to two models on two days, one of which was broken; returns what they cost."""
    names = (("llama", "", "done"), ("llama", "", "done"), ("llama", "batch-1", "done"), ("qwen", "", "broken"))
    with world.db.write() as tx:
        purse = purses.open_one(tx, id="purse-1", tenant=TenantId("acme"), gateway="g", now_us=T0)
        purses.fill(tx, purse.id, need_micro=10_000, want_micro=10_000, now_us=T0)
        for nth, (model, batch, outcome) in enumerate(names):
            cost = 0 if outcome == "broken" else 701 + nth
            made = ModelRequest(
                f"r{nth}", TenantId("acme"), "k", "chat", ModelName(model), "flex", T0, 1, 0, 100, 40, 30 + nth, cost,
                Outcome(outcome), Counted.SERVER, "x", 0, purse.id, batch=batch,
            )  # fmt: skip
            assert purses.charge(tx, [made], now_us=T0 + nth % 2 * DAY_US) == []
        purses.close(tx, purse.id, now_us=T0 + DAY_US)
    return 701 + 702 + 703


def test_tokens_are_focus_rows_too(world: World) -> None:
    end = busy_day(world)
    leases_owed = world.owed("acme")
    cost = asked_models(world)
    found = rows(export(world.db, "focus", from_us=T0, to_us=end + 2 * DAY_US))
    mine = [row for row in found if row["BillingAccountId"] == "acme"]
    assert sum(micro(row["BilledCost"]) for row in mine) == world.owed("acme") == leases_owed + cost
    told = {(row["SkuId"], row["ChargePeriodStart"]): row for row in mine if row["ConsumedUnit"] == "Tokens"}
    first, second = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    assert set(told) == {("llama/flex", first), ("llama/flex", second), ("llama/flex/batch", first)}
    one = told["llama/flex", first]
    assert (one["ConsumedQuantity"], one["PricingUnit"], one["ResourceType"]) == ("130", "1000000 Tokens", "Model")
    assert (one["x_InputTokens"], one["x_CachedTokens"], one["x_OutputTokens"], one["x_Requests"]) == ("100", "40", "30", "1")
    for row in told.values():
        product = Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"])
        assert round(product, 6) == Decimal(row["ListCost"]) == Decimal(row["BilledCost"])


def test_an_unknown_format_names_the_known_ones(world: World) -> None:
    with pytest.raises(Invalid, match="no export format") as caught:
        export(world.db, "pdf", from_us=T0, to_us=T0 + 1)
    assert caught.value.hint is not None
    assert all(name in caught.value.hint for name in EXPORTS)


def test_figures_are_exact() -> None:
    assert decimal(1_234_567) == "1.234567"
    assert decimal(-1) == "-0.000001"
    assert decimal(-1, places=4) == "0.0000"
    assert decimal(1, per=3, places=2) == "0.33"
    assert instant(T0) == "2026-01-01T00:00:00Z"
    assert instant(T0 + 15_625) == "2026-01-01T00:00:00.015625Z"
    assert micros(moment(T0 + 15_625)) == T0 + 15_625
    assert [cell(text) for text in ("=1+1", "plain", "", "@x")] == ["'=1+1", "plain", "", "'@x"]


@pytest.fixture(scope="session")
def focus_validator() -> Path:
    """The validator in its own environment, made on first use."""
    made = subprocess.run([ROOT / "scripts" / "focus-venv"], capture_output=True, text=True, timeout=600, check=False)
    if made.returncode != 0:
        pytest.skip(f"focus-validator cannot be installed here: {made.stderr.strip().splitlines()[-1]}")
    return ROOT / ".venv-focus" / "bin" / "focus-validator"


def as_the_validator_spells_it(text: str) -> str:
    """The same rows under two names that the validator's 1.0 rules have and the 1.0 specification has not.

    It wants `ResourceID` for ResourceId, and asks for a SkuPriceId by `ChargeType`, the former name of ChargeCategory.
    """
    found = rows(text)
    out = io.StringIO()
    writer = csv.DictWriter(out, [*COLUMNS, "ResourceID", "ChargeType"])
    writer.writeheader()
    writer.writerows(row | {"ResourceID": row["ResourceId"], "ChargeType": row["ChargeCategory"]} for row in found)
    return out.getvalue()


def verdicts(validator: Path, text: str, folder: Path) -> dict[str, bool]:
    """Each check of FOCUS 1.0 and whether the file passed it."""
    file, report = folder / "focus.csv", folder / "report.xml"
    file.write_text(text)
    (site,) = (validator.parents[1] / "lib").glob("python*/site-packages")  # it looks for its currency list from here
    command = [str(validator), "--data-file", str(file), "--validate-version", "1.0"]
    command += ["--output-type", "unittest", "--output-destination", str(report)]
    subprocess.run(command, cwd=site, env={**os.environ, "PYTHONWARNINGS": "ignore"}, timeout=300, check=True)
    return {case.get("name", ""): len(case) == 0 for case in ET.parse(report).getroot().iter("testcase")}


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("focus")
def test_the_focus_validator_accepts_the_file(world: World, tmp_path: Path, focus_validator: Path) -> None:
    end = busy_day(world) + 2 * DAY_US
    asked_models(world)
    text = as_the_validator_spells_it(export(world.db, "focus", from_us=T0, to_us=end))
    found = verdicts(focus_validator, text, tmp_path)
    assert len(found) > 100
    assert [name for name, passed in found.items() if not passed] == []
    spoilt = verdicts(focus_validator, text.replace("Usage-Based", "sometimes"), tmp_path)
    assert [name.split(" ")[0] for name, passed in spoilt.items() if not passed] == ["ChargeFrequency_Enum"]
