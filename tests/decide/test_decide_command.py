"""`sublet decide` and `sublet catalogue` end to end, and what is wrong with their input."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from command_line import Sublet
from sublet.core.decide.rank import CRITERIA


def test_the_example_ranks_its_own_surplus_first_and_leaves_out_what_may_not(sublet: Sublet, decided: Path) -> None:
    found = sublet("decide", "w.yaml", "--json").json
    assert found == json.loads((decided / "decide.json").read_text()), "the same files give the same bytes"
    assert found["lines"][0]["offer"]["provider"] == "own surplus"
    providers = {line["offer"]["provider"] for line in found["lines"]}
    assert {"home", "oslo", "gcp"} <= providers and "aws" not in providers
    closed = {one["provider"]: one["reason"] for one in found["closed"]}
    assert "jurisdiction" in closed["aws"] and "site-facts" in closed["coreweave"]
    assert all(line["verdict"] == "allowed" for line in found["lines"])
    assert {turn["what"] for turn in found["turns"]} >= {"price", "weight"}


def test_a_line_adds_up(sublet: Sublet) -> None:
    for line in sublet("decide", "w.yaml", "--json").json["best"]:
        assert line["cost_micro"] == pytest.approx(line["compute_micro"] + line["egress_micro"] + line["storage_micro"], abs=2)
        assert set(line["parts"]) == set(CRITERIA)


def test_ones_own_table_adds_to_the_shipped_prices_or_replaces_them(sublet: Sublet) -> None:
    both = sublet("decide", "w.yaml", "--prices", "mine.csv", "--json").json
    alone = sublet("decide", "w.yaml", "--prices", "mine.csv", "--providers", "p.toml", "--only-mine", "--json").json
    assert both["offers"] > 2_000 and alone["offers"] == 4 + 3
    acme = next(line for line in alone["lines"] if line["offer"]["provider"] == "acme")
    assert acme["offer"]["mode"] == "spot" and acme["offer"]["gpu_model"] == "H100" and acme["offer"]["region"] == "fra"
    assert not any(line["offer"]["region"] == "nyc" for line in alone["best"]), "New York is not in the EEA"
    assert any(line["offer"]["provider"] == "beta" for line in alone["lines"])


def test_a_provider_that_nobody_describes_counts_as_the_worst_and_is_told_how_to_be_described(sublet: Sublet) -> None:
    public = Path("w.yaml").read_text().replace("sensitivity: internal", "sensitivity: public")
    Path("w.yaml").write_text(public)
    found = sublet("decide", "w.yaml", "--prices", "mine.csv", "--only-mine", "--json").json
    reasons = {one["provider"]: one["reason"] for one in found["closed"]}
    assert "--providers" in reasons["beta"]
    text = Path("w.yaml").read_text().replace("must: [container]", "")
    Path("w.yaml").write_text(text)
    beta = next(
        line
        for line in sublet("decide", "w.yaml", "--prices", "mine.csv", "--only-mine", "--json").json["lines"]
        if line["offer"]["provider"] == "beta"
    )
    assert beta["parts"]["support"] == beta["parts"]["freedom"] == 0


def test_a_table_in_another_currency_needs_a_rate(sublet: Sublet) -> None:
    Path("eur.csv").write_text(Path("mine.csv").read_text().replace("usd_h", "eur_h"))
    refused = sublet("decide", "w.yaml", "--prices", "eur.csv", "--json")
    assert refused.code == 2 and "is in EUR" in refused.error["detail"] and "--rate EUR=" in refused.error["hint"]
    taken = ("decide", "w.yaml", "--only-mine", "--providers", "p.toml", "--prices")
    dear = sublet(*taken, "eur.csv", "--rate", "EUR=2", "--json").json
    plain = sublet(*taken, "mine.csv", "--json").json

    def price(found: dict[str, Any]) -> int:
        return int(next(line["offer"]["price_micro"] for line in found["best"] if line["offer"]["provider"] == "beta"))

    assert price(dear) == 2 * price(plain)


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"gpus: 16": "gpus: 0"}, "gpus", "greater than or equal to 1"),
        ({"work: 72h": "work: 72 parsecs"}, "work", "no duration"),
        ({"country: DE\nresidency": "country: Germny\nresidency"}, "country", "Germany"),
        ({"[EEA]": "[Atlantis]"}, "", "no country, no bloc"),
        ({"gpu_h: 1.60": "gpu_h: -1"}, "home.gpu_h", "out of range"),
        ({"gpu_h: 1.60": "gpu_h: 12000"}, "home.gpu_h", "one GPU for one hour"),
        ({"gb_in: 500": "gb_in: -5"}, "data.gb_in", "gigabytes"),
        ({"wants:": "wnats:"}, "wnats", "no such field"),
        ({"[container]": "[contaner]"}, "must.0", "container"),
        ({"weights: {cost: 5": "weights: {cots: 5"}, "weights.cots.[key]", "cost"),
        ({"cost: 5": "cost: -5"}, "weights.cost", "a weight"),
        ({"gpu_model: H100\nspeeds": "speeds", "speeds: {H200: 1.15, A100-80GB: 0.45}": "runs: 1"}, "", "gpu_model is missing"),
    ],
)
def test_wrong_fields_are_named_with_the_way_out(sublet: Sublet, change: dict[str, str], field: str, said: str) -> None:
    text = Path("w.yaml").read_text()
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    Path("w.yaml").write_text(text)
    ran = sublet("decide", "w.yaml", "--json")
    assert ran.code == 2 and ran.out == ""
    told = [ran.error, *ran.error["errors"]]
    words = " ".join(str(one) for one in told)
    assert said in words, ran.error
    if field:
        assert any(one["field"] == field for one in told), ran.error


@pytest.mark.parametrize(
    ("table", "said", "hint"),
    [
        ("provider,gpu_model,usd_h_ondemand\na,H100,1\n", "no column 'gpus'", "provider,region"),
        ("provider,gpu_modle,gpus,usd_h_ondemand\na,H100,8,1\n", "no column 'gpu_model'", "gpu_modle"),
        ("provider,gpu_model,gpus,usd_month\na,H100,8,1\n", "no price of an hour", "730 h"),
        ("provider,gpu_model,gpus\na,H100,8\n", "no column of prices", "usd_h_ondemand"),
        ("provider,gpu_model,gpus,usd_h_spot\na,H100,8,-1\n", "line 2: usd_h_spot is -1", "above 0"),
        ("provider,gpu_model,gpus,usd_h_spot\na,H100,8,250000\n", "usd_h_spot is 250,000", "one hour"),
        ("provider,gpu_model,gpus,usd_h_spot\na,H100,8,cheap\n", "no number", "12.5"),
        ("provider,gpu_model,gpus,country,usd_h_spot\na,H100,8,Germny,3\n", "no country 'Germny'", "Germany"),
    ],
)
def test_a_wrong_table_is_named_with_the_way_out(sublet: Sublet, table: str, said: str, hint: str) -> None:
    Path("bad.csv").write_text(table)
    ran = sublet("decide", "w.yaml", "--prices", "bad.csv", "--json")
    assert ran.code == 2 and ran.error["field"] == "prices"
    assert said in ran.error["detail"] and hint in ran.error["hint"], ran.error


def test_other_wrong_input(sublet: Sublet) -> None:
    assert "--example" in sublet("decide", "--json").error["hint"]
    assert "'cost'" in sublet("decide", "w.yaml", "--weight", "cots=3", "--json").error["hint"]
    assert sublet("decide", "w.yaml", "--rate", "EURO=1", "--json").error["field"] == "rate"
    Path("p.toml").write_text("[providers.acme]\nsuport = 1\n")
    assert "support" in str(sublet("decide", "w.yaml", "--providers", "p.toml", "--json").error)


def test_nowhere_is_an_answer(sublet: Sublet) -> None:
    Path("w.yaml").write_text("name: w\ngpus: 8\ngpu_model: Z9000\nwork: 10h\n")
    found = sublet("decide", "w.yaml", "--json").json
    assert found["lines"] == [] and found["sentences"][0].startswith("Nowhere")


def test_weights_from_the_command_line_win(sublet: Sublet) -> None:
    only_time = [f"--weight={name}={int(name == 'time')}" for name in CRITERIA]
    found = sublet("decide", "w.yaml", *only_time, "--json").json
    ends = [line["end_h"] for line in found["best"]]
    assert ends == sorted(ends) and found["weights"]["cost"] == 0


def test_the_matrix_has_a_source_and_a_date_in_each_cell(sublet: Sublet) -> None:
    found = sublet("decide", "--matrix", "--json").json
    assert len(found["columns"]) == 4 and len(found["rows"]) == 7
    for row in found["rows"]:
        assert len(row["cells"]) == 4 and all(cell["says"] and cell["source"] and cell["as_of"] for cell in row["cells"])
    assert "primary asset" in sublet("decide", "--matrix").out


def test_the_terminal_says_what_matters(sublet: Sublet) -> None:
    said = sublet("decide", "w.yaml").out
    for word in ("should run at", "own surplus", "would win if", "left out", "jurisdiction"):
        assert word in " ".join(said.split()), word


def test_newer_prices_from_public_formats(sublet: Sublet) -> None:
    Path("vms.csv").write_text(
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"
        "p5.48xlarge,H100,8.0,192,2048,x,55.04,20.5,us-east-1,us-east-1a\n"
        "p5.48xlarge,H100,8.0,192,2048,x,55.04,18.25,us-east-1,us-east-1b\nm5.large,,,2,8,,0.1,,us-east-1,us-east-1a\n"
    )
    advisor = {"ranges": [], "spot_advisor": {"us-east-1": {"Linux": {"p5.48xlarge": {"s": 60, "r": 1}}}}}
    Path("advisor.json").write_text(json.dumps(advisor))
    item = {
        "currencyCode": "USD",
        "armSkuName": "Standard_ND96isr_H100_v5",
        "armRegionName": "francecentral",
        "unitOfMeasure": "1 Hour",
    }
    pages = [
        {"Items": [item | {"skuName": "x", "type": "Consumption", "retailPrice": 99.0}]},
        {"Items": [item | {"skuName": "x Spot", "type": "Consumption", "retailPrice": 33.0},
                   item | {"skuName": "x", "type": "Reservation", "reservationTerm": "1 Year", "retailPrice": 438_000.0}]},
    ]  # fmt: skip
    Path("azure.json").write_text(json.dumps(pages))
    common = ("catalogue", "refresh")
    assert (
        sublet(*common, "vms.csv", "--format", "skypilot", "--provider", "aws", "--out", "a.parquet", "--json").json["read"]
        == 1
    )
    joined = ("--base", "a.parquet", "--provider", "aws", "--out", "b.parquet")
    assert sublet(*common, "advisor.json", "--format", "aws_spot_advisor", *joined, "--json").code == 0
    known = (
        pl.read_parquet("b.parquet")
        .filter(pl.col("instance") == "p5.48xlarge", pl.col("region") == "us-east-1")
        .row(0, named=True)
    )
    assert known["usd_h_spot"] == 18.25 and known["gpus"] == 8 and 0.0001 < known["spot_hazard_h"] < 0.00011
    ran = sublet(*common, "azure.json", "--format", "azure_retail", "--provider", "azure", "--out", "c.csv", "--json")
    assert ran.code == 0
    row = (
        pl.read_csv("c.csv", infer_schema_length=None)
        .filter(pl.col("instance") == "Standard_ND96isr_H100_v5", pl.col("region") == "francecentral")
        .row(0, named=True)
    )
    assert (row["usd_h_ondemand"], row["usd_h_spot"], row["usd_h_commit1y"], row["gpus"]) == (99.0, 33.0, 50.0, 8.0)
    assert sublet("decide", "w.yaml", "--only-mine", "--prices", "c.csv", "--json").code == 0
    wrong = sublet(*common, "vms.csv", "--format", "skypilt", "--provider", "aws", "--out", "d.parquet", "--json")
    assert wrong.code == 2 and "'skypilot'" in wrong.error["hint"]
    assert (
        sublet(*common, "http://x.example/vms.csv", "--format", "skypilot", "--provider", "aws", "--out", "d", "--json").code
        == 2
    )
    listed = sublet("catalogue", "list", "--json").json
    assert {"aws", "azure", "gcp", "coreweave"} <= {one["provider"] for one in listed["items"]} and "skypilot" in listed[
        "formats"
    ]
