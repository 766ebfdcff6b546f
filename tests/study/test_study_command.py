"""`sublet study` from end to end: a trace goes in, a report comes out, and the same one every time."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import small

from command_line import Sublet
from sublet.advice.study.tables import TABLES
from sublet.cli import study_run
from sublet.core.forecast import FORECASTS
from sublet.core.occupancy import STATES
from sublet.sim.policies import POLICIES
from sublet.traces import FORMATS

QUICK = ("--no-sensitivity", "--policy", "nothing_leased,gfs", "--judge", "window_max_quantile")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def document(folder: Path) -> Any:
    return json.loads((folder / "study.json").read_text())


def test_a_study_writes_a_page_a_document_and_its_tables(made: Path) -> None:
    assert set(files_in(made)) == {"index.html", "study.json", *(f"tables/{name}.parquet" for name in TABLES)}
    found = document(made)
    assert (found["kind"], found["schema"]) == ("sublet.study", 1)
    assert [one["name"] for one in found["policies"]] == list(POLICIES)
    page = (made / "index.html").read_text()
    for sentence in found["headline"]["sentences"] + found["limits"]:
        assert sentence.replace("'", "&#39;").replace('"', "&#34;") in page


def test_gpu_time_adds_up_to_the_capacity_for_every_policy(made: Path) -> None:
    hourly = pl.read_parquet(made / "tables" / "hourly.parquet")
    total = hourly.select(pl.sum_horizontal(STATES).alias("gpus"), "pool")
    for pool, gpus in (("east", 32), ("west", 16)):
        assert (total.filter(pl.col("pool") == pool)["gpus"] - gpus).abs().max() < 1e-6  # type: ignore[operator]
    for one in document(made)["policies"]:
        figures = one["figures"]
        states = sum(figures[f"{state}_gpu_h"] for state in STATES if state != "down")
        assert figures["conserved"] and states == pytest.approx(figures["fleet_gpu_h"])


def test_tables_have_the_numbers_of_the_document(made: Path) -> None:
    found = document(made)
    captured = pl.read_parquet(made / "tables" / "captured.parquet").filter(pl.col("pool").is_null())
    bounds = {bound["hours"]: bound["gpu_h"] for bound in found["fleet"]["bounds"]}
    assert set(captured["hours"]) == bounds.keys() and captured.height == len(bounds) * len(POLICIES)
    flat = {row["policy"]: row for row in pl.read_parquet(made / "tables" / "policies.parquet").to_dicts()}
    for row in captured.to_dicts():
        assert row["bound_gpu_h"] == pytest.approx(bounds[row["hours"]])
        if row["bound_gpu_h"]:
            assert row["captured"] == pytest.approx(flat[row["policy"]]["leased_gpu_h"] / row["bound_gpu_h"])
    waits = pl.read_parquet(made / "tables" / "delays.parquet").group_by("policy").agg(pl.col("jobs").sum())
    assert dict(waits.iter_rows()) == {one["name"]: one["figures"]["delays"]["jobs"] for one in found["policies"]}
    assert pl.read_parquet(made / "tables" / "sensitivity.parquet").height == len(found["sensitivity"])


def test_the_bound_holds_for_every_policy_and_nothing_leased_is_nothing(made: Path) -> None:
    found = document(made)
    bounds = [bound["gpu_h"] for bound in found["fleet"]["bounds"]]
    assert bounds == sorted(bounds, reverse=True) and bounds[0] > 0
    by_name = {one["name"]: one["figures"] for one in found["policies"]}
    nothing = by_name.pop("nothing_leased")
    assert (nothing["leased_gpu_h"], nothing["net"], nothing["delays"]["waited"]) == (0, 0, 0)
    for figures in by_name.values():
        assert 0 < figures["leased_gpu_h"] <= nothing["idle_gpu_h"] * 1.001
        assert figures["net"] == pytest.approx(
            figures["revenue"] - figures["refunds"] - figures["credits"] - figures["cost"], abs=1e-5
        )


def test_each_assumption_is_turned_and_turning_it_matters(made: Path) -> None:
    found = document(made)
    ours = next(one["figures"] for one in found["policies"] if one["name"] == "ours")
    turned = {(one["assumption"], one["value"]): one["figures"] for one in found["sensitivity"]}
    assert turned["price", "1.5 x"]["net"] > ours["net"] > turned["price", "0.5 x"]["net"]
    assert turned["notice", "10 min"]["leased_gpu_h"] == 0  # the promise of ten minutes has no room for it
    reserve = [turned["reserve", f"{share} of the pool"]["reserve_gpu_h"] for share in ("0%", "5%", "20%")]
    assert reserve[0] == 0 and reserve == sorted(reserve) and reserve[2] > 0


@pytest.mark.timeout(180)
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(
    sublet: Sublet, trace: Path, asked: tuple[str, ...], tmp_path: Path
) -> None:
    words = (str(trace), *asked[:-2], *QUICK)
    for workers in ("1", "2"):
        assert sublet("study", *words, "--workers", workers, "--out", str(tmp_path / workers)).code == 0
    assert files_in(tmp_path / "1") == files_in(tmp_path / "2")
    assert sublet("study", *words, "--workers", "1", "--seed", "7", "--out", str(tmp_path / "7")).code == 0
    assert differences(document(tmp_path / "1"), document(tmp_path / "7")) == {"low", "high", "value", "source"}


def differences(one: Any, other: Any, key: str = "") -> set[str]:
    """The names of the keys below which two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return set().union(*(differences(one[name], other[name], name) for name in one))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return set().union(*(differences(a, b, key) for a, b in zip(one, other, strict=True)))
    return set() if one == other else {key}


