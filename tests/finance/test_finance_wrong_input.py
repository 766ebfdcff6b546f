"""Wrong input to `sublet finance`: named, with the way out, exit code 2, no traceback, nothing written."""

from pathlib import Path

import pytest
from test_finance_command import SMALL

from command_line import Sublet

PRICES = "date,usd_gpu_h,model\n" + "".join(f"2025-{month:02d}-03,{2 + month / 10},H100\n" for month in range(1, 13))
HISTORY = '\n[price.history]\ntable = "prices.csv"\ndate = "date"\nprice = "usd_gpu_h"\n'

WRONG = [
    # what is replaced, by what; the field; part of what is said; part of the way out
    ("gpus = 100", "gpuss = 100", "fleet.0.gpuss", "there is no such field", "did you mean 'gpus'"),
    ("busy = 0.8", "busy = 80", "owner.busy", "a share of 1, so write 0.188", ""),
    ("pue = 1\n", "pue = 1080\n", "fleet.0.pue", "a ratio, so write 1.08", ""),
    ("busy_w = 1_200", "busy_w = 1.2", "fleet.0.busy_w", "write 1275 for 1.275 kW", ""),
    ("busy_w = 1_200", "busy_w = 150", "fleet.0", "are the two swapped", ""),
    ("life_years = 5", "life_years = 60", "fleet.0.life_years", "write 5.5 for 66 months", ""),
    ("tariff_kwh = 0.1", "tariff_kwh = 80", "fleet.0.tariff_kwh", "0.08 for 8 cents or for 80 a MWh", ""),
    ("capex_gpu = 36_500", "capex_gpu = 3_650_000", "fleet.0.capex_gpu", "not for all of them", ""),
    ("capex_gpu = 36_500", "capex_gpu = -1", "fleet.0.capex_gpu", "out of range: between 0", ""),
    ("capex_gpu = 36_500\n", "", "fleet.0.capex_gpu", "it is missing", "add it"),
    ("start = 2", "start = -2", "price.start", "out of range: between 0", ""),
    ("start = 2", "start = 16_500", "price.start", "one GPU for one hour", ""),
    ('in_service = "2026-01"', 'in_service = "01/2026"', "fleet.0.in_service", 'write "2026-07"', ""),
    ('in_service = "2026-01"', 'in_service = "2016-01"', "fleet", "no GPU is in service", "in_service and life_years"),
    ("selling = 0\n", "selling = 0\nkeeps_flor = true\n", "leasing.keeps_flor", "no such field", "keeps_floor"),
    ("hours = { 1 = 0.2 }", "hours = { 1 = 0.2, 4 = 0.21 }", "leasable.hours", "only 0.2 for 1 h", "longer pieces"),
    ("hours = { 1 = 0.2 }", "hours = { 1 = 0.3 }", "leasable.hours", "only 0.2 idle", "owner.busy"),
    ("captured = 0.5", "captured = 0.5\nhours = 8", "leasable.hours", "for 8 hours at a time", "add a length of 8"),
    (
        "captured = 0.5",
        'captured = 0.5\n\n[[classes]]\nclass = "guarded"\ncaptured = 0.6',
        "classes",
        "is leasable so long",
        "`captured`",
    ),
    ('class = "spot"', 'class = "spott"', "classes.0.class", "'spot', 'guarded'", ""),
    ("[owner]", "[owner]\nrevenue_year = 5", "owner", "belong together", ""),
    ("start = 2", 'start = 2\n[[price.steps]]\nat = "soon"\nfactor = 1', "price.steps.0.at", "is no month", ""),
    ("months = 12", "months = 6", "months", "greater than or equal to 12", ""),
    ("paths = 500", 'paths = 500\nleasable_from = "nothere.json"', "leasable_from", "cannot be read", "study.json"),
    ("paths = 500", 'paths = 500\nleasable_from = "prices.csv"', "leasable_from", "no report of a study", "sublet study"),
    ("captured = 0.5", 'captured = 0.5\n[[turn]]\nwhat = "prise"\nlow = 1\nhigh = 2', "turn.what", "cannot be turned", "price"),
    ("captured = 0.5", 'captured = 0.5\n[[turn]]\nwhat = "price"\nlow = 3\nhigh = 2', "turn", "not below", "swap"),
    ("captured = 0.5", 'captured = 0.5\n[[turn]]\nwhat = "leased"\nlow = 3\nhigh = 20', "turn", "out of range", "units"),
    ("start = 2", "start = 2" + HISTORY.replace("prices.csv", "nothere.csv"), "price.history.table", "cannot be read", "path"),
    ("start = 2", "start = 2" + HISTORY.replace("usd_gpu_h", "usd_gpu_hour"), "price.history", "no column", "usd_gpu_h"),
    ("start = 2", "start = 2" + HISTORY + 'where = { model = "B200" }\n', "price.history.where", "no row", "H100"),
    ("start = 2", "start = 2" + HISTORY + "monthly = [1, 2]\n", "price.history", "not both", "`table`"),
    ("start = 2", "start = 2\n[price.history]\nmonthly = [1, 2]\n", "price.history", "no history", "7 months"),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case[1].strip().replace("\n", " "))
