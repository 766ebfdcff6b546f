"""Wrong input to a study: one line that names it, the way out, exit code 2, nothing written, no traceback."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
import small

from command_line import Sublet

FLEET = ("--capacity", "east=4x8", "--capacity", "west=2x8")
SHORT = [job for job in small.jobs() if job.submit_s < 2 * 86_400]
TINY = "submit_s,duration_s,gpus\n2024-05-01T00:00:00,60,1\n2024-05-11T00:00:00,60,1\n"

FILES: Mapping[str, str] = {
    "jobs.csv": small.as_table(small.jobs()),
    "short.csv": small.as_table(SHORT),
    "clock.csv": small.as_table(small.jobs(), dates=False),
    "large.csv": TINY.replace(",1\n", ",64\n"),
    "bad.csv": "submit_s,duration_s,gpus\nlater,60,1\nsoon,60,1\n",
    "log.csv": "at_s,gpus\n" + "".join(f"{hour * 3600},{hour % 5}\n" for hour in range(240)),
    "empty.csv": "",
    "story.txt": "once upon a time\nthere was a cluster\n",
    "binary.bin": "\x00\x01",
    "costs.toml": "[cost]\nbusy_watts = 700\n",
    "costs_model.toml": '[models.H100]\ntarif_kwh = "0.1"\n',
    "costs_low.toml": "[cost]\npue = 0.5\n",
    "market.toml": "[price]\ndefault = free\n",
    "market_key.toml": "[terms]\nspot_notise = 60\n",
    "market_hours.toml": '[[tenants]]\nclass = "guarded"\nhours = 5\n',
    "market_class.toml": '[[tenants]]\nclass = "block"\n',
    "nodes.csv": "node_id,gpus,pool\nn1,8,north\n",
    "several.csv": "trace,node_id,gpus,pool\na,n1,8,east\nb,n2,8,west\n",
    "two.csv": "trace,submit_s,duration_s,gpus\na,0,60,1\nb,0,60,1\n",
    "full/notes.txt": "mine",
}

WRONG = [
    # what is said after `sublet study`; the field; part of the message; part of the way out
    ("", "trace", "no trace is given", "sublet study --example"),
    ("nothere.csv", "trace", "there is no file nothere.csv", "check the path"),
    ("full", "trace", "full is a folder", "give the file in it"),
    ("empty.csv", "trace", "empty.csv is empty", "something in it"),
    ("binary.bin", "trace", "neither text nor Parquet", "Parquet, CSV"),
    ("story.txt", "format", "no format that is known", "sacct"),
    ("jobs.csv --format philli", "format", "there is no format 'philli'", "philly"),
    ("jobs.csv --kind job", "kind", "no kind of trace 'job'", "jobs, usage"),
    ("jobs.csv --kind usage FLEET", "format", "no format for usage that is known", "usage"),
    ("jobs.csv --kind usage --format table FLEET", "kind", "another kind than usage", "leave one"),
    ("bad.csv --capacity all=1x8", "trace", "no job in bad.csv can be used (bad.csv:2: submit_s is no number)", "submit_s"),
    ("two.csv --capacity all=1x8", "trace", "several traces: a, b", "name one"),
    ("jobs.csv", "nodes", "does not say how many GPUs", "--capacity east=32x8"),
    ("jobs.csv --capacity tenx8", "nodes", "'tenx8' is no inventory", "A100=432x8"),
    ("jobs.csv --capacity east=4x99", "nodes", "a node has 1 to 64 GPUs", "nodes x GPUs"),
    ("jobs.csv --capacity north=4x8 --capacity south=1x8", "nodes", "does not have: east, west", "--pool all"),
    ("jobs.csv --nodes nodes.csv", "nodes", "does not have: east, west", "--pool all"),
    ("jobs.csv --nodes nope.csv", "nodes", "there is no file nope.csv", "check the path"),
    ("jobs.csv --nodes several.csv", "nodes_trace", "several.csv holds several traces: a, b", "--nodes-trace"),
    ("jobs.csv --nodes several.csv --nodes-trace c", "nodes_trace", "has no trace 'c'", "--nodes-trace"),
    ("jobs.csv --nodes nodes.csv --capacity east=4x8", "nodes", "given twice", "not both"),
    ("log.csv", "nodes", "how many GPUs pool all has", "--capacity all=3456"),
    ("short.csv FLEET", "warm_up", "less than two days are left", "longer trace"),
    ("jobs.csv FLEET --warm-up 8d", "warm_up", "after a warm-up of 8", "shorter --warm-up"),
    ("jobs.csv FLEET --warm-up soon", "warm_up", "'soon' is no duration", "28d"),
    ("large.csv --capacity all=1x8", "trace", "no job of the owner that ran and fits", "2 jobs larger than the pool"),
    ("jobs.csv FLEET --policy our", "policy", "there is no policy 'our'", "did you mean 'ours'? there are nothing_leased"),
    ("jobs.csv FLEET --policy ours,zzz", "policy", "there is no policy 'zzz'", "there are nothing_leased, static_reserve"),
    ("jobs.csv FLEET --forecast boost", "forecast", "there is no forecast 'boost'", "did you mean 'boosted'?"),
    ("jobs.csv FLEET --judge boosted,seasonal", "judge", "there is no forecast 'seasonal'", "did you mean 'seasonal_naive'?"),
    ("jobs.csv FLEET --cost nope.toml", "cost", "nope.toml cannot be read", "check the path"),
    ("jobs.csv FLEET --cost costs.toml", "cost.busy_watts", "there is no such field", "did you mean 'busy_w'?"),
    ("jobs.csv FLEET --cost costs_model.toml", "tarif_kwh", "[models.H100]", "did you mean 'tariff_kwh'?"),
    ("jobs.csv FLEET --cost costs_low.toml", "cost.pue", "greater than or equal to 1", ""),
    ("jobs.csv FLEET --price market.toml", "price", "market.toml is no TOML", "docs/reference/study.md"),
    ("jobs.csv FLEET --price market_key.toml", "terms.spot_notise", "there is no such field", "did you mean 'spot_notice'?"),
    ("jobs.csv FLEET --price market_hours.toml", "tenants.hours", "guarded hours that are not sold", "1, 4, 8, 24"),
    ("jobs.csv FLEET --price market_class.toml", "tenants.0.class", "'spot' or 'guarded'", ""),
    ("jobs.csv FLEET --column gpus", "column", "does not name two columns", "OURS=THEIRS"),
    ("jobs.csv FLEET --column gpus=cards", "column", "has no column cards", "map columns that the file has"),
    ("jobs.csv FLEET --format table --column cards=gpus", "column", "no column 'cards' to map", "ours are"),
    ("jobs.csv FLEET --unit gpus", "unit", "gives no column its unit", "OURS=UNIT"),
    ("clock.csv FLEET --unit submit=weeks", "unit", "'weeks' is no unit of time", "epoch"),
    ("jobs.csv FLEET --pool some", "pool", "there is no pool 'some'", "given, gpu_model, all"),
    ("jobs.csv FLEET --trace a", "trace", "no column that names a trace", "leave"),
    ("jobs.csv FLEET --origin 2024-05-01", "origin", "dates of its own", "leave the origin away"),
    ("clock.csv FLEET --origin May", "origin", "'May' is no date", "2024-05-01"),
    ("clock.csv FLEET --until May", "until", "no number of seconds", "seconds"),
    ("jobs.csv FLEET --out full", "out", "full is not empty", "--force"),
    ("jobs.csv FLEET --out jobs.csv", "out", "jobs.csv cannot be used: it is a file", "--out"),
    ("jobs.csv --example", "trace", "jobs.csv is of no use with --example", "leave one"),
    ("--example --format table", "format", "--format is of no use with --example", "leave one"),
    ("--example --gpus-per-worker", "gpus-per-worker", "of no use with --example", "leave one"),
    ("jobs.csv FLEET --seed -1", None, "--seed", "--help"),
    ("jobs.csv FLEET --workers 0", None, "--workers", "--help"),
    ("jobs.csv FLEET --forcast boosted", None, "--forecast", "--help"),
]


@pytest.mark.parametrize(("said", "field", "message", "hint"), WRONG, ids=[said or "nothing" for said, *_ in WRONG])
def test_wrong_input_is_named_with_the_way_out(sublet: Sublet, said: str, field: str | None, message: str, hint: str) -> None:
    for name, text in FILES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    before = sorted(str(path) for path in Path().rglob("*"))
    words = [word for part in said.split() for word in (FLEET if part == "FLEET" else (part,))]
    ran = sublet("study", *words, "--json")
    assert ran.code == 2 and ran.out == ""
    told = ran.error
    assert told.get("field") == field
    assert message in told["detail"] and hint in (told["hint"] or "")
    people = sublet("study", *words)
    assert people.code == 2 and "Traceback" not in people.err and people.err.count("error  ") == 1
    assert message in people.err
    assert sorted(str(path) for path in Path().rglob("*")) == before


def test_a_forecast_whose_library_is_missing_says_how_to_get_it(sublet: Sublet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sublet.advice.study.choices.find_spec", lambda _: None)
    for option in ("--forecast", "--judge"):
        ran = sublet("study", "--example", option, "statistical", "--json")
        assert ran.code == 2 and ran.error["field"] == option[2:]
        assert "statsforecast" in ran.error["detail"] and "pip install 'sublet[study]'" in ran.error["hint"]


def test_a_damaged_file_is_named(sublet: Sublet) -> None:
    pl.DataFrame({"submit_s": [1], "duration_s": [1], "gpus": [1]}).write_parquet("jobs.parquet")
    whole = Path("jobs.parquet").read_bytes()
    Path("jobs.parquet").write_bytes(whole[: len(whole) // 2])
    ran = sublet("study", "jobs.parquet", "--capacity", "all=1x8", "--json")
    assert ran.code == 2 and "jobs.parquet cannot be read as Parquet" in ran.error["detail"]