def test_json_stands_on_stdout_as_in_the_file_and_nothing_on_stderr(
    sublet: Sublet, trace: Path, asked: tuple[str, ...]
) -> None:
    ran = sublet("study", str(trace), *asked, *QUICK, "--json")
    assert ran.code == 0 and ran.out == Path("report/study.json").read_text()
    assert ran.json["fleet"]["gpus"] == 48
    assert ran.err == ""


def test_people_see_the_paragraph_each_policy_the_bound_and_where_the_files_are(
    sublet: Sublet, trace: Path, asked: tuple[str, ...], tmp_path: Path
) -> None:
    ran = sublet("study", str(trace), *asked, *QUICK, "--out", str(tmp_path / "here"))
    stages = [line.removesuffix(" ...") for line in ran.err.splitlines()]
    assert stages == [
        "reading table",
        "replaying the owner's jobs",
        "judging forecasts",
        "looking ahead",
        "replaying policies",
        "writing the report",
    ]
    rows = {line.split("  ")[0]: line for line in ran.out.splitlines()}
    assert {"nothing leased", "GFS form", "ours", "bound"} <= rows.keys()
    said = " ".join(ran.out.split())
    assert " ".join(document(tmp_path / "here")["headline"]["sentences"][0].split()) in said
    assert str(tmp_path / "here" / "index.html") in said


def test_a_report_is_written_over_only_by_force_and_nothing_else_is_touched(
    sublet: Sublet, trace: Path, asked: tuple[str, ...]
) -> None:
    Path("report").mkdir()
    Path("report/notes.txt").write_text("mine")
    words = ("study", str(trace), *asked, *QUICK)
    refused = sublet(*words)
    assert refused.code == 2 and "report is not empty" in refused.err and "--force" in refused.err
    assert files_in(Path("report")) == {"notes.txt": b"mine"}
    assert sublet(*words, "--force").code == 0
    assert files_in(Path("report")).keys() > {"notes.txt", "index.html", "study.json"}
    assert Path("report/notes.txt").read_text() == "mine"