def test_what_is_wrong_is_named_with_the_way_out(sublet: Sublet, case: tuple[str, ...]) -> None:
    old, new, field, said, hint = case
    assert SMALL.count(old) >= 1
    Path("prices.csv").write_text(PRICES)
    Path("scenario.toml").write_text(SMALL.replace(old, new, 1))
    ran = sublet("finance", "scenario.toml", "--json", "--out", "report")
    assert ran.code == 2 and not ran.out, ran.err
    found = [one for one in [ran.error | {"message": ran.error["detail"]}, *ran.error["errors"]] if one["field"] == field]
    assert found, ran.error
    assert said in found[-1]["message"], found
    assert hint in (found[-1]["hint"] or ""), found
    assert not Path("report").exists()


def test_a_table_of_another_currency_is_named_and_may_be_meant(sublet: Sublet) -> None:
    Path("prices.csv").write_text(PRICES)
    text = SMALL.replace('title = "Small"', 'title = "Small"\ncurrency = "EUR"').replace("start = 2", "start = 2" + HISTORY)
    Path("scenario.toml").write_text(text)
    refused = sublet("finance", "scenario.toml", "--json")
    assert refused.code == 2 and "prices.csv is in USD, and the scenario in EUR" in refused.error["detail"]
    assert 'price.history.currency = "USD"' in refused.error["hint"]
    Path("scenario.toml").write_text(text + "")
    Path("scenario.toml").write_text(text.replace('price = "usd_gpu_h"', 'price = "usd_gpu_h"\ncurrency = "USD"'))
    assert sublet("finance", "scenario.toml", "--json", "--paths", "300").code == 0


@pytest.mark.parametrize(
    ("asked", "field", "said", "hint"),
    [
        ((), "scenario", "no scenario is given", "university-128"),
        (("nothere.toml",), "scenario", "no file and no shipped scenario", "company-2000"),
        (("show",), "name", "no shipped scenario", "university-128"),
        (("show", "company-200"), "name", "no shipped scenario 'company-200'", "company-2000"),
        (("company-2000", "other"), "scenario", "one scenario too many", "give one"),
        (("university-128", "--claims", "--paths", "0"), "claims", "has no [claims]", "hyperscaler-2026"),
        (("company-2000", "--from", "2026-01-01"), "from", "period of the books", "--from-ledger"),
    ],
)
def test_a_command_line_that_cannot_be_meant(sublet: Sublet, asked: tuple[str, ...], field: str, said: str, hint: str) -> None:
    ran = sublet("finance", *asked, "--json")
    assert ran.code == 2 and ran.error["field"] == field and said in ran.error["detail"] and hint in ran.error["hint"]


def test_what_is_no_toml_is_said_so(sublet: Sublet) -> None:
    Path("scenario.toml").write_text("title = \n")
    ran = sublet("finance", "scenario.toml", "--json")
    assert ran.code == 2 and "is no TOML" in ran.error["detail"] and "sublet finance show" in ran.error["hint"]
