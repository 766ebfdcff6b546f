"""`sublet finance` end to end: the report, its files, its arithmetic, the claims, the books beside a scenario."""

import csv
import io
import json
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from command_line import Sublet
from doors import TASK, Doors, good
from sublet.advice.finance import shipped
from sublet.advice.finance.read import STUDY, read
from sublet.advice.study.report import KIND

openpyxl = pytest.importorskip("openpyxl")

SMALL = """
title = "Small"
starts = "2026-01"
months = 12
paths = 500

[[fleet]]
name = "GPU"
gpus = 100
capex_gpu = 36_500
in_service = "2026-01"
life_years = 5
idle_w = 200
busy_w = 1_200
pue = 1
tariff_kwh = 0.1
wear_gpu_h = 0.01
operations_gpu_h = 0.04
upkeep_year = 0

[owner]
busy = 0.8

[leasable]
hours = { 1 = 0.2 }

[leasing]
selling = 0
payment_months = 0

[price]
start = 2

[[classes]]
class = "spot"
captured = 0.5
"""


@pytest.fixture
def small(sublet: Sublet) -> Path:
    path = Path("small.toml")
    path.write_text(SMALL)
    return path


def test_the_accounts_are_those_that_a_hand_comes_to(sublet: Sublet, small: Path) -> None:
    found = sublet("finance", str(small), "--json").json
    total = found["total"]
    hours = 100 * 730 * 12 // 10
    assert (found["kind"], found["schema"], total["leased_gpu_h"]) == ("sublet.finance", 1, hours)
    assert total["revenue_micro"] == hours * 2_000_000
    assert total["cost_micro"] == hours * (100_000 + 10_000 + 40_000)
    assert total["contribution_micro"] == hours * 1_850_000
    assert total["fleet_depreciation_micro"] == 100 * 36_500 * 10**6 // 5
    assert abs(total["depreciation_micro"] - total["fleet_depreciation_micro"] // 10) <= 12, "each month is rounded"
    assert total["full_margin_micro"] == total["contribution_micro"] - total["depreciation_micro"] - hours * 20_000
    assert found["break_even"]["price_incremental_micro"] == 150_000
    assert found["sums"]["contribution_bps"] == 9_250
    assert (
        found["months"][-1]["cash_micro"] == total["contribution_micro"] - total["fleet_standing_micro"] - 100 * 36_500 * 10**6
    )
    assert found["chance"]["contribution_micro"] == [total["contribution_micro"]] * 5, "nothing is left to chance"
    assert found["chance"]["tie_out"] is True


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(sublet: Sublet) -> None:
    asked = ("finance", "company-2000", "--paths", "5000", "--json")
    first, again, other = sublet(*asked), sublet(*asked), sublet(*asked, "--seed", "1")
    assert first.out == again.out
    assert first.json["chance"]["contribution_micro"] != other.json["chance"]["contribution_micro"]
    assert first.json["total"] == other.json["total"], "chance does not move the base case"


@pytest.mark.parametrize("name", list(shipped.NAMES))
def test_shipped_scenarios_answer_and_can_be_copied(sublet: Sublet, name: str) -> None:
    assert name in sublet("finance", "--list").out
    text = sublet("finance", "show", name).out
    assert tomllib.loads(text)["title"]
    Path("mine.toml").write_text(text)
    mine, theirs = (sublet("finance", one, "--paths", "1000", "--json").json for one in ("mine.toml", name))
    assert mine["total"] == theirs["total"] and mine["chance"] == theirs["chance"]
    assert mine["chance"]["tie_out"] and mine["headline"]["case"] in {"pays", "pays_incremental"}
    assert sublet("finance", name, "--paths", "200").code == 0


def test_every_claim_is_recomputed(made: Path) -> None:
    found = {one["id"]: one for one in json.loads((made / "finance.json").read_text())["claims"]}
    assert list(found) == [f"C{number}" for number in range(1, 10)]
    for one in found.values():
        assert one["verdict"] in {"holds", "fails", "holds_if"} and one["ours"] and one["assumption"] and one["source"]
        assert one["verdict"] != "holds_if" or one["condition"]

    def figure(claim: str, name: str) -> float:
        (value,) = [part["value"] for part in found[claim]["figures"] if part["name"] == name]
        return float(value)

    assert (figure("C1", "capex, low"), figure("C1", "capex, high")) == (224.48e9, 254.48e9)
    assert figure("C2", "GPU-hours a year") == 525_600_000
    assert round(figure("C2", "price needed"), 2) == 19.03
    assert round(figure("C2", "share needed"), 2) == 0.81
    assert figure("C2", "revenue at 2.5 (round number)") == 1.314e9
    assert round(figure("C3", "lift of the claimed revenue at 85%")) == 206
    assert round(figure("C3", "lift of the claimed revenue at 100%")) == 278
    assert round(figure("C3", "revenue needed for 300 bps") / 1e9, 1) == 14.9
    assert round(figure("C3", "revenue needed for 500 bps") / 1e9, 1) == 26.1
    assert 10 < figure("C3", "lift in this scenario") < 20
    assert (round(figure("C4", "power, low"), 2), round(figure("C4", "power, high"), 2)) == (0.83, 0.91)
    assert figure("C5", "leasable for 24 h") == 0.098
    assert figure("C7", "first year") == pytest.approx(100_000 / 5.5)
    widths = {
        name: figure("C8", f"{name} alone, 95 %") - figure("C8", f"{name} alone, 5 %")
        for name in ("price", "contention (spikes)")
    }
    assert widths["price"] > 3 * widths["contention (spikes)"] > 0
    assert figure("C9", "of a GPU's fabric") == 0.2
    verdicts = {name: one["verdict"] for name, one in found.items()}
    assert verdicts == {
        "C1": "fails", "C2": "holds_if", "C3": "fails", "C4": "holds", "C5": "fails", "C6": "holds_if", "C7": "holds_if",
        "C8": "fails", "C9": "holds_if",
    }  # fmt: skip


def test_the_workbook_and_the_tables_are_the_document(made: Path) -> None:
    document = json.loads((made / "finance.json").read_text())
    values = openpyxl.load_workbook(made / "finance.xlsx", data_only=True)
    formulas = openpyxl.load_workbook(made / "finance.xlsx")
    assert values.sheetnames == ["answer", "months", "bands", "tornado", "alone", "units", "claims", "assumptions"]
    rows = [[cell.value for cell in row] for row in values["months"].iter_rows()]
    heads, months, last = rows[0], rows[1:-1], rows[-1]
    for row, month in zip(months, document["months"], strict=True):
        of = dict(zip(heads, row, strict=True))
        assert of["month"] == month["month"] and of["leased_gpu_h"] == month["flows"]["leased_gpu_h"]
        for name in ("revenue", "margin", "contribution", "full_margin", "depreciation"):
            assert of[name] == pytest.approx(month["flows"][f"{name}_micro"] / 1e6, abs=0.005)
        assert of["cash"] == pytest.approx(month["cash_micro"] / 1e6, abs=0.005)
        left = of["margin"] - of["selling"] - of["programme"]
        assert of["contribution"] == pytest.approx(left, abs=0.005), "the formula's value is what it says"
    column = heads.index("contribution")
    assert str(formulas["months"].cell(2, column + 1).value).startswith("=")
    assert last[column] == pytest.approx(document["total"]["contribution_micro"] / 1e6, abs=0.005)
    for name in values.sheetnames[1:]:
        table = list(csv.reader(io.StringIO((made / "tables" / f"{name}.csv").read_text())))
        assert len(table) == values[name].max_row - (name == "months")
    claims = list(csv.DictReader(io.StringIO((made / "tables" / "claims.csv").read_text())))
    assert [one["verdict"] for one in claims] == [one["verdict"] for one in document["claims"]]


def test_a_report_is_not_written_over_unless_forced(sublet: Sublet, small: Path) -> None:
    asked = ("finance", str(small), "--paths", "0", "--out", "report", "--json")
    assert sublet(*asked).code == 0
    before = Path("report/index.html").read_bytes()
    refused = sublet(*asked)
    assert refused.code == 2 and "--force" in refused.error["hint"]
    assert sublet(*asked, "--force").code == 0
    assert Path("report/index.html").read_bytes() == before, "the same scenario gives the same bytes"
    assert Path("report/finance.xlsx").stat().st_size > 5_000


def test_leasable_shares_come_from_a_study(sublet: Sublet, small: Path) -> None:
    figures = {"leased_gpu_h": 60.0, "fleet_gpu_h": 1_000.0}
    bounds = [{"hours": hours, "share": share} for hours, share in ((0, 0.12), (1, 0.11), (24, 0.05))]
    study = {"kind": KIND, "fleet": {"bounds": bounds}, "policies": [{"name": "ours", "figures": figures}]}
    Path("study.json").write_text(json.dumps(study))
    head, rest = SMALL.split("[leasable]\nhours = { 1 = 0.2 }\n")
    small.write_text('leasable_from = "study.json"\n' + head + rest.replace("captured = 0.5", "hours = 24"))
    part = sublet("finance", str(small), "--paths", "0", "--json").json["scenario"]
    assert (part["idle_share"], part["captured"], part["shares_from"]) == (0.12, 0.5, "study.json")
    assert part["leased_share"] == pytest.approx(0.025)
    assert STUDY == KIND


def statement(**more: int) -> dict[str, Any]:
    """What the API says of a pool."""
    total = {
        "pool": "all", "billed_gpu_us": 3_600_000_000 * 5_000, "free_gpu_us": 0, "revenue_micro": 9_000 * 10**6,
        "refund_micro": 90 * 10**6, "credit_micro": 180 * 10**6, "cost_micro": 700 * 10**6, "margin_micro": 8_030 * 10**6,
        "depreciation_micro": 4_000 * 10**6,
    } | more  # fmt: skip
    return {"items": [{"currency": "USD", "from_us": 0, "to_us": 1, "total": total, "pools": [total | {"pool": "a100"}]}]}


class Books:
    """A control plane's answers."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found, self.asked = found, dict[str, Any]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, path: str, **params: Any) -> Any:
        self.asked = {"path": path, **params}
        return self.found


def test_the_books_stand_beside_the_scenario_and_in_its_place(
    sublet: Sublet, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(statement())
    monkeypatch.setattr("sublet.cli.finance_run.connect", lambda: books)
    asked = ("finance", str(small), "--from-ledger", "--from", "2026-01-01", "--to", "2026-02-01", "--paths", "300", "--json")
    found = sublet(*asked).json
    lines = {one["name"]: (one["assumed"], one["actual"]) for one in found["actual"]["lines"]}
    assert books.asked["path"] == "/v1/statement"
    assert lines["leased_gpu_h"] == (pytest.approx(100 * 31 * 24 * 0.1), 5_000)
    assert lines["revenue_micro"] == (pytest.approx(100 * 31 * 24 * 0.1 * 2e6), 9_000e6)
    assert found["scenario"]["price_micro"] == 1_800_000, "what a leased GPU-hour brought"
    assert found["scenario"]["leased_share"] == pytest.approx(5_000 / (100 * 31 * 24), abs=1e-6)
    year = found["year"]
    assert year["refund_micro"] / year["revenue_micro"] == pytest.approx(0.01)
    assert year["credit_micro"] / year["revenue_micro"] == pytest.approx(0.02)
    assert any("those of the books" in warning for warning in found["headline"]["warnings"])
    shown = sublet(*asked[:-1])
    assert shown.code == 0 and "books" in shown.out


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (statement(billed_gpu_us=0), ("from-ledger", "nothing was leased")),
        ({"items": []}, ("currency", "nothing in USD")),
    ],
)
def test_books_that_do_not_fit_are_refused(
    sublet: Sublet, small: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], complaint: tuple[str, str]
) -> None:
    field, said = complaint
    monkeypatch.setattr("sublet.cli.finance_run.connect", lambda: Books(found))
    ran = sublet("finance", str(small), "--from-ledger", "--from", "2026-01-01", "--to", "2026-02-01", "--json")
    assert ran.code == 2 and ran.error["field"] == field and said in ran.error["detail"] and ran.error["hint"]


def test_shares_of_classes_and_of_lengths_are_those_of_the_file() -> None:
    asked = read("company-2000")
    leased = {one.name: one.leased_ppm for one in asked.scenario.classes}
    assert leased == {"spot": 67_200, "guarded 4 h": 33_750, "block of two weeks": 10_000}
    (spot, guarded, block) = asked.scenario.classes
    assert (spot.refund_ppm, spot.credit_ppm) == (0, 0)
    assert guarded.price_ppm == round(700_000 / 0.9), "0.7 and the risk price p K / (1 - p)"
    assert block.credit_ppm == 20_000


def test_a_running_control_plane_tells_what_was_leased(sublet: Sublet, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBLET_URL", doors.url)
    monkeypatch.setenv("SUBLET_API_KEY", doors.owner_key)
    good(doors.tenant("acme").post("/v1/leases", json=TASK))
    doors.tick(4)
    begun = time.monotonic()
    while time.monotonic() - begun < 30:
        doors.tick()
        (books,) = sublet("ledger", "statement", "--json").json
        if books["total"]["billed_gpu_us"]:
            break
    this_month = datetime.now(UTC).strftime("%Y-%m")
    Path("now.toml").write_text(SMALL.replace("2026-01", this_month))
    found = sublet("finance", "now.toml", "--from-ledger", "--paths", "200", "--json").json
    assert found["actual"]["pools"] == [books["pools"][0]["pool"]]
    hours = next(one["actual"] for one in found["actual"]["lines"] if one["name"] == "leased_gpu_h")
    assert hours >= books["total"]["billed_gpu_us"] / 3.6e9 > 0
    assert found["scenario"]["leased_share"] < 0.1 and found["chance"]["tie_out"]