def test_jobs_that_give_way_in_the_trace_are_the_tenants(sublet: Sublet, asked: tuple[str, ...], tmp_path: Path) -> None:
    rows = small.jobs()
    spot = frozenset(range(0, len(rows), 3))
    text = small.write(tmp_path / "sacct.txt", small.as_sacct(rows, spot=spot))
    found = sublet("study", str(text), *asked, *QUICK, "--json").json
    assert found["trace"]["format"] == "sacct"
    assert sum(pool["spot_jobs"] for pool in found["pools"]) == len(spot)
    assert sum(pool["jobs"] for pool in found["pools"]) == len(rows) - len(spot)
    assert "to those who asked for it in the trace" in " ".join(found["headline"]["sentences"])
    assert any("that the trace marks as spot" in one for one in found["limits"])


def test_other_words_may_mark_them(sublet: Sublet, asked: tuple[str, ...], tmp_path: Path) -> None:
    text = small.write(tmp_path / "sacct.txt", small.as_sacct(small.jobs()))
    found = sublet("study", str(text), *asked, *QUICK, "--spot", "low", "--json").json
    assert sum(pool["spot_jobs"] for pool in found["pools"]) == 0
    ran = sublet("study", str(text), *asked, "--spot", "NORMAL", "--json", "--out", "other")
    assert ran.code == 2 and "no job of the owner" in ran.error["detail"]


def test_a_log_of_demand_is_studied_too(sublet: Sublet, tmp_path: Path) -> None:
    lines = ["at_s,gpus,capacity"]
    lines += [f"{hour * 3600},{4 + (6 if hour % 24 in range(8, 20) else 0) + hour % 3},16" for hour in range(24 * 9)]
    log = small.write(tmp_path / "log.csv", "\n".join(lines) + "\n")
    asked = ("--kind", "usage", "--warm-up", "4d", "--workers", "1")
    found = sublet("study", str(log), *asked, *QUICK, "--json").json
    assert (found["trace"]["kind"], found["trace"]["clock"], found["fleet"]["gpus"]) == ("usage", "relative", 16)
    assert found["headline"]["leased_gpu_h_year"] > 0
    assert any(one.startswith("Only the demand over time is known") for one in found["limits"])
    assert re.search(r"of the owner's \d+ rises would wait", " ".join(found["headline"]["sentences"]))


def test_an_interrupt_leaves_nothing_behind(
    sublet: Sublet, trace: Path, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study_run, "study", interrupted)
    ran = sublet("study", str(trace), *asked)
    assert ran.code == 130 and "no report was written" in ran.err and "Traceback" not in ran.err
    assert not Path("report").exists()


@pytest.mark.parametrize("how", ["ctrl-c", "kill -9"])
def test_the_processes_of_a_replay_end_with_it(trace: Path, asked: tuple[str, ...], tmp_path: Path, how: str) -> None:
    command = [str(Path(sys.executable).parent / "sublet"), "study", str(trace), *asked[:-2], "--workers", "2", *QUICK]
    running = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("replaying policies"):
            break
    time.sleep(0.5)  # its processes are on their way
    if how == "ctrl-c":
        os.killpg(running.pid, signal.SIGINT)
        rest = running.stderr.read()
        assert running.wait(20) == 130
        assert "no report was written" in rest and "Traceback" not in rest
        assert not (tmp_path / "out").exists()
    else:
        running.kill()
        assert running.wait(20) == -signal.SIGKILL
    assert is_gone(running.pid, within_s=20)


def is_gone(group: int, *, within_s: float) -> bool:
    """Whether nobody of a process group is left."""
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_help_names_every_format_policy_and_forecast(sublet: Sublet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    told = sublet("study", "--help").out
    for name in (*FORMATS, *POLICIES, *FORECASTS):
        assert name in told, name


def test_help_waits_for_no_library_of_the_study() -> None:
    heavy = ("polars", "plotly", "lightgbm", "statsforecast", "sublet.advice", "sublet.sim", "sublet.traces")
    code = f"import sys, sublet.cli.app; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
