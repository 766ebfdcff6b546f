"""Public formats of prices, read into the catalogue's own columns: what `sublet catalogue refresh` knows.

A format is one function from text to rows and one row of FORMATS. Nothing here asks anybody for anything.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from sublet.app.complaints import meant
from sublet.core.decide.models import plain
from sublet.core.errors import Invalid

Row = dict[str, Any]
COLUMNS: Mapping[str, Any] = {
    "as_of": pl.String, "provider": pl.String, "region": pl.String, "instance": pl.String, "country": pl.String,
    "gpu_model": pl.String, "gpus": pl.Float64, "usd_h_ondemand": pl.Float64, "usd_h_spot": pl.Float64,
    "usd_h_commit1y": pl.Float64, "usd_h_commit3y": pl.Float64, "spot_hazard_h": pl.Float64, "source": pl.String,
}  # fmt: skip
MONTH_H = 730
_MIDDLES = {0: 0.025, 1: 0.075, 2: 0.125, 3: 0.175, 4: 0.25}
_AZURE_TERMS = {"1 Year": ("usd_h_commit1y", 8_760), "3 Years": ("usd_h_commit3y", 26_280)}


def skypilot(text: str, provider: str) -> Iterator[Row]:
    """A `vms.csv` of SkyPilot's catalogs: one line an instance, region and zone; of several zones the cheapest spot counts."""
    reader = csv.DictReader(io.StringIO(text))
    needed = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region")
    _require(reader.fieldnames or (), needed, "skypilot")
    cheapest: dict[tuple[str, str], Row] = {}
    for line in reader:
        if not line["AcceleratorName"] or not line["AcceleratorCount"]:
            continue
        row = {
            "provider": provider, "region": line["Region"], "instance": line["InstanceType"] or line["AcceleratorName"],
            "gpu_model": plain(line["AcceleratorName"]), "gpus": _number(line["AcceleratorCount"], "AcceleratorCount"),
            "usd_h_ondemand": _number(line["Price"], "Price"), "usd_h_spot": _number(line.get("SpotPrice"), "SpotPrice"),
        }  # fmt: skip
        key = (str(row["instance"]), str(row["region"]))
        known = cheapest.setdefault(key, row)
        prices = [one["usd_h_spot"] for one in (known, row) if one["usd_h_spot"] is not None]
        known["usd_h_spot"] = min(prices, default=None)
    yield from cheapest.values()


def azure_retail(text: str, provider: str) -> Iterator[Row]:
    """A page, or a list of pages, of Azure's retail price API. GPUs are not in it: the table of sizes gives them."""
    document = _json(text, "azure_retail")
    pages = document if isinstance(document, list) else [document]
    rows: dict[tuple[str, str], Row] = {}
    for item in (item for page in pages for item in page.get("Items", [])):
        _dollars(item.get("currencyCode"), "azure_retail")
        size, region = item.get("armSkuName", ""), item.get("armRegionName", "")
        if (
            item.get("unitOfMeasure") != "1 Hour"
            or "Windows" in item.get("productName", "")
            or "Low Priority" in item.get("skuName", "")
        ):
            continue
        row = rows.setdefault((size, region), {"provider": provider, "region": region, "instance": size})
        price = float(item["retailPrice"])
        if item.get("type") == "Reservation" and item.get("reservationTerm") in _AZURE_TERMS:
            column, hours = _AZURE_TERMS[item["reservationTerm"]]
            row[column] = price / hours
        elif item.get("type") == "Consumption":
            row["usd_h_spot" if "Spot" in item.get("skuName", "") else "usd_h_ondemand"] = price
    yield from rows.values()


def aws_spot_advisor(text: str, provider: str) -> Iterator[Row]:
    """AWS's spot advisor: how often instances are interrupted in a month, by buckets; Linux. It has no prices."""
    document = _json(text, "aws_spot_advisor")
    if "spot_advisor" not in document:
        raise Invalid("the document has no spot_advisor", field="refresh", hint="give the advisor's spot-advisor-data.json")
    for region, systems in document["spot_advisor"].items():
        for instance, told in systems.get("Linux", {}).items():
            share = _MIDDLES.get(int(told["r"]), _MIDDLES[4])
            hazard = -math.log1p(-share) / MONTH_H
            yield {"provider": provider, "region": region, "instance": instance, "spot_hazard_h": hazard}


Reader = Callable[[str, str], Iterator[Row]]
FORMATS: Mapping[str, tuple[Reader, str]] = {
    "skypilot": (skypilot, "vms.csv of skypilot-org/skypilot-catalog"),
    "azure_retail": (azure_retail, "pages of prices.azure.com/api/retail/prices"),
    "aws_spot_advisor": (aws_spot_advisor, "spot-advisor-data.json: interruptions, to be joined to a table with prices"),
}
"""Each with where it is published."""


def table_of(text: str, kind: str, *, provider: str, as_of: str, source: str) -> pl.DataFrame:
    """The rows of a text in a format, in the catalogue's columns; raises `Invalid` where there are none."""
    if kind not in FORMATS:
        raise Invalid(f"there is no format {kind!r}", field="format", hint=meant(kind, list(FORMATS)))
    rows = [{**dict.fromkeys(COLUMNS), "as_of": as_of, "source": source, **row} for row in FORMATS[kind][0](text, provider)]
    if not rows:
        raise Invalid(
            f"nothing in it has a GPU and a price ({kind})", field="refresh", hint=f"it is read as {FORMATS[kind][1]}"
        )
    return pl.DataFrame(rows, schema=dict(COLUMNS)).sort("provider", "region", "instance")


def joined(base: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """`base` with what `more` knows better of the same provider, region and instance; what only `more` has is added.

    A GPU's model and number are taken from any region of the instance where `more` does not say them.
    """
    key = ["provider", "region", "instance"]
    facts = base.drop_nulls(("gpu_model", "gpus")).unique(("provider", "instance"), maintain_order=True)
    known = facts.select("provider", "instance", pl.col("gpu_model").alias("_model"), pl.col("gpus").alias("_gpus"))
    filled = more.join(known, on=("provider", "instance"), how="left").with_columns(
        gpu_model=pl.coalesce("gpu_model", "_model"), gpus=pl.coalesce("gpus", "_gpus")
    )
    both = base.join(filled.drop("_model", "_gpus"), on=key, how="full", suffix="_new", coalesce=True, nulls_equal=True)
    rest = [name for name in COLUMNS if name not in key]
    return both.select(*key, *(pl.coalesce(f"{name}_new", name).alias(name) for name in rest)).select(list(COLUMNS)).sort(key)


def _require(has: Any, needed: tuple[str, ...], kind: str) -> None:
    lacks = [name for name in needed if name not in has]
    if lacks:
        said = f"the table has no column {lacks[0]!r}, which {kind} has"
        raise Invalid(said, field="refresh", hint=meant(lacks[0], list(has)) or f"it is read as {FORMATS[kind][1]}")


def _json(text: str, kind: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Invalid(f"it is no JSON: {error}", field="refresh", hint=f"it is read as {FORMATS[kind][1]}") from error


def _dollars(code: str | None, kind: str) -> None:
    if code not in {None, "USD"}:
        raise Invalid(f"its prices are in {code}", field="refresh", hint=f"ask {kind} for USD")


def _number(text: str | None, column: str) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise Invalid(f"{column} is {text!r}, no number", field="refresh", hint="the column holds dollars an hour") from error
    if value < 0:
        raise Invalid(f"{column} is {text}, below 0", field="refresh", hint="prices are above 0")
    return value
